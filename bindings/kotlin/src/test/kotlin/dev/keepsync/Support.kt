package dev.keepsync

import java.nio.file.Files
import java.nio.file.Path
import kotlin.io.path.deleteRecursively
import kotlin.io.path.ExperimentalPathApi
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.fail

internal const val ADA = "ada"

/** A folder of its own, gone afterwards. */
@OptIn(ExperimentalPathApi::class)
internal fun test(limitMs: Long = 60_000, block: suspend CoroutineScope.(Path) -> Unit) {
    val folder = Files.createTempDirectory("keepsync-kotlin")
    try {
        runBlocking { withTimeout(limitMs) { block(folder) } }
    } finally {
        folder.deleteRecursively()
    }
}

internal fun collections(): List<CollectionOptions> = listOf(
    CollectionOptions("workout", Policy.Ask, indexes = listOf("date")),
    CollectionOptions("set_log", Policy.ClientWins, parent = Parent("workout", "workout_id")),
    CollectionOptions("profile", Policy.LastWriteWins),
)

/** Nothing happens by itself. */
internal val quiet = Settings(automatic = false)

internal val own = Backend.App(Capabilities(batches = true, after = true, pull = true))

internal fun options(
    folder: Path,
    backend: Backend? = null,
    settings: Settings = quiet,
    collections: List<CollectionOptions> = collections(),
): Options = Options(folder.toString(), collections, backend, settings)

internal suspend fun open(folder: Path, backend: Backend? = null, host: Host = Host()): Store =
    Accounts(options(folder, backend), host).open(ADA)

/** Waits until it holds; a condition that never does fails the test. */
internal suspend fun until(what: String, condition: suspend () -> Boolean) {
    val end = System.nanoTime() + 20_000_000_000
    while (!condition()) {
        if (System.nanoTime() > end) fail("not within 20 s: $what")
        delay(5)
    }
}

internal suspend fun failure(call: suspend () -> Unit): KeepsyncException {
    try {
        call()
    } catch (failure: KeepsyncException) {
        return failure
    }
    fail("it did not fail")
}

internal fun QueueCounts.total(): Long = waiting + held + conflict + parked

internal fun assertHas(text: String?, part: String) =
    assertTrue(text != null && part in text, "'$part' is not in '$text'")
