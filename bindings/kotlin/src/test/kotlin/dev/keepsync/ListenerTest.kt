package dev.keepsync

import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class ListenerTest {
    /** Keeps what it is told. */
    private class Kept : Listener {
        val told = CopyOnWriteArrayList<Changes>()
        val threads = CopyOnWriteArrayList<Thread>()

        override fun changed(changes: Changes) {
            told += changes
            threads += Thread.currentThread()
        }

        fun hasHeardOf(collection: String) = told.any { collection in it.collections }
    }

    @Test
    fun callbacks_come_from_rust_threads_and_coalesce() = test { folder ->
        open(folder).use { store ->
            val kept = Kept()
            store.listen(kept)
            until("the first call says the status") { kept.told.firstOrNull()?.status == Status.LocalOnly }
            val begin = System.nanoTime()
            repeat(1_000) { store.put("profile", "p$it", "{}") }
            until("the last write is told of") { kept.hasHeardOf("profile") }
            store.put("workout", "last", "{}")
            until("all is told") { kept.hasHeardOf("workout") }
            val frames = (System.nanoTime() - begin) / 16_000_000
            // At most one call in 16 ms, however many writes there are.
            assertTrue(kept.told.size <= frames + 3, "${kept.told.size} calls in $frames frames")
            assertTrue(kept.told.size < 500, "${kept.told.size} calls for 1,000 writes")
            for (thread in kept.threads) {
                assertNotEquals(Thread.currentThread(), thread)
                assertTrue(thread.isDaemon && thread.name.startsWith("keepsync"), "$thread")
            }
        }
    }

    @Test
    fun a_listener_that_throws_harms_nobody() = test { folder ->
        val thrown = CopyOnWriteArrayList<Throwable>()
        val host = Host(thrown = { thrown += it; error("the log is broken, too") })
        open(folder, host = host).use { store ->
            val kept = Kept()
            store.listen(object : Listener {
                override fun changed(changes: Changes) = TODO("an Error, not an Exception")
            })
            store.listen(object : Listener {
                override fun changed(changes: Changes) = error("an Exception")
            })
            store.listen(kept)
            until("each has thrown") { thrown.map { it.javaClass }.distinct().size == 2 }
            val before = thrown.size
            store.put("profile", "p", "{}")
            until("the others hear") { kept.hasHeardOf("profile") }
            until("they are called again, too") { thrown.size >= before + 2 }
            assertEquals("{}", store.get("profile", "p")!!.body)
        }
    }

    @Test
    fun a_listener_that_hangs_harms_nobody() = test { folder ->
        val hanging = CountDownLatch(1)
        val go = CountDownLatch(1)
        try {
            open(folder).use { store ->
                val kept = Kept()
                val number = store.listen(object : Listener {
                    override fun changed(changes: Changes) {
                        hanging.countDown()
                        go.await()
                    }
                })
                store.listen(kept)
                hanging.await()
                store.put("profile", "p", "{}")
                until("the other hears") { kept.hasHeardOf("profile") }
                store.suspend()
                assertEquals("{}", store.get("profile", "p")!!.body)
                store.unlisten(number)
                store.unlisten(number)
            }
        } finally {
            go.countDown()
        }
    }

    @Test
    fun a_listener_that_was_taken_away_hears_nothing_more() = test { folder ->
        open(folder).use { store ->
            val gone = Kept()
            val number = store.listen(gone)
            until("it hears") { gone.told.isNotEmpty() }
            store.unlisten(number)
            val kept = Kept()
            store.listen(kept)
            until("the other hears") { kept.told.isNotEmpty() }
            store.put("profile", "p", "{}")
            until("the other hears of the write") { kept.hasHeardOf("profile") }
            assertFalse(gone.hasHeardOf("profile"))
        }
    }

    @Test
    fun a_watched_page_is_read_again_when_it_has_changed() = test { folder ->
        val store = open(folder)
        val pages = CopyOnWriteArrayList<List<String>>()
        val watching = launch(Dispatchers.Default) {
            store.watch(Query("workout", orderBy = "date", limit = 1)).collect { page -> pages += page.records.map { it.id } }
        }
        // Counts how often there was something to read.
        val reads = AtomicInteger()
        val counting = launch(Dispatchers.Default) {
            store.read(setOf("workout")) { reads.incrementAndGet() }.collect {}
        }
        until("the first page, empty") { pages.toList() == listOf(emptyList<String>()) && reads.get() == 1 }
        store.put("profile", "p", "{}")
        store.put("workout", "b", """{"date":"2026-11-21"}""")
        until("the new record") { pages.last() == listOf("b") }
        store.put("workout", "a", """{"date":"2026-11-20"}""")
        until("the earlier one") { pages.last() == listOf("a") }
        // On a later page: this one is as it was.
        val before = reads.get()
        store.put("workout", "c", """{"date":"2026-11-22"}""")
        until("something has changed") { reads.get() > before }
        delay(50)
        store.delete("workout", "a")
        until("the next one moves up") { pages.last() == listOf("b") }
        val expected = listOf(emptyList(), listOf("b"), listOf("a"), listOf("b"))
        assertEquals(expected, pages.toList())
        store.close()
        watching.join()
        counting.join()
    }

    @Test
    fun a_slow_collector_gets_what_changed_meanwhile_as_one() = test { folder ->
        open(folder).use { store ->
            val kept = Kept()
            store.listen(kept)
            val told = ArrayList<Changes>()
            val go = CompletableDeferred<Unit>()
            val collecting = launch {
                store.changes().collect {
                    told += it
                    go.await()
                }
            }
            until("it is told the status") { told.isNotEmpty() && kept.told.isNotEmpty() }
            store.put("workout", "w", "{}")
            until("another listener hears of it") { kept.hasHeardOf("workout") }
            // In another frame.
            delay(40)
            store.put("profile", "p", "{}")
            until("and of that") { kept.hasHeardOf("profile") }
            delay(40)
            assertEquals(1, told.size)
            go.complete(Unit)
            until("it is told the rest") { told.size > 1 }
            assertEquals(setOf("workout", "profile"), told[1].collections.toSet())
            assertTrue(told[1].queue)
            collecting.cancel()
        }
    }

    @Test
    fun a_collector_that_ends_takes_its_listener_along() = test { folder ->
        open(folder).use { store ->
            val before = FfiConverterTypeListener.handleMap.size
            assertEquals(listOf<Status>(Status.LocalOnly), store.statuses().take(1).toList())
            until("it is let go") { FfiConverterTypeListener.handleMap.size == before }
        }
    }
}
