import Foundation
import Keepsync

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// An app's own backend, in memory: versions by collection and id.
final class MemoryBackend: Remote {
    struct State {
        var records: [String: RemoteVersion] = [:]
        var order: [(collection: String, id: String)] = []
        var pushed: [PushItem] = []
        var pulls = 0
        var tokens: [String?] = []
        /// Called before a push is carried out.
        var before: (@Sendable () async throws -> Void)?
    }

    static let whole = Keepsync.Backend.app(capabilities: Capabilities(batches: true, after: true, pull: true))
    let state = Shared(State())

    func holds(_ collection: String, _ id: String) -> RemoteVersion? {
        state.value.records["\(collection)/\(id)"]
    }

    /// A write of another device.
    func put(_ collection: String, _ id: String, _ body: String?) {
        state.with { $0.store(collection, id, body, op: nil, at: 1_700_000_000_000) }
    }

    func push(token: String?, batch: PushBatch) async throws -> PushAnswer {
        if let before = state.value.before { try await before() }
        return state.with { state in
            state.tokens.append(token)
            let results = batch.items.map { item in
                state.pushed.append(item)
                return PushResult(op: item.op, outcome: state.apply(item))
            }
            return PushAnswer(results: results)
        }
    }

    func pull(token: String?, request: PullRequest) async throws -> PullPage {
        state.with { state in
            state.pulls += 1
            var changes: [RemoteChange] = []
            for cursor in request.cursors {
                let from = cursor.position.flatMap(Int.init) ?? 0
                for (collection, id) in state.order.dropFirst(from) where collection == cursor.collection {
                    changes.append(
                        RemoteChange(collection: collection, id: id, version: state.records["\(collection)/\(id)"]!))
                }
            }
            let cursors = request.cursors.map { Cursor(collection: $0.collection, position: "\(state.order.count)") }
            return PullPage(changes: changes, cursors: cursors, hasMore: false)
        }
    }

    func probe() async throws {}
}

extension MemoryBackend.State {
    @discardableResult
    mutating func store(_ collection: String, _ id: String, _ body: String?, op: String?, at: Int64) -> Int64 {
        let key = "\(collection)/\(id)"
        let version = (records[key]?.version ?? 0) + 1
        records[key] = RemoteVersion(
            body: body, version: version, updatedAt: at, op: op, deviceId: op == nil ? "another" : nil)
        order.append((collection, id))
        return version
    }

    mutating func apply(_ item: PushItem) -> Outcome {
        let there = records["\(item.collection)/\(item.id)"]
        if let there, there.op == item.op {
            return .accepted(version: there.version, serverId: nil, body: nil)
        }
        if let there, there.version != item.baseVersion, item.baseOp == nil || item.baseOp != there.op {
            return .hasOther(remote: there)
        }
        let version = store(item.collection, item.id, item.body, op: item.op, at: item.createdAt)
        return .accepted(version: version, serverId: nil, body: nil)
    }
}

/// The real server, a process of its own. It is killed with the last holder.
final class Server: @unchecked Sendable {
    let url: String
    private let folder: Folder
    private let process = Process()

    private static var binary: URL {
        get throws {
            guard let path = ProcessInfo.processInfo.environment["KEEPSYNC_BIN"] else {
                throw NoServer(reason: "KEEPSYNC_BIN names no keepsync")
            }
            return URL(fileURLWithPath: path)
        }
    }

    init() throws {
        folder = try Folder()
        process.executableURL = try Self.binary
        process.arguments = ["serve", "--data", folder.path + "/server"]
        let out = Pipe()
        process.standardOutput = out
        process.standardError = FileHandle.nullDevice
        try process.run()
        let line = out.fileHandleForReading.line()
        guard line.hasPrefix("listening on ") else { throw NoServer(reason: "it says \(line)") }
        url = String(line.dropFirst("listening on ".count))
    }

    func token(_ user: String) throws -> String {
        let process = Process()
        process.executableURL = try Self.binary
        process.arguments = ["token", "--data", folder.path + "/server", "--user", user]
        let out = Pipe()
        process.standardOutput = out
        try process.run()
        return out.fileHandleForReading.line()
    }

    var backend: Backend { .wire(http: HttpOptions(baseUrl: url)) }

    /// Signs in with a token that `keepsync token` made.
    func host(_ user: String = lifter) throws -> Host {
        let secret = try token(user)
        return Host(tokens: Tokens { _ in Token(secret: secret, subject: user) })
    }

    deinit {
        kill(process.processIdentifier, SIGKILL)
    }
}

struct NoServer: Error {
    let reason: String
}

extension FileHandle {
    /// The bytes up to the next line feed.
    func line() -> String {
        var bytes = Data()
        while let byte = try? read(upToCount: 1), byte.count == 1, byte != Data([10]) {
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
