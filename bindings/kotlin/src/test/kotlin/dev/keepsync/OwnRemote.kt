package dev.keepsync

import java.util.concurrent.CopyOnWriteArrayList

/** An app's own backend: versions count, one change after the other is told. */
internal open class OwnRemote : Remote {
    private class Held(var body: String?, var version: Long, var op: String?)

    private val records = LinkedHashMap<Pair<String, String>, Held>()
    private val changes = ArrayList<Pair<String, String>>()
    val tokens = CopyOnWriteArrayList<String?>()
    val pushed = CopyOnWriteArrayList<PushItem>()

    /** Somebody else writes. */
    @Synchronized
    fun write(collection: String, id: String, body: String?, op: String? = null): Long {
        val held = records.getOrPut(collection to id) { Held(null, 0, null) }
        held.body = body
        held.version += 1
        held.op = op
        changes += collection to id
        return held.version
    }

    @Synchronized
    fun body(collection: String, id: String): String? = records[collection to id]?.body

    private fun version(key: Pair<String, String>): RemoteVersion {
        val held = records.getValue(key)
        return RemoteVersion(held.body, held.version, updatedAt = 1_700_000_000_000 + held.version, op = held.op)
    }

    @Synchronized
    private fun apply(item: PushItem): Outcome {
        val key = item.collection to item.id
        val held = records[key]
        return when {
            held?.op == item.op -> Outcome.Accepted(held.version, null, null)
            (held?.version ?: 0) != item.baseVersion && item.baseOp != held?.op -> Outcome.HasOther(version(key))
            else -> Outcome.Accepted(write(item.collection, item.id, item.body, item.op), null, null)
        }
    }

    override suspend fun push(token: String?, batch: PushBatch): PushAnswer {
        tokens += token
        pushed += batch.items
        return PushAnswer(batch.items.map { PushResult(it.op, apply(it)) })
    }

    override suspend fun pull(token: String?, request: PullRequest): PullPage = synchronized(this) {
        tokens += token
        val told = request.cursors.flatMap { cursor ->
            changes.drop(cursor.position?.toInt() ?: 0).filter { it.first == cursor.collection }
        }.distinct()
        PullPage(
            changes = told.map { RemoteChange(it.first, it.second, version(it)) },
            cursors = request.cursors.map { Cursor(it.collection, "${changes.size}") },
            hasMore = false,
        )
    }

    override suspend fun probe() = Unit
}
