package dev.keepsync

/** What the system's background task should be told. */
public enum class BackgroundVerdict {
    /** There is nothing to come back for: done, or only the user can go on. */
    DONE,

    /** Come again, after the system's own wait. */
    AGAIN,
}

/**
 * What a drain in the background came to. It asks to come again only where that could help: where something is left that the
 * drain itself can move.
 *
 * @param waiting entries that wait for their turn, their time, or an answer
 * @param status what the store says afterwards
 */
public fun verdict(report: Report, waiting: Long, status: Status): BackgroundVerdict = when (status) {
    // Only the user, or nobody, can go on.
    Status.NeedsSignIn, Status.StorageFull, Status.LocalOnly -> BackgroundVerdict.DONE
    // Another process is at it.
    Status.Elsewhere -> BackgroundVerdict.DONE
    else -> {
        val unfinished = report.pull is HalfResult.Failed || report.push is HalfResult.Failed ||
            // Out of time before its turn.
            report.pull == HalfResult.NotRun && report.push == HalfResult.NotRun && waiting > 0
        if (unfinished || waiting > 0) BackgroundVerdict.AGAIN else BackgroundVerdict.DONE
    }
}

/** The same for what was thrown on the way. */
public fun verdict(failure: KeepsyncException): BackgroundVerdict = when (failure.retry) {
    RetryClass.LATER -> BackgroundVerdict.AGAIN
    // Before the first unlock of the device: the system starts tasks there, too.
    RetryClass.AFTER_USER -> if (failure.code == "unavailable") BackgroundVerdict.AGAIN else BackgroundVerdict.DONE
    RetryClass.NEVER -> BackgroundVerdict.DONE
}

/**
 * Milliseconds that a task may spend draining, if the system stops it after [allowed]: enough is left to finish what is under
 * way and to close.
 */
public fun budget(allowed: Long): Long = (allowed - maxOf(allowed / 10, 2_000)).coerceIn(0, allowed)
