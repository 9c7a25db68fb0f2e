import Foundation

extension Store {
    /// What changes from now on. The first element tells the status as it is.
    ///
    /// 1. A listener is added. From its first call on no change is missed.
    /// 2. What changes while nobody takes the next element is put together: at most one element waits, however slow the loop is.
    /// 3. The stream ends when the task that reads it is cancelled, when nobody holds it any more, or when the store is closed:
    ///    the last element then has `closed`. The listener is removed.
    public func changes() -> AsyncStream<Changes> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { stream in
            listening(until: { stream.onTermination = $0 }) { told in
                // Newer and older are one element again. Taken in between, the newer comes twice, which does no harm.
                if case .dropped(let older) = stream.yield(told) {
                    stream.yield(older.followed(by: told))
                }
                if told.closed {
                    stream.finish()
                }
            }
        }
    }

    /// What is going on: now, and whenever it is something else. Only the newest is kept for a loop that is slow. Ends as
    /// ``changes()`` does.
    public func statuses() -> AsyncStream<Status> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { stream in
            listening(until: { stream.onTermination = $0 }) { told in
                if let status = told.status {
                    stream.yield(status)
                }
                if told.closed {
                    stream.finish()
                }
            }
        }
    }

    /// Adds a listener until `end` is called by what `until` keeps.
    private func listening<End>(
        until keep: (@escaping @Sendable (End) -> Void) -> Void,
        _ told: @escaping @Sendable (Changes) -> Void
    ) {
        let place = Place(self)
        keep { _ in place.leave() }
        let teller = Teller(told)
        Task {
            guard let number = try? await self.listen(listener: teller) else {
                // Only without a runtime: nothing works then.
                told(Changes(closed: true))
                return
            }
            place.taken(number)
        }
    }
}

extension Changes {
    init(closed: Bool) {
        self.init(
            collections: [], queue: false, conflicts: false, notices: false, sessions: false, status: nil, closed: closed)
    }

    /// This and what came after it, as if told at once.
    func followed(by next: Changes) -> Changes {
        Changes(
            collections: collections + next.collections.filter { !collections.contains($0) },
            queue: queue || next.queue,
            conflicts: conflicts || next.conflicts,
            notices: notices || next.notices,
            sessions: sessions || next.sessions,
            status: next.status ?? status,
            closed: closed || next.closed)
    }
}

private final class Teller: Listener {
    private let told: @Sendable (Changes) -> Void

    init(_ told: @escaping @Sendable (Changes) -> Void) {
        self.told = told
    }

    func changed(changes: Changes) throws {
        told(changes)
    }
}

/// A listener's place at a store. Leaving may come before it is taken.
private final class Place: Sendable {
    private enum State {
        case awaited, left
        case taken(Int64)
    }

    private let store: Store
    private let state = Locked(State.awaited)

    init(_ store: Store) {
        self.store = store
    }

    func taken(_ number: Int64) {
        let left = state.with { state in
            if case .left = state { return true }
            state = .taken(number)
            return false
        }
        if left {
            try? store.unlisten(listener: number)
        }
    }

    func leave() {
        let before = state.with { state in
            defer { state = .left }
            return state
        }
        if case .taken(let number) = before {
            try? store.unlisten(listener: number)
        }
    }
}
