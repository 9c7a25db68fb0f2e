#if canImport(BackgroundTasks) && os(iOS)
import BackgroundTasks
import Foundation

/// The drain in the background, by `BGTaskScheduler`.
///
/// 1. `register` while the app launches, before it has finished; the identifier is in `BGTaskSchedulerPermittedIdentifiers`.
/// 2. `schedule` when the app leaves the foreground.
/// 3. The system starts the task: the next one is asked for at once, so that a run that is killed is not the last.
/// 4. The store drains within its budget. Where the time is over before, the drain is cancelled.
/// 5. The file is let go (`AppLife.work`), the system is told, the next run is asked for as ``BackgroundPlan`` says.
///
/// Stopped anywhere: what was written is on the disk, what was sent is either confirmed or sent again under the same operation.
public final class BackgroundDrain: Sendable {
    private let identifier: String
    private let life: AppLife
    private let store: @Sendable () async throws -> Store

    /// `store` gives the account's store, opening it where the system has launched the app for this.
    public init(identifier: String, life: AppLife, store: @escaping @Sendable () async throws -> Store) {
        self.identifier = identifier
        self.life = life
        self.store = store
    }

    /// False where the identifier is not permitted.
    public func register() -> Bool {
        BGTaskScheduler.shared.register(forTaskWithIdentifier: identifier, using: nil) { task in
            self.run(task)
        }
    }

    /// Asks for a run in so many seconds or later. Replaces what was asked for before.
    public func schedule(after seconds: Int = BackgroundPlan.soon) throws {
        let request = BGProcessingTaskRequest(identifier: identifier)
        request.requiresNetworkConnectivity = true
        request.earliestBeginDate = Date(timeIntervalSinceNow: TimeInterval(seconds))
        try BGTaskScheduler.shared.submit(request)
    }

    private func run(_ task: BGTask) {
        try? schedule(after: BackgroundPlan.usual)
        let kind: BackgroundBudget.Kind = task is BGAppRefreshTask ? .refresh : .processing
        let ending = Ending(task)
        let expired = Locked(false)
        let opened = Locked<Store?>(nil)
        task.expirationHandler = {
            expired.with { $0 = true }
            // The drain then comes to its end with what it has.
            try? opened.with { $0 }?.cancel()
        }
        Task {
            let end = await life.work {
                do {
                    let store = try await self.store()
                    opened.with { $0 = store }
                    if expired.with({ $0 }) { try store.cancel() }
                    return BackgroundEnd.reported(
                        try await store.background(budgetMs: BackgroundBudget.milliseconds(for: kind)))
                } catch let error as KeepsyncError {
                    return .failed(error)
                } catch {
                    return .failed(.Failed(code: "internal", retry: .later, detail: "opening failed"))
                }
            }
            let plan = BackgroundPlan(after: end, expired: expired.with { $0 })
            if let seconds = plan.againAfter {
                try? schedule(after: seconds)
            } else {
                BGTaskScheduler.shared.cancel(taskRequestWithIdentifier: identifier)
            }
            ending.completed(plan.success)
        }
    }
}

/// A task of the system's, to be handed to a Swift task. `BGTask` may be used from any thread and is not marked so.
private final class Ending: @unchecked Sendable {
    private let task: BGTask

    init(_ task: BGTask) {
        self.task = task
    }

    func completed(_ success: Bool) {
        task.setTaskCompleted(success: success)
    }
}
#endif
