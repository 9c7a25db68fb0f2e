package dev.keepsync

import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.filter
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.mapNotNull
import kotlinx.coroutines.withContext

/**
 * An account's store. Reads and writes never wait for the network; what does says so.
 *
 * Every call may be cancelled: reads and writes that have begun come to their end all the same, waits
 * ([settled], [rollback], [confirmed]) end. Calls of a closed store answer `closed`.
 */
public class Store internal constructor(
    private val native: NativeStore,
    private val thrown: (Throwable) -> Unit,
) : NativeStoreInterface by native {
    /**
     * Stops the drain, finishes what was accepted, closes the file. Further calls answer `closed`; unsent writes stay in the
     * file. Closing twice is closing once.
     */
    public suspend fun close(): Unit = native.end()

    @Deprecated("It is called close.", ReplaceWith("close()"), DeprecationLevel.HIDDEN)
    override suspend fun end(): Unit = native.end()

    /** Closes the store when [block] has ended, however it ended. */
    public suspend inline fun <R> use(block: (Store) -> R): R {
        try {
            return block(this)
        } finally {
            withContext(NonCancellable) { close() }
        }
    }

    override suspend fun listen(listener: Listener): Long = native.listen(GuardedListener(listener, thrown))

    /**
     * What changes, from now on; at first what the status is. A collector that is slow gets everything that changed
     * meanwhile as one. Ends when the store is closed.
     */
    public fun changes(): Flow<Changes> = flow {
        val gathered = Gathered()
        // Not given up in between: nobody would know its number.
        val number = withContext(NonCancellable) { native.listen(gathered) }
        try {
            do {
                val changes = gathered.next()
                emit(changes)
            } while (!changes.closed)
        } finally {
            native.unlisten(number)
        }
    }

    /** What is going on, at first as it is. Ends when the store is closed. */
    public fun statuses(): Flow<Status> = changes().mapNotNull { it.status }.distinctUntilChanged()

    /**
     * The page that [query] asks for, now and whenever it has become another one. A collector that is slow gets the latest.
     * Ends when the store is closed.
     */
    public fun watch(query: Query): Flow<Page> = read(setOf(query.collection)) { query(query) }

    /** What [read] gives, now and whenever it has become something else after a change in one of [collections]. */
    public fun <T> read(collections: Set<String>, read: suspend Store.() -> T): Flow<T> = flow {
        var first = true
        val affected = changes().filter { changes ->
            (first || changes.collections.any(collections::contains)).also { first = false } && !changes.closed
        }
        affected.conflate().collect { emit(read()) }
    }.distinctUntilChanged()
}

/** Logs the set of a [slot] (exercise and set number, say) of the session [id], or changes it. */
public suspend fun Store.logSet(collection: String, id: String, slot: String, body: String): Written =
    logSet(LoggedSet(collection, id, slot, body))

/**
 * [logSet] for a thread of the app's own that may wait for the disk, never one that draws. What suspends changes threads twice;
 * this does not.
 */
public fun Store.logSetBlocking(collection: String, id: String, slot: String, body: String): Written =
    logSetBlocking(LoggedSet(collection, id, slot, body))
