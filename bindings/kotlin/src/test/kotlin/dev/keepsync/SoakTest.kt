package dev.keepsync

import com.sun.jna.NativeLibrary
import com.sun.jna.Structure
import java.nio.file.Files
import java.nio.file.Path
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class SoakTest {
    private class Figures(val heapKib: Long, val nativeKib: Long, val rssKib: Long, val threads: Int, val files: Int)

    /**
     * Rounds of everything that takes a handle: calls, listeners, waits that are cancelled, errors, hosts, opening and closing;
     * each opens a store, makes some 40 calls and lets go of all of it. In the first half of the time code is compiled and pools
     * reach their size. In the second half nothing may grow any more:
     * - handles that the library holds of Kotlin's objects: none more, each is counted (the last round's host may still be in
     *   the collector's sight, at either time);
     * - open files: none more, once the virtual machine is done with its own; threads: no more than the library's pool, which keeps one for 10 s, may add;
     * - heap after collections that find nothing more: less than 4 MiB more (one round's host and store, which may still be in
     *   sight at either time, are 2 MiB);
     * - what the library, SQLite and the virtual machine have allocated and not freed: less than 2 MiB more. It is at least 100
     *   rounds on an idle machine: a leak of one store a round (its caches alone are 200 KiB), or of 500 bytes a call, would be more;
     * - resident memory: less than 16 MiB more. It holds what allocators and the machine's compiler keep for later, too; so this
     *   catches only what the others do not see.
     */
    @Test
    fun soak_shows_no_leak() = test(120_000) { folder ->
        val remote = OwnRemote()
        val host = Host(
            remote = remote,
            tokens = object : TokenProvider {
                override suspend fun token(account: String, rejected: String?) = Token("secret")
            },
        )
        val begin = System.nanoTime()
        fun seconds() = (System.nanoTime() - begin) / 1e9
        var rounds = 0
        suspend fun soak(until: Double) {
            while (seconds() < until) {
                round(folder, host, rounds)
                // What it remembers is the test's own.
                remote.pushed.clear()
                remote.tokens.clear()
                rounds += 1
            }
        }
        soak(12.0)
        val warm = rounds
        val before = figures()
        val handles = handles()
        soak(24.0)
        val after = figures()
        until("every handle is let go: $handles") {
            System.gc()
            handles().all { (kind, count) -> count <= handles.getValue(kind) + 1 }
        }
        until("every file is closed: ${before.files}, ${after.files}") { openFiles() <= before.files }
        println(
            "soak: $rounds rounds (${rounds - warm} measured), heap ${before.heapKib} -> ${after.heapKib} KiB, " +
                "native ${before.nativeKib} -> ${after.nativeKib} KiB, rss ${before.rssKib} -> ${after.rssKib} KiB, threads ${before.threads} -> ${after.threads}, " +
                "files ${before.files} -> ${after.files}, handles ${handles()}",
        )
        assertTrue(rounds - warm > 50, "only ${rounds - warm} rounds")
        assertTrue(after.heapKib - before.heapKib < 4 * 1024, "heap")
        assertTrue(after.nativeKib - before.nativeKib < 2 * 1024, "native memory")
        assertTrue(after.rssKib - before.rssKib < 16 * 1024, "resident memory")
        assertTrue(after.threads - before.threads < 16, "threads")
    }

    private suspend fun round(folder: Path, host: Host, n: Int) {
        // The same few records, so that the file itself does not grow.
        open(folder, own, host).use { store ->
            val op = store.put("profile", "p${n % 10}", """{"n":$n}""").op!!
            repeat(5) {
                store.get("profile", "p$it")
                store.query(Query("profile", limit = 10))
                store.kvSet("k", "v".repeat(500))
                store.kvGet("k")
                runCatching { store.put("nowhere", "p", "{}") }
            }
            val watching = CoroutineScope(Dispatchers.Default).launch {
                store.watch(Query("profile")).collect {}
            }
            store.changes().first()
            val waiting = CoroutineScope(Dispatchers.Default).async { store.settled(op) }
            withTimeoutOrNull(1) { store.settled(op) }
            waiting.cancelAndJoin()
            store.listen(object : Listener {
                override fun changed(changes: Changes) = error("thrown")
            })
            store.sync()
            if (n % 2 == 0) store.suspend()
            watching.cancelAndJoin()
        }
    }

    /** Objects of ours that the library holds. */
    private fun handles(): Map<String, Int> = mapOf(
        "continuations" to uniffiContinuationHandleMap.size,
        "futures" to uniffiForeignFutureHandleCount(),
        "listeners" to FfiConverterTypeListener.handleMap.size,
        "tokens" to FfiConverterTypeTokenProvider.handleMap.size,
        "remotes" to FfiConverterTypeRemote.handleMap.size,
    )

    private fun figures(): Figures {
        val runtime = Runtime.getRuntime()
        fun used() = (runtime.totalMemory() - runtime.freeMemory()) / 1024
        // What the collector finds, the cleaner lets go of, and with it more for the collector: until nothing more comes of it.
        var before = Long.MAX_VALUE
        for (turn in 1..50) {
            System.gc()
            Thread.sleep(100)
            val now = used()
            if (turn > 3 && now > before - 64) break
            before = now
        }
        val status = Files.readAllLines(Path.of("/proc/self/status"))
        fun field(name: String) = status.first { it.startsWith("$name:") }.filter(Char::isDigit).toLong()
        return Figures(
            heapKib = used(),
            nativeKib = allocated() / 1024,
            rssKib = field("VmRSS"),
            threads = field("Threads").toInt(),
            files = openFiles(),
        )
    }

    private fun openFiles() = Files.list(Path.of("/proc/self/fd")).use { it.count().toInt() }

    /** Bytes that the process has allocated and not freed, says glibc. */
    private fun allocated(): Long {
        val said = NativeLibrary.getInstance("c").getFunction("mallinfo2")
            .invoke(MallInfo::class.java, emptyArray()) as MallInfo
        return said.uordblks + said.hblkhd
    }

    /** glibc's `struct mallinfo2`. */
    @Suppress("unused")
    @Structure.FieldOrder(
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )
    class MallInfo : Structure(), Structure.ByValue {
        @JvmField var arena = 0L
        @JvmField var ordblks = 0L
        @JvmField var smblks = 0L
        @JvmField var hblks = 0L
        @JvmField var hblkhd = 0L
        @JvmField var usmblks = 0L
        @JvmField var fsmblks = 0L
        @JvmField var uordblks = 0L
        @JvmField var fordblks = 0L
        @JvmField var keepcost = 0L
    }
}
