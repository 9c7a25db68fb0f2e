package dev.keepsync

import java.nio.file.Path
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class OfflineTest {
    @Test
    fun offline_session_is_there_after_a_reopen() = test { folder ->
        val id = open(folder).use { store ->
            assertEquals(Status.LocalOnly, store.status())
            val id = store.startSession("workout", "set_log", "", """{"date":"2026-11-20"}""").id
            for (n in 1..3) store.logSet("workout", id, "squat/$n", """{"reps":$n}""")
            store.note("workout", id, "rest until 10:15")
            id
        }
        open(folder).use { store ->
            val session = store.activeSessions().single()
            assertEquals(id, session.id)
            assertEquals("rest until 10:15", session.scratch)
            assertEquals(listOf(1, 2, 3), session.sets.map { reps(it.body) })
            assertEquals(RecordState.PENDING, session.record.state)
            assertEquals(4, store.queueCounts().total())
            store.completeSession("workout", id, "{}")
            assertEquals(emptyList<Session>(), store.activeSessions())
        }
    }

    @Test
    fun a_killed_process_loses_nothing() = test(120_000) { folder ->
        for ((round, way) in listOf("killed", "halted", "killed", "halted").withIndex()) {
            val data = folder.resolve("$round")
            val child = ProcessBuilder(
                "${System.getProperty("java.home")}/bin/java", "-Xmx128m", "-XX:TieredStopAtLevel=1",
                "-Djna.library.path=${System.getProperty("jna.library.path")}",
                "-cp", System.getProperty("java.class.path"), "dev.keepsync.OfflineTestKt", "$data", way,
            ).redirectError(ProcessBuilder.Redirect.INHERIT).start()
            val lines = child.inputReader()
            var logged = 0
            while (true) {
                val line = lines.readLine() ?: break
                logged = line.toInt()
                if (way == "killed" && logged == 20 + 7 * round) child.toHandle().destroyForcibly()
            }
            val code = child.waitFor()
            assertEquals(if (way == "killed") 137 else HALTED, code)
            open(data).use { store ->
                val sets = store.activeSessions().single().sets.map { reps(it.body) }
                // The one that it was killed in may be there.
                assertTrue(sets.size == logged || sets.size == logged + 1, "$logged were logged, ${sets.size} are there")
                assertEquals((1..sets.size).toList(), sets)
                assertEquals(sets.size + 1L, store.queueCounts().total())
            }
        }
    }

    private fun reps(body: String?): Int = Regex("\"reps\":(\\d+)").find(body!!)!!.groupValues[1].toInt()
}

private const val HALTED = 7

/** Logs sets for ever, and says how many. */
fun main(args: Array<String>) = runBlocking {
    val store = open(Path.of(args[0]))
    store.startSession("workout", "set_log", "w", "{}")
    var n = 0
    while (true) {
        n += 1
        if (args[1] == "halted" && n == 30) {
            // In the middle of writing, or between two sets.
            Thread { Runtime.getRuntime().halt(HALTED) }.start()
        }
        store.logSet("workout", "w", "slot/$n", """{"reps":$n}""")
        println(n)
        System.out.flush()
        delay(0)
    }
}
