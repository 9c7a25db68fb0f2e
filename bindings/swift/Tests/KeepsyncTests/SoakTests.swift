import Foundation
import Keepsync
import Testing

extension Library {
    struct Soak {
        /// After 5 s of warm-up, 15 s of the same: calls, pages, listeners, streams, cancelled waits, drains, closing and opening.
        ///
        /// The bound: 6 MiB. What allocators keep back was 1.7 MiB in 741 rounds; a page or a stream lost in each round, some 10 KB,
        /// would be 7 MiB. Objects are counted exactly: none may be left.
        @Test(.timeLimit(.minutes(2))) func soak_shows_no_leak() async throws {
            let folder = try Folder()
            let alive = Shared<[Weak]>([])
            let clock = ContinuousClock()
            var rounds = 0
            func turn(for time: Duration) async throws {
                let end = clock.now + time
                while clock.now < end {
                    try await round(folder, alive, rounds)
                    rounds += 1
                }
            }
            try await turn(for: .seconds(5))
            let (before, warm) = (residentBytes(), rounds)
            try await turn(for: .seconds(15))
            let grown = residentBytes() - before
            print("soak: \(rounds - warm) rounds after the warm-up, \(grown / 1024) KiB more resident")
            #expect(rounds - warm > 20)
            #expect(grown < 6 << 20)
            try await eventually("no object is left") {
                alive.with { all in
                    all.removeAll { $0.object == nil }
                    return all.isEmpty
                }
            }
        }

        private func round(_ folder: Folder, _ alive: Shared<[Weak]>, _ number: Int) async throws {
            let backend = MemoryBackend()
            let tokens = Tokens { _ in Token(secret: "t") }
            let rig = try await Rig(
                folder: folder, backend: MemoryBackend.whole, host: Host(tokens: tokens, remote: backend))
            let store = rig.store
            let listener = OnChange { _ in }
            for object in [backend, tokens, listener, store, rig.accounts] as [AnyObject] {
                alive.with { $0.append(Weak(object)) }
            }
            let place = try await store.listen(listener: listener)
            var op = ""
            for n in 0..<20 {
                op = try await store.put(collection: "workout", id: "w\(n)", body: #"{"n":\#(number),"m":\#(n)}"#).op ?? ""
            }
            _ = try await store.query(query: Query(collection: "workout", limit: 100))
            for await _ in store.changes() { break }
            for try await _ in store.watch(Query(collection: "workout")) { break }
            let waiting = Task { [op] in try await store.settledUnlessCancelled(op: op) }
            waiting.cancel()
            _ = try? await waiting.value
            let draining = Task { try await store.syncUnlessCancelled() }
            draining.cancel()
            _ = try? await draining.value
            _ = try await store.sync()
            _ = await failure { _ = try await store.put(collection: "workout", id: "w1", body: "no body") }
            try await store.suspend()
            _ = try await store.status()
            if number % 2 == 0 { try store.unlisten(listener: place) }
            // The records go too, or the file would grow and not a leak.
            _ = try await store.writeAll(mutations: (0..<20).map { .delete(collection: "workout", id: "w\($0)") })
            try await store.close()
        }
    }
}

final class Weak: @unchecked Sendable {
    weak var object: AnyObject?

    init(_ object: AnyObject) { self.object = object }
}

/// What of this process is in memory.
func residentBytes() -> Int {
    #if os(Linux)
    let words = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
    return words.count > 1 ? (Int(words[1]) ?? 0) * 4096 : 0
    #else
    return 0
    #endif
}
