/// What the platform says of the network.
public struct PathFacts: Sendable, Equatable {
    /// Whether there is a way out.
    public enum Reach: Sendable, CaseIterable {
        /// There is.
        case satisfied
        /// There is none.
        case unsatisfied
        /// There may be one once something connects: a VPN on demand, say.
        case requiresConnection
        /// The platform does not know, or says something new.
        case unknown
    }

    /// Whether there is a way out.
    public var reach: Reach
    /// The user asked to save data.
    public var constrained: Bool
    /// Mobile data or a hotspot.
    public var expensive: Bool
    /// A portal answers instead of the network; `nil` where nobody knows.
    public var captive: Bool?

    public init(reach: Reach, constrained: Bool = false, expensive: Bool = false, captive: Bool? = nil) {
        self.reach = reach
        self.constrained = constrained
        self.expensive = expensive
        self.captive = captive
    }

    /// The hint for `Store.network(there:)`: what is not known counts as there, because a try costs little and only an answer of
    /// the backend is proof. Saving data is no reason to keep what the user wrote.
    public var hint: Bool {
        switch reach {
        case .unsatisfied: false
        case .satisfied, .requiresConnection, .unknown: captive != true
        }
    }
}

/// Where path facts come from. One is used once: a platform's monitor that was cancelled cannot be started again.
public protocol PathSource: Sendable {
    /// Tells the facts from now on, on whatever thread.
    func start(_ tell: @escaping @Sendable (PathFacts) -> Void)
    /// Tells nothing more.
    func cancel()
}

/// The `Connectivity` of an app: hints for the store from a source that is made anew with every start.
///
/// 1. `start`: a new source is made and started. One that still runs is cancelled first.
/// 2. Each fact is passed on as a hint, as long as this source is the newest.
/// 3. `stop`: the source is cancelled. What it still says is not passed on.
public final class PathHints: Connectivity {
    private let make: @Sendable () -> any PathSource
    private let running = Locked<(number: Int, source: (any PathSource)?)>((0, nil))

    public init(_ make: @escaping @Sendable () -> any PathSource) {
        self.make = make
    }

    public func start(store: Store) throws {
        let source = make()
        let (number, before) = running.with { running in
            defer { running = (running.number + 1, source) }
            return (running.number + 1, running.source)
        }
        before?.cancel()
        // The store is held until `stop`: this handle of it is nobody else's.
        source.start { [weak self] facts in
            guard let self, self.running.with({ $0.number == number && $0.source != nil }) else { return }
            // A store that was closed meanwhile needs no hints.
            try? store.network(there: facts.hint)
        }
    }

    public func stop() throws {
        let source = running.with { running in
            defer { running.source = nil }
            return running.source
        }
        source?.cancel()
    }
}
