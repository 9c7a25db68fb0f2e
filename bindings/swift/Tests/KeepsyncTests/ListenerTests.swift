import Foundation
import Keepsync
import Testing

extension Library {
    struct Listeners {
        @Test func callbacks_come_from_rust_threads_and_coalesce() async throws {
            let rig = try await Rig()
            let calls = Shared(0)
            let threads = Shared<Set<UInt>>([])
            let seen = Shared<Set<String>>([])
            _ = try await rig.store.listen(
                listener: OnChange { changes in
                    calls.increment()
                    threads.with { $0.insert(thisThread()) }
                    seen.with { $0.formUnion(changes.collections) }
                })
            try await eventually("the first call") { calls.value == 1 }
            var mine: Set<UInt> = []
            let clock = ContinuousClock()
            let begin = clock.now
            for n in 1...1_000 {
                mine.insert(thisThread())
                _ = try await rig.store.put(collection: "workout", id: "w1", body: #"{"n":\#(n)}"#)
            }
            try await eventually("the change is told") { seen.value == ["workout"] }
            // At least 16 ms lie between two calls; so many fit into the time, and those of its ends.
            let most = (clock.now - begin) / .milliseconds(16) + 3
            #expect(Double(calls.value) <= most)
            #expect(calls.value < 700)
            #expect(threads.value.isDisjoint(with: mine))
            try await rig.store.close()
        }

        @Test func a_listener_that_throws_harms_nobody() async throws {
            let rig = try await Rig()
            let thrown = Shared(0)
            let heard = Shared<Set<String>>([])
            _ = try await rig.store.listen(
                listener: OnChange { _ in
                    thrown.increment()
                    throw Unexpected()
                })
            _ = try await rig.store.listen(
                listener: OnChange { _ in throw HostError.Failed(reason: "it is as it is") })
            _ = try await rig.store.listen(listener: OnChange { told in heard.with { $0.formUnion(told.collections) } })
            try await eventually("the first call") { thrown.value == 1 }
            _ = try await rig.store.put(collection: "workout", id: "w1", body: "{}")
            try await eventually("the others are told") { heard.value == ["workout"] }
            try await eventually("it is called again") { thrown.value >= 2 }
            #expect(try await rig.store.queueCounts().waiting == 1)
            try await rig.store.close()
        }

        @Test func a_listener_that_hangs_harms_nobody() async throws {
            let rig = try await Rig()
            let hanging = Shared(0)
            let heard = Shared(0)
            let release = DispatchSemaphore(value: 0)
            _ = try await rig.store.listen(
                listener: OnChange { _ in
                    hanging.increment()
                    release.wait()
                })
            _ = try await rig.store.listen(listener: OnChange { _ in heard.increment() })
            try await eventually("it hangs") { hanging.value == 1 }
            for n in 1...20 {
                _ = try await rig.store.put(collection: "workout", id: "w\(n)", body: "{}")
            }
            try await eventually("the other is told") { heard.value >= 2 }
            #expect(hanging.value == 1)
            // Not even closing waits for it.
            try await rig.store.close()
            release.signal()
            try await eventually("it is told of the end") { hanging.value == 2 }
            release.signal()
        }

        @Test func what_is_written_right_after_listening_is_told() async throws {
            let rig = try await Rig()
            for n in 1...100 {
                let told = Shared<Set<String>>([])
                let number = try await rig.store.listen(
                    listener: OnChange { changes in told.with { $0.formUnion(changes.collections) } })
                _ = try await rig.store.put(collection: "workout", id: "w1", body: #"{"n":\#(n)}"#)
                try await eventually("change \(n) is told") { told.value == ["workout"] }
                try rig.store.unlisten(listener: number)
            }
            try await rig.store.close()
        }

        @Test(.timeLimit(.minutes(1))) func a_slow_loop_gets_everything_in_one() async throws {
            let rig = try await Rig()
            var changes = rig.store.changes().makeAsyncIterator()
            let first = await changes.next()
            #expect(first?.status == .localOnly)
            let heard = Shared<Set<String>>([])
            _ = try await rig.store.listen(listener: OnChange { told in heard.with { $0.formUnion(told.collections) } })
            _ = try await rig.store.startSession(collection: "workout", children: "set", id: "w1", body: "{}")
            try await eventually("the one is told") { heard.value.contains("workout") }
            _ = try await rig.store.logSet(collection: "workout", id: "w1", slot: "1", body: "{}")
            try await eventually("the other is told") { heard.value.contains("set") }
            var told: Set<String> = []
            var elements = 0
            while told != ["workout", "set"] {
                guard let next = await changes.next() else { break }
                told.formUnion(next.collections)
                elements += 1
            }
            #expect(told == ["workout", "set"])
            #expect(elements <= 3)
            try await rig.store.close()
            let last = await changes.next()
            #expect(last?.closed == true)
            #expect(await changes.next() == nil)
        }

        @Test func the_listener_of_a_stream_goes_with_it() async throws {
            let rig = try await Rig()
            let store = Spy(unsafeFromHandle: rig.store.uniffiCloneHandle())
            let told = Shared(0)
            let loop = Task { for await _ in store.changes() { told.increment() } }
            try await eventually("it runs") { told.value == 1 }
            loop.cancel()
            await loop.value
            for await status in store.statuses() {
                #expect(status == .localOnly)
                break
            }
            for try await _ in store.watch(Query(collection: "workout")) { break }
            // One that ends before its listener is there.
            let early = Task { for await _ in store.changes() {} }
            early.cancel()
            await early.value
            try await eventually("each listener that was added is removed") {
                store.places.value.isEmpty && store.added.value == 4
            }
            try await store.close()
        }
    }
}

/// Another handle of a store, which counts its listeners.
private final class Spy: Store, @unchecked Sendable {
    let places = Shared<Set<Int64>>([])
    let added = Shared(0)

    override func listen(listener: any Listener) async throws -> Int64 {
        let place = try await super.listen(listener: listener)
        places.with { _ = $0.insert(place) }
        added.increment()
        return place
    }

    override func unlisten(listener: Int64) throws {
        try super.unlisten(listener: listener)
        places.with { _ = $0.remove(listener) }
    }
}
