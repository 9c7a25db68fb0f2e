#if canImport(Network)
import Foundation
import Network

extension PathHints {
    /// The platform's network, by `NWPathMonitor`. For `Host.connectivity`.
    public convenience init() {
        self.init { MonitorSource() }
    }
}

private final class MonitorSource: PathSource {
    private let monitor = NWPathMonitor()
    private let queue = DispatchQueue(label: "dev.keepsync.paths", qos: .utility)

    func start(_ tell: @escaping @Sendable (PathFacts) -> Void) {
        monitor.pathUpdateHandler = { tell(PathFacts($0)) }
        monitor.start(queue: queue)
    }

    func cancel() {
        monitor.cancel()
    }
}

extension PathFacts {
    /// What a path says. It never tells of a portal.
    public init(_ path: NWPath) {
        let reach: Reach =
            switch path.status {
            case .satisfied: .satisfied
            case .unsatisfied: .unsatisfied
            case .requiresConnection: .requiresConnection
            @unknown default: .unknown
            }
        self.init(reach: reach, constrained: path.isConstrained, expensive: path.isExpensive)
    }
}
#endif
