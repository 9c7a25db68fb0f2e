#if canImport(UIKit) && os(iOS)
import Foundation
import UIKit

/// Carries out what ``Life`` says, for the stores of an app. Make one when the app starts, and keep it.
@MainActor
public final class AppLife: Sendable {
    private var life = Life()
    private var stores: [Store] = []
    private var assertion = UIBackgroundTaskIdentifier.invalid
    private var waiting: [CheckedContinuation<Void, Never>] = []

    public init() {
        let center = NotificationCenter.default
        for (name, event) in [
            (UIApplication.didEnterBackgroundNotification, Life.Event.didEnterBackground),
            (UIApplication.willEnterForegroundNotification, .willEnterForeground),
        ] {
            // For as long as the process lives, as this does. On the main queue, before the system goes on.
            _ = center.addObserver(forName: name, object: nil, queue: nil) { [weak self] _ in
                MainActor.assumeIsolated { self?.happens(event) }
            }
        }
        if UIApplication.shared.applicationState == .background {
            happens(.didEnterBackground)
        }
    }

    /// The store follows the app's life from now on.
    public func follow(_ store: Store) {
        if !stores.contains(where: { $0 === store }) { stores.append(store) }
    }

    /// Work in the background: the file is closed again before this returns, unless the app has come to the foreground.
    public func work<Result: Sendable>(_ body: @Sendable () async -> Result) async -> Result {
        happens(.workBegan)
        let result = await body()
        await withCheckedContinuation { continuation in
            waiting.append(continuation)
            happens(.workEnded)
        }
        return result
    }

    private func happens(_ event: Life.Event) {
        for step in life.on(event) { perform(step) }
    }

    private func perform(_ step: Life.Step) {
        switch step {
        case .beginAssertion:
            assertion = UIApplication.shared.beginBackgroundTask(withName: "Keepsync") { [weak self] in
                MainActor.assumeIsolated { self?.happens(.assertionExpired) }
            }
        case .endAssertion:
            UIApplication.shared.endBackgroundTask(assertion)
            assertion = .invalid
        case .suspend:
            let stores = stores
            Task {
                // One that is closed has nothing to let go of.
                for store in stores { try? await store.suspend() }
                happens(.suspended)
            }
        case .resume:
            let stores = stores
            Task {
                // Any call opens it too.
                for store in stores { try? await store.resume() }
            }
        case .tellForeground(let there):
            for store in stores { try? store.foreground(there: there) }
        case .releaseWork:
            let released = waiting
            waiting = []
            for continuation in released { continuation.resume() }
        }
    }
}
#endif
