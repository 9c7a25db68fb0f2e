package dev.keepsync.bench

import dev.keepsync.Accounts
import dev.keepsync.Changes
import dev.keepsync.CollectionOptions
import dev.keepsync.Listener
import dev.keepsync.Mutation
import dev.keepsync.Options
import dev.keepsync.Parent
import dev.keepsync.Policy
import dev.keepsync.Query
import dev.keepsync.Settings
import dev.keepsync.Store
import dev.keepsync.logSet
import dev.keepsync.logSetBlocking
import dev.keepsync.version
import java.nio.file.Files
import java.nio.file.Path
import kotlin.io.path.ExperimentalPathApi
import kotlin.io.path.createDirectories
import kotlin.io.path.deleteRecursively
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.runBlocking

// What a call costs, as JSON lines: the median of many short rounds after a warm-up, because a round that fits between two
// turns of the scheduler is not disturbed by it. To be read beside the same calls in Rust, from the same minute.

private class Case(val call: String, val warm: Int, val rounds: Int, val perRound: Int, val once: suspend (Int) -> Unit)

private suspend fun measure(case: Case) {
    var n = 0
    repeat(case.warm) { case.once(n++) }
    val rounds = DoubleArray(case.rounds) {
        val begin = System.nanoTime()
        repeat(case.perRound) { case.once(n++) }
        (System.nanoTime() - begin) / 1e3 / case.perRound
    }
    say(case.call, rounds)
}

private fun say(call: String, micros: DoubleArray) {
    micros.sort()
    fun at(share: Double) = "%.2f".format(java.util.Locale.ROOT, micros[((micros.size - 1) * share).toInt()])
    println(
        """{"language":"kotlin","call":"$call","median_us":${at(0.5)},"p10_us":${at(0.1)},"p90_us":${at(0.9)},""" +
            """"rounds":${micros.size}}""",
    )
}

private val body = """{"weight":100,"reps":5,"rpe":8.5,"note":"${"x".repeat(120)}"}"""

private suspend fun calls(store: Store, only: List<String>) {
    store.startSession("workout", "set_log", "w", "{}")
    store.writeAll((0 until 1_000).map { Mutation.Put("exercise", "e$it", body) })
    store.kvSet("k", "v".repeat(500))
    val page = Query("exercise", limit = 100)
    // The fewer a call costs, the more of it make a round.
    listOf(
        Case("version", 50_000, 401, 100) { version() },
        Case("device_id", 50_000, 401, 100) { store.deviceId() },
        // Nothing to do, but on another thread: what every call that waits costs at least.
        Case("salvaged", 5_000, 401, 10) { store.salvaged() },
        Case("get_blocking", 5_000, 401, 10) { store.getBlocking("exercise", "e${it % 1_000}") },
        Case("get", 5_000, 401, 10) { store.get("exercise", "e${it % 1_000}") },
        Case("kv_get_500", 5_000, 401, 10) { store.kvGet("k") },
        Case("page_100_blocking", 1_000, 201, 2) { check(store.queryBlocking(page).records.size == 100) },
        Case("page_100", 1_000, 201, 2) { check(store.query(page).records.size == 100) },
        Case("log_set_blocking", 4_000, 801, 1) { store.logSetBlocking("workout", "w", "squat/${it % 20}", body) },
        Case("log_set", 4_000, 801, 1) { store.logSet("workout", "w", "squat/${it % 20}", body) },
    ).filter { only.isEmpty() || it.call in only }.forEach { measure(it) }
    if (only.isEmpty()) notification(store)
}

/** From the return of a write, which is after its commit, to the listener's call. */
private suspend fun notification(store: Store) {
    val heard = Channel<Long>(Channel.CONFLATED)
    val number = store.listen(object : Listener {
        override fun changed(changes: Changes) {
            if ("profile" in changes.collections) heard.trySend(System.nanoTime())
        }
    })
    val micros = ArrayList<Double>()
    repeat(500) {
        val begin = System.nanoTime()
        store.put("profile", "p", """{"n":$it}""")
        val at = heard.receive()
        if (it >= 200) micros += (at - begin) / 1e3
        // Past the frame in which no second call is made.
        Thread.sleep(20)
    }
    store.unlisten(number)
    say("put_to_listener", micros.toDoubleArray())
    val put = ArrayList<Double>()
    repeat(500) {
        val begin = System.nanoTime()
        store.put("profile", "p", """{"m":$it}""")
        put += (System.nanoTime() - begin) / 1e3
        Thread.sleep(1)
    }
    say("put", put.drop(200).toDoubleArray())
}

/** Arguments: the folder for the files (on a real disk; a temporary one unless given), and the only calls to measure. */
@OptIn(ExperimentalPathApi::class)
fun main(arguments: Array<String>) {
    val folder = arguments.firstOrNull()?.let { Path.of(it).createDirectories().resolve("kotlin-bench") }
        ?: Files.createTempDirectory("keepsync-bench")
    try {
        val collections = listOf(
            CollectionOptions("workout", Policy.Ask),
            CollectionOptions("set_log", Policy.ClientWins, parent = Parent("workout", "workout_id")),
            CollectionOptions("exercise", Policy.ServerWins),
            CollectionOptions("profile", Policy.LastWriteWins),
        )
        runBlocking {
            val options = Options("$folder", collections, settings = Settings(automatic = false))
            Accounts(options).open("ada").use { calls(it, arguments.drop(1)) }
        }
    } finally {
        folder.deleteRecursively()
    }
}
