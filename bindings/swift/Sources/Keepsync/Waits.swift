extension Store {
    /// Waits until it is known what became of a write, and says it. A cancelled task stops waiting: `CancellationError`. The write
    /// is not touched by that.
    ///
    /// Unlike `settled`, which waits in the library until there is an answer or the store is closed, nothing is left behind.
    public func settledUnlessCancelled(op: String) async throws -> WriteOutcome {
        for await told in changes() {
            // The first one tells a status: the outcome may have been there before.
            guard told.queue || told.conflicts || told.status != nil || told.closed else { continue }
            let outcome = try await outcome(op: op)
            if case .pending = outcome { continue }
            return outcome
        }
        try Task.checkCancellation()
        throw KeepsyncError.closed
    }

    /// Sends a write at once and waits until the backend has it, at most `limit`. A cancelled task stops waiting:
    /// `CancellationError`. The write stays in the queue and is sent as ever.
    public func confirmedUnlessCancelled(op: String, within limit: Duration) async throws -> Confirmation {
        let milliseconds = limit.milliseconds
        return try await leaving { try await self.confirmed(op: op, limitMs: milliseconds) }
    }

    /// Drains now, or joins the drain under way, and says what came of it. A cancelled task stops the drain, also for others who
    /// wait for it, and gets `CancellationError`; unsent writes wait for the next.
    public func syncUnlessCancelled() async throws -> Report {
        try Task.checkCancellation()
        return try await withTaskCancellationHandler {
            try await leaving { try await self.sync() }
        } onCancel: {
            try? self.cancel()
        }
    }
}

extension Duration {
    /// Whole milliseconds, not below 0.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        return max(0, seconds * 1000 + attoseconds / 1_000_000_000_000_000)
    }
}

/// Does the work to its end; a cancelled task does not wait for that.
func leaving<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) async throws -> Value {
    let race = Race<Value>()
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
            race.begins(continuation)
            Task {
                do {
                    race.ends(.success(try await work()))
                } catch {
                    race.ends(.failure(error))
                }
            }
        }
    } onCancel: {
        race.ends(.failure(CancellationError()))
    }
}

/// The first end counts. It may come before the beginning.
private final class Race<Value: Sendable>: Sendable {
    private enum State {
        case ahead
        case running(CheckedContinuation<Value, any Error>)
        case endedAhead(Result<Value, any Error>)
        case over
    }

    private let state = Locked(State.ahead)

    func begins(_ continuation: CheckedContinuation<Value, any Error>) {
        let ended: Result<Value, any Error>? = state.with { state in
            if case .endedAhead(let result) = state {
                state = .over
                return result
            }
            state = .running(continuation)
            return nil
        }
        if let ended {
            continuation.resume(with: ended)
        }
    }

    func ends(_ result: Result<Value, any Error>) {
        let waiting: CheckedContinuation<Value, any Error>? = state.with { state in
            switch state {
            case .ahead:
                state = .endedAhead(result)
                return nil
            case .running(let continuation):
                state = .over
                return continuation
            case .endedAhead, .over:
                return nil
            }
        }
        waiting?.resume(with: result)
    }
}
