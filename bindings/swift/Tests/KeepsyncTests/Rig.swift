import Foundation
import Keepsync
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Not Foundation's.
typealias Host = KeepsyncHost

/// All tests with the real library: one after the other, because they share its threads and some count calls.
@Suite(.serialized) enum Library {}

let lifter = "lifter@example.org"
let patience = Duration.seconds(20)

/// The collections of a training app.
func training(workout: Policy = .ask) -> [CollectionOptions] {
    [
        CollectionOptions(name: "workout", policy: workout, indexes: ["n"]),
        CollectionOptions(name: "set", policy: .clientWins, parent: Parent(collection: "workout", field: "workout_id")),
    ]
}

/// Nothing happens by itself.
let byHand = Settings(automatic: false)

/// A folder that is deleted with the last holder.
final class Folder: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("keepsync-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// An installation and its store.
struct Rig {
    let folder: Folder
    let accounts: Accounts
    let store: Store

    init(
        folder: Folder? = nil, collections: [CollectionOptions] = training(), backend: Backend? = nil,
        settings: Settings = byHand, host: Host = Host()
    ) async throws {
        self.folder = try folder ?? Folder()
        accounts = try Accounts(
            options: Options(
                folder: self.folder.path, collections: collections, backend: backend, settings: settings), host: host)
        store = try await accounts.open(account: lifter)
    }
}

/// Tries until it holds, at most 20 s.
func eventually(_ what: Comment, _ holds: @Sendable () async throws -> Bool) async throws {
    let clock = ContinuousClock()
    let end = clock.now + patience
    while clock.now < end {
        if try await holds() { return }
        try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record(what)
}

/// The error of a call that must fail.
func failure(_ call: () async throws -> Void) async -> KeepsyncError? {
    do {
        try await call()
        Issue.record("it did not fail")
        return nil
    } catch {
        let known = error as? KeepsyncError
        if known == nil { Issue.record("\(error)") }
        return known
    }
}

/// The thread that this runs on.
func thisThread() -> UInt {
    #if canImport(Glibc)
    pthread_self()
    #else
    UInt(bitPattern: pthread_self())
    #endif
}

/// A value that several threads write.
final class Shared<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var inner: Value

    init(_ value: Value) { inner = value }

    var value: Value {
        lock.withLock { inner }
    }

    @discardableResult
    func with<Result>(_ body: (inout Value) -> Result) -> Result {
        lock.withLock { body(&inner) }
    }
}

extension Shared where Value == Int {
    func increment() { with { $0 += 1 } }
}

/// A listener that does what it is told.
final class OnChange: Listener {
    private let body: @Sendable (Changes) throws -> Void

    init(_ body: @escaping @Sendable (Changes) throws -> Void) { self.body = body }

    func changed(changes: Changes) throws { try body(changes) }
}

/// Tokens as told.
final class Tokens: TokenProvider {
    private let body: @Sendable (String?) async throws -> Token?

    init(_ body: @escaping @Sendable (String?) async throws -> Token?) { self.body = body }

    func token(account: String, rejected: String?) async throws -> Token? { try await body(rejected) }
}

struct Unexpected: Error {}
