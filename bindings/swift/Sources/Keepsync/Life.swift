/// When the store lets go of its file and takes it again, over the life of an app. A lock that an app holds while the system stops
/// it may cost the app its life (`0xdead10cc`).
///
/// Leaving:
/// 1. An assertion is begun, so that the system waits. The store is told that the app has left.
/// 2. The store is suspended: the drain is cancelled, what was accepted is finished, the file is closed.
/// 3. The assertion is ended. Where the system wants it back before that, it is ended at once, and the suspension goes on as long as
///    it is let.
///
/// Coming back: what is being suspended is suspended to its end first, then the store is resumed. So a suspension never comes after
/// the resumption that follows it.
///
/// Work in the background (the system's task) opens the file by itself. It is closed again when the last work is over, unless the
/// app is in the foreground by then; only then the work's task is told to be complete.
public struct Life: Sendable, Equatable {
    /// What happens.
    public enum Event: Sendable, Equatable, CaseIterable {
        case didEnterBackground, willEnterForeground
        /// The store has let go of its file, or failed to.
        case suspended
        /// The system ends the assertion.
        case assertionExpired
        case workBegan, workEnded
    }

    /// What is to be done about it, in this order.
    public enum Step: Sendable, Equatable {
        case beginAssertion, endAssertion
        case suspend, resume
        case tellForeground(Bool)
        /// Work that has ended may be told to be complete.
        case releaseWork
    }

    /// Whether the app is in the foreground.
    public private(set) var inFront = true
    /// Whether a suspension is under way.
    public private(set) var suspending = false
    /// Whether the file may be open.
    public private(set) var open = true
    /// Whether the assertion is held.
    public private(set) var asserted = false
    /// How much work is under way in the background.
    public private(set) var works = 0
    /// Whether work began while a suspension was under way: it may have opened the file behind its back.
    public private(set) var reopened = false
    /// Whether work has ended and waits for the file to be closed.
    public private(set) var finished = false

    public init() {}

    /// What to do when this happens.
    public mutating func on(_ event: Event) -> [Step] {
        switch event {
        case .didEnterBackground:
            guard inFront else { return [] }
            inFront = false
            return [.tellForeground(false)] + leave()
        case .willEnterForeground:
            guard !inFront else { return [] }
            inFront = true
            return suspending ? [] : come()
        case .workBegan:
            works += 1
            open = true
            reopened = reopened || suspending
            return []
        case .workEnded:
            guard works > 0 else { return [] }
            works -= 1
            finished = true
            return leave()
        case .suspended:
            guard suspending else { return [] }
            suspending = false
            if inFront { return letGo() + come() }
            // Work that goes on closes it in the end; for work that is over by now it is closed once more.
            if works == 0 && reopened { return leave() }
            if works == 0 { open = false }
            return letGo()
        case .assertionExpired:
            guard asserted else { return [] }
            asserted = false
            return [.endAssertion]
        }
    }

    /// Closes the file, if nobody needs it.
    private mutating func leave() -> [Step] {
        if inFront || works > 0 { return finished && works == 0 ? letGo() : [] }
        if suspending { return [] }
        suspending = true
        reopened = false
        if asserted { return [.suspend] }
        asserted = true
        return [.beginAssertion, .suspend]
    }

    /// The system need not wait any more.
    private mutating func letGo() -> [Step] {
        var steps: [Step] = []
        if asserted { steps.append(.endAssertion) }
        if finished && works == 0 {
            steps.append(.releaseWork)
            finished = false
        }
        asserted = false
        return steps
    }

    private mutating func come() -> [Step] {
        open = true
        return [.resume, .tellForeground(true)]
    }
}
