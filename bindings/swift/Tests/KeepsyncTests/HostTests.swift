import Foundation
import Keepsync
import Testing

extension Library {
    struct Hosts {
        @Test func a_token_provider_that_throws_pauses_the_account() async throws {
            let backend = MemoryBackend()
            let asked = Shared(0)
            let may = Shared(false)
            let tokens = Tokens { _ in
                asked.increment()
                guard may.value else { throw TokenError.SignInNeeded }
                return Token(secret: "t1", subject: lifter)
            }
            let rig = try await Rig(
                backend: MemoryBackend.whole, host: Host(tokens: tokens, remote: backend))
            _ = try await rig.store.put(collection: "workout", id: "w1", body: #"{"name":"Legs"}"#)
            let paused = try await rig.store.sync()
            #expect(paused.push != .worked)
            #expect(paused.accepted == 0)
            #expect(try await rig.store.status() == .needsSignIn)
            #expect(backend.state.value.pushed.isEmpty)
            #expect(try await rig.store.queueCounts().waiting == 1)

            may.with { $0 = true }
            try rig.store.signedIn()
            let report = try await rig.store.sync()
            #expect(report.accepted == 1)
            #expect(backend.state.value.tokens == ["t1"])
            try await rig.store.close()
        }

        @Test func a_token_provider_that_throws_anything_is_asked_again() async throws {
            let backend = MemoryBackend()
            let asked = Shared(0)
            let tokens = Tokens { _ in
                if asked.with({ $0 += 1; return $0 }) == 1 { throw Unexpected() }
                return Token(secret: "t1")
            }
            let rig = try await Rig(backend: MemoryBackend.whole, host: Host(tokens: tokens, remote: backend))
            _ = try await rig.store.put(collection: "workout", id: "w1", body: "{}")
            #expect(try await rig.store.sync().accepted == 0)
            #expect(try await rig.store.status() != .needsSignIn)
            #expect(try await rig.store.sync().accepted == 1)
            try await rig.store.close()
        }

        @Test(.timeLimit(.minutes(1)))
        func a_token_provider_that_re_enters_the_store_does_not_deadlock() async throws {
            let backend = MemoryBackend()
            let itself = Shared<Store?>(nil)
            let tokens = Tokens { _ in
                guard let store = itself.value else { return nil }
                _ = try? await store.put(collection: "workout", id: "made-inside", body: "{}")
                _ = try? await store.status()
                _ = try? await store.query(query: Query(collection: "workout"))
                try? store.network(there: true)
                return Token(secret: "t1")
            }
            let rig = try await Rig(backend: MemoryBackend.whole, host: Host(tokens: tokens, remote: backend))
            itself.with { $0 = rig.store }
            _ = try await rig.store.put(collection: "workout", id: "w1", body: "{}")
            _ = try await rig.store.sync()
            _ = try await rig.store.sync()
            #expect(backend.holds("workout", "w1") != nil)
            #expect(backend.holds("workout", "made-inside") != nil)
            itself.with { $0 = nil }
            try await rig.store.close()
        }

        @Test(.timeLimit(.minutes(1))) func a_cancelled_wait_ends_and_loses_nothing() async throws {
            let backend = MemoryBackend()
            let entered = Shared(0)
            let hang = Shared(true)
            backend.state.with {
                $0.before = {
                    entered.increment()
                    while hang.value { try await Task.sleep(for: .milliseconds(2)) }
                }
            }
            let rig = try await Rig(backend: MemoryBackend.whole, host: Host(remote: backend))
            let store = rig.store
            let written = try await store.put(collection: "workout", id: "w1", body: #"{"name":"Legs"}"#)
            let op = try #require(written.op)

            let settled = Task { try await store.settledUnlessCancelled(op: op) }
            settled.cancel()
            await #expect(throws: CancellationError.self) { try await settled.value }

            let confirmed = Task { try await store.confirmedUnlessCancelled(op: op, within: .seconds(600)) }
            try await eventually("it is sent") { entered.value >= 1 }
            confirmed.cancel()
            await #expect(throws: CancellationError.self) { try await confirmed.value }

            let sync = Task { try await store.syncUnlessCancelled() }
            sync.cancel()
            await #expect(throws: CancellationError.self) { try await sync.value }

            // All of them are over, the request still hangs, and the write is where it was.
            #expect(try await store.queueCounts().waiting == 1)
            #expect(try await store.entry(op: op).body == #"{"name":"Legs"}"#)
            hang.with { $0 = false }
            try await eventually("it arrives") { try await store.sync().waiting == 0 }
            #expect(try await store.settledUnlessCancelled(op: op) == store.outcome(op: op))
            #expect(backend.holds("workout", "w1")?.version == 1)
            try await store.close()
        }

        @Test(.timeLimit(.minutes(1))) func a_wait_ends_when_the_store_is_closed() async throws {
            let rig = try await Rig()
            let store = rig.store
            let op = try #require(try await store.put(collection: "workout", id: "w1", body: "{}").op)
            let waiting = Task { try await store.settledUnlessCancelled(op: op) }
            let library = Task { try await store.settled(op: op) }
            try await store.close()
            await #expect(throws: KeepsyncError.self) { try await waiting.value }
            await #expect(throws: KeepsyncError.self) { try await library.value }
        }

        @Test func after_a_reload_the_new_host_is_asked() async throws {
            let old = MemoryBackend()
            let new = MemoryBackend()
            let rig = try await Rig(backend: MemoryBackend.whole, host: Host(remote: old))
            _ = try await rig.store.put(collection: "workout", id: "w1", body: "{}")
            #expect(try await rig.store.sync().accepted == 1)
            let again = try await Rig(folder: rig.folder, backend: MemoryBackend.whole, host: Host(remote: new))
            _ = try await again.store.put(collection: "workout", id: "w2", body: "{}")
            #expect(try await rig.store.sync().accepted == 1)
            #expect(old.holds("workout", "w2") == nil)
            #expect(new.holds("workout", "w2") != nil)
            try await again.store.close()
        }

        @Test func an_apps_own_remote_is_pushed_and_pulled() async throws {
            let backend = MemoryBackend()
            let rig = try await Rig(backend: MemoryBackend.whole, host: Host(remote: backend))
            let written = try await rig.store.put(collection: "workout", id: "w1", body: #"{"name":"Legs"}"#)
            backend.put("workout", "w9", #"{"name":"Back"}"#)
            let report = try await rig.store.sync()
            #expect(report.accepted == 1)
            #expect(report.pull == .worked)
            #expect(report.push == .worked)
            let item = try #require(backend.state.value.pushed.first)
            #expect(item.op == written.op)
            #expect(item.kind == .create)
            #expect(item.body == #"{"name":"Legs"}"#)
            #expect(try await rig.store.get(collection: "workout", id: "w9")?.body == #"{"name":"Back"}"#)
            #expect(try await rig.store.get(collection: "workout", id: "w1")?.state == .synced)

            backend.state.with { $0.before = { throw RemoteFault.Offline } }
            _ = try await rig.store.put(collection: "workout", id: "w2", body: "{}")
            #expect(try await rig.store.sync().push == .failed(code: "offline"))
            backend.state.with { $0.before = { throw Unexpected() } }
            #expect(try await rig.store.sync().accepted == 0)
            #expect(try await rig.store.queueCounts().waiting == 1)
            try await rig.store.close()
        }

        @Test func a_custom_resolver_decides() async throws {
            final class Merger: ConflictResolver {
                let names = Shared<[String]>([])
                func resolve(resolver: String, conflict: Conflict) async throws -> Verdict {
                    names.with { $0.append(resolver) }
                    #expect(conflict.local == #"{"name":"mine"}"#)
                    #expect(conflict.remote == #"{"name":"theirs"}"#)
                    return .merged(body: #"{"name":"both"}"#)
                }
            }
            let backend = MemoryBackend()
            let merger = Merger()
            let rig = try await Rig(
                collections: training(workout: .custom(resolver: "names")), backend: MemoryBackend.whole,
                host: Host(remote: backend, resolver: merger))
            _ = try await rig.store.put(collection: "workout", id: "w1", body: #"{"name":"first"}"#)
            _ = try await rig.store.sync()
            _ = try await rig.store.put(collection: "workout", id: "w1", body: #"{"name":"mine"}"#)
            backend.put("workout", "w1", #"{"name":"theirs"}"#)
            try await eventually("it is settled") { try await rig.store.sync().waiting == 0 }
            #expect(merger.names.value.first == "names")
            #expect(backend.holds("workout", "w1")?.body == #"{"name":"both"}"#)
            #expect(try await rig.store.get(collection: "workout", id: "w1")?.body == #"{"name":"both"}"#)
            try await rig.store.close()
        }
    }
}
