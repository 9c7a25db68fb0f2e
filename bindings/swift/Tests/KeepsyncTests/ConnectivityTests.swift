import Foundation
import Keepsync
import Testing

/// A source as NWPathMonitor is one: once cancelled, it never tells anything again.
private final class OneUse: PathSource {
    struct State {
        var starts = 0
        var cancelled = false
        var tell: (@Sendable (PathFacts) -> Void)?
    }
    let state = Shared(State())

    func start(_ tell: @escaping @Sendable (PathFacts) -> Void) {
        state.with {
            $0.starts += 1
            $0.tell = tell
        }
    }

    func cancel() { state.with { $0.cancelled = true } }

    func says(_ reach: PathFacts.Reach) { state.value.tell?(PathFacts(reach: reach)) }
}

extension Library {
    struct Network {
        @Test func connectivity_is_started_stopped_and_started_again() async throws {
            let made = Shared<[OneUse]>([])
            let hints = PathHints {
                let source = OneUse()
                made.with { $0.append(source) }
                return source
            }
            let backend = MemoryBackend()
            let rig = try await Rig(
                backend: MemoryBackend.whole, settings: Settings(), host: Host(connectivity: hints, remote: backend))
            let store = rig.store
            /// The network goes and comes back; a drain comes with it.
            func drained(by source: OneUse?) async throws {
                try await eventually("it is at rest") { try await store.status() == .idle }
                let before = backend.state.value.pulls
                source?.says(.unsatisfied)
                source?.says(.satisfied)
                try await eventually("the hint makes it drain") { backend.state.value.pulls > before }
            }
            try await eventually("it is started") { made.value.last?.state.value.starts == 1 }
            try await drained(by: made.value.last)

            try await store.suspend()
            try await eventually("it is stopped") { made.value.last?.state.value.cancelled == true }
            try await store.resume()
            try await eventually("another is started") {
                made.value.count == 2 && made.value.last?.state.value.starts == 1
            }
            try await drained(by: made.value.last)
            #expect(made.value.map(\.state.value.starts) == [1, 1])

            try await store.close()
            try await eventually("it is stopped for good") { made.value.last?.state.value.cancelled == true }
            #expect(made.value.count == 2)
        }

        @Test func only_the_newest_source_that_runs_is_passed_on() async throws {
            let rig = try await Rig()
            let store = Hinted(unsafeFromHandle: rig.store.uniffiCloneHandle())
            let made = Shared<[OneUse]>([])
            let hints = PathHints {
                let source = OneUse()
                made.with { $0.append(source) }
                return source
            }
            try hints.start(store: store)
            made.value[0].says(.unsatisfied)
            #expect(store.hints.value == [false])
            try hints.stop()
            made.value[0].says(.satisfied)
            #expect(store.hints.value == [false])
            // Started twice without a stop between.
            try hints.start(store: store)
            try hints.start(store: store)
            #expect(made.value.map(\.state.value.cancelled) == [true, true, false])
            made.value[1].says(.unsatisfied)
            made.value[2].says(.satisfied)
            #expect(store.hints.value == [false, true])
            try hints.stop()
            try hints.stop()
            #expect(made.value.map(\.state.value.cancelled) == [true, true, true])
            try await rig.store.close()
        }
    }
}

/// Another handle of a store, which keeps the hints.
private final class Hinted: Store, @unchecked Sendable {
    let hints = Shared<[Bool]>([])

    override func network(there: Bool) throws {
        hints.with { $0.append(there) }
    }
}
