// What a call costs from Swift, as JSON lines: {"language":"swift","call":"log_set","median_us":…}. Many short rounds after a
// warm-up; of all rounds the median. Build it with `-c release`.
//
//   Bench FOLDER    the store is made below FOLDER, on the disk that is to be measured
import Foundation
import Keepsync

#if canImport(Glibc)
import Glibc
#endif

// Not as top-level code: that belongs to the main actor, and every call would be measured with a hop to it.
@main
struct Bench {
    static func main() async throws {
        guard CommandLine.arguments.count == 2 else {
            FileHandle.standardError.write(Data("usage: Bench FOLDER\n".utf8))
            exit(2)
        }
        let folder = CommandLine.arguments[1] + "/bench-swift-\(UUID().uuidString)"
        let collections = [
            CollectionOptions(name: "workout", policy: .ask),
            CollectionOptions(name: "set", policy: .clientWins, parent: Parent(collection: "workout", field: "workout_id")),
        ]
        let accounts = try Accounts(
            options: Options(folder: folder, collections: collections, settings: Settings(automatic: false)),
            host: KeepsyncHost())
        let store = try await accounts.open(account: "lifter@example.org")
        let clock = ContinuousClock()

        @Sendable func say(_ call: String, _ rounds: [Duration], per calls: Int) {
            let micros = rounds.map { $0 / .microseconds(calls) }.sorted()
            print(
                #"{"language":"swift","call":"\#(call)","median_us":\#(String(format: "%.3f", micros[micros.count / 2])),"#
                    + #""rounds":\#(rounds.count)}"#)
        }

        /// `calls` calls a round.
        func measure(
            _ call: String, rounds: Int, calls: Int, warm: Int = 3, _ body: () async throws -> Void
        ) async throws {
            var times: [Duration] = []
            for round in 0..<(rounds + warm) {
                let begin = clock.now
                for _ in 0..<calls { try await body() }
                if round >= warm { times.append(clock.now - begin) }
            }
            say(call, times, per: calls)
        }

        // The same as in Rust's and Kotlin's benches, as is what is done with it.
        let body = #"{"weight":100,"reps":5,"rpe":8.5,"note":""# + String(repeating: "x", count: 120) + #""}"#
        _ = try await store.startSession(collection: "workout", children: "set", id: "w1", body: #"{"name":"Legs"}"#)
        for number in 0..<200 {
            _ = try await store.put(collection: "workout", id: String(format: "r%03d", number), body: body)
        }
        try await store.kvSet(key: "half", value: String(repeating: "x", count: 500))

        try await measure("version", rounds: 201, calls: 1_000) { _ = try version() }
        try await measure("kv_get_500", rounds: 301, calls: 20) { _ = try await store.kvGet(key: "half") }
        try await measure("get_blocking", rounds: 301, calls: 20) {
            _ = try store.getBlocking(collection: "workout", id: "r050")
        }
        try await measure("get", rounds: 301, calls: 20) { _ = try await store.get(collection: "workout", id: "r050") }
        try await measure("page_100_blocking", rounds: 201, calls: 1) {
            _ = try store.queryBlocking(query: Query(collection: "workout", limit: 100))
        }
        try await measure("page_100", rounds: 201, calls: 1) {
            _ = try await store.query(query: Query(collection: "workout", limit: 100))
        }
        var slot = 0
        try await measure("log_set_blocking", rounds: 801, calls: 1, warm: 500) {
            slot += 1
            _ = try store.logSetBlocking(collection: "workout", id: "w1", slot: "squat/\(slot % 20)", body: body)
        }
        try await measure("log_set", rounds: 801, calls: 1, warm: 500) {
            slot += 1
            _ = try await store.logSet(collection: "workout", id: "w1", slot: "squat/\(slot % 20)", body: body)
        }

        let ear = Ear()
        let place = try await store.listen(listener: ear)
        var notifications: [Duration] = []
        var whole: [Duration] = []
        for round in 0..<120 {
            // The frame after the last call is over.
            try await Task.sleep(for: .milliseconds(40))
            let begin = clock.now
            _ = try await store.put(collection: "workout", id: "r001", body: #"{"round":\#(round)}"#)
            let committed = clock.now
            let heard = await ear.next()
            guard round >= 20 else { continue }
            // It may be called before the write's own answer is here.
            notifications.append(heard > committed ? heard - committed : .zero)
            whole.append(heard - begin)
        }
        say("change_after_answer", notifications, per: 1)
        say("put_to_listener", whole, per: 1)
        try store.unlisten(listener: place)
        try await store.close()
        try? FileManager.default.removeItem(atPath: folder)
    }
}

/// From the answer of a write, and from its call, to the call of the listener.
final class Ear: Listener, @unchecked Sendable {
    private let lock = NSLock()
    private var waiting: CheckedContinuation<ContinuousClock.Instant, Never>?
    private var heard: ContinuousClock.Instant?

    func changed(changes: Changes) throws {
        guard changes.collections.contains("workout") else { return }
        let now = ContinuousClock().now
        let continuation = lock.withLock {
            defer { waiting = nil }
            if waiting == nil { heard = now }
            return waiting
        }
        continuation?.resume(returning: now)
    }

    func next() async -> ContinuousClock.Instant {
        await withCheckedContinuation { continuation in
            let before = lock.withLock {
                defer { heard = nil }
                if heard == nil { waiting = continuation }
                return heard
            }
            if let before { continuation.resume(returning: before) }
        }
    }
}
