package dev.keepsync

import kotlinx.coroutines.channels.Channel

/** A listener that takes no time: it keeps what changed, as one, until somebody asks for it. */
internal class Gathered : Listener {
    private val lock = Any()
    private var waiting: Changes? = null
    private val news = Channel<Unit>(Channel.CONFLATED)

    override fun changed(changes: Changes) {
        synchronized(lock) { waiting = waiting?.and(changes) ?: changes }
        news.trySend(Unit)
    }

    /** What changed since the last time; waits until there is something. */
    suspend fun next(): Changes {
        while (true) {
            news.receive()
            synchronized(lock) {
                waiting?.let {
                    waiting = null
                    return it
                }
            }
        }
    }
}

/** Both as one, [later] after this. */
internal fun Changes.and(later: Changes): Changes = Changes(
    collections = (collections + later.collections).distinct(),
    queue = queue || later.queue,
    conflicts = conflicts || later.conflicts,
    notices = notices || later.notices,
    sessions = sessions || later.sessions,
    status = later.status ?: status,
    closed = closed || later.closed,
)
