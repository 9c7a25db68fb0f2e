/// What came of a drain in the background.
public enum BackgroundEnd: Sendable, Equatable {
    /// The drain said so.
    case reported(Report)
    /// The store could not drain at all.
    case failed(KeepsyncError)
}

/// What the system is told of a background task, and when the next one is wanted.
public struct BackgroundPlan: Sendable, Equatable {
    /// For `setTaskCompleted(success:)`.
    public var success: Bool
    /// Not before so many seconds from now; `nil`: no further one, until the app asks.
    public var againAfter: Int?

    /// The system has its own mind; earlier than this it never comes.
    public static let soon = 15 * 60
    /// Nothing waits: only to see what others changed.
    public static let usual = 4 * 60 * 60

    public init(success: Bool, againAfter: Int?) {
        self.success = success
        self.againAfter = againAfter
    }

    /// Decides.
    ///
    /// - Expired: not a success, and soon again. What was sent is sent, what was not waits.
    /// - A half failed, or writes wait: soon again. It is a success where both halves worked: an entry that waits for its time has
    ///   cost nothing.
    /// - All is done, or only the user can go on (sign in, make room, unlock): at the usual time.
    /// - The store is closed, or the call is wrong: no further one.
    public init(after end: BackgroundEnd, expired: Bool) {
        switch end {
        case _ where expired:
            self.init(success: false, againAfter: Self.soon)
        case .reported(let report):
            let failures = [report.pull, report.push].compactMap(\.failure)
            // Nothing that another try would change before the user has been there.
            let forUser = failures.contains("sign_in") || failures.contains("storage_full")
            let again = !failures.isEmpty || report.waiting > 0
            self.init(success: failures.isEmpty, againAfter: again && !forUser ? Self.soon : Self.usual)
        case .failed(let error):
            switch error.retry {
            case .later: self.init(success: false, againAfter: Self.soon)
            case .afterUser: self.init(success: false, againAfter: Self.usual)
            case .never: self.init(success: false, againAfter: nil)
            }
        }
    }
}

extension HalfResult {
    /// The code of its failure.
    var failure: String? {
        if case .failed(let code) = self { code } else { nil }
    }
}

/// The time a drain may take of what the system gives.
public struct BackgroundBudget: Sendable {
    /// What kind of task.
    public enum Kind: Sendable {
        /// `BGAppRefreshTask`: 30 seconds.
        case refresh
        /// `BGProcessingTask`: minutes, until the system wants them back.
        case processing
    }

    /// Milliseconds for `Store.background`: five seconds are kept for closing the file.
    public static func milliseconds(for kind: Kind) -> Int64 {
        switch kind {
        case .refresh: 25_000
        case .processing: 175_000
        }
    }
}
