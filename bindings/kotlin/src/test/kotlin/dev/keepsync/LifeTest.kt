package dev.keepsync

import java.util.concurrent.CopyOnWriteArrayList
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

class LifeTest {
    @Test
    fun a_cancelled_wait_ends_and_loses_nothing() = test { folder ->
        open(folder).use { store ->
            val op = store.put("profile", "p", "{}").op!!
            val before = uniffiContinuationHandleMap.size
            val waiting = async(Dispatchers.Default) { store.settled(op) }
            until("it waits") { uniffiContinuationHandleMap.size > before }
            waiting.cancelAndJoin()
            assertThrows<CancellationException> { waiting.await() }
            until("the library has let it go") { uniffiContinuationHandleMap.size == before }
            assertTrue(store.outcome(op) is WriteOutcome.Pending)
            assertEquals("{}", store.get("profile", "p")!!.body)

            // A write that has begun comes to its end, whoever has gone.
            val writing = launch(Dispatchers.Unconfined) { store.put("profile", "q", "{}") }
            writing.cancelAndJoin()
            until("it is there") { store.get("profile", "q") != null }
        }
    }

    @Test
    fun use_after_close_is_an_error() = test { folder ->
        val store = open(folder)
        val op = store.put("profile", "p", "{}").op!!
        val waiting = async(Dispatchers.Default) { runCatching { store.settled(op) } }
        val told = async(Dispatchers.Default) { store.changes().toList() }
        yield()
        store.close()
        store.close()
        for (call in listOf<suspend () -> Unit>(
            { store.get("profile", "p") },
            { store.put("profile", "p", "{}") },
            { store.status() },
            { store.network(true) },
            { store.resume() },
        )) {
            val failure = failure(call)
            assertEquals("closed" to RetryClass.NEVER, failure.code to failure.retry)
        }
        assertEquals("closed", (waiting.await().exceptionOrNull() as KeepsyncException).code)
        assertTrue(told.await().last().closed)
        assertTrue(store.changes().toList().single().closed)
    }

    @Test
    fun the_same_file_opened_again_is_the_same_store() = test { folder ->
        val first = open(folder)
        val second = open(folder)
        val told = CopyOnWriteArrayList<Changes>()
        val listening = launch(Dispatchers.Default) { first.changes().collect { told += it } }
        until("it listens") { told.isNotEmpty() }
        second.put("profile", "p", """{"n":1}""")
        assertEquals("""{"n":1}""", first.get("profile", "p")!!.body)
        until("the one hears of the other's write") { told.any { "profile" in it.collections } }
        second.close()
        assertEquals("closed", failure { first.status() }.code)
        listening.join()
        open(folder).use { third -> assertEquals("""{"n":1}""", third.get("profile", "p")!!.body) }
    }

    @Test
    fun suspended_store_opens_again_by_itself() = test { folder ->
        open(folder).use { store ->
            val told = CopyOnWriteArrayList<Changes>()
            val listening = launch(Dispatchers.Default) { store.changes().collect { told += it } }
            until("it listens") { told.isNotEmpty() }
            store.suspend()
            store.suspend()
            val before = told.size
            assertEquals("p", store.put("profile", "p", "{}").id)
            until("anything may have changed") { told.drop(before).any { "workout" in it.collections } }
            store.suspend()
            assertEquals("{}", store.get("profile", "p")!!.body)
            listening.cancel()
        }
    }

    @Test
    fun accounts_are_listed_signed_out_and_wiped_by_what_would_be_lost() = test { folder ->
        val accounts = Accounts(options(folder))
        accounts.open("ada").put("profile", "p", "{}")
        accounts.open("bob").close()
        assertEquals(listOf("ada" to 1L, "bob" to 0L), accounts.list().map { it.account to it.unsent })
        assertEquals(1, accounts.signOut("ada"))
        val losses = accounts.losses("ada")
        assertEquals(1, losses.unsent)
        accounts.open("ada").use { it.put("profile", "q", "{}") }
        assertEquals("would_lose", failure { accounts.wipe("ada", losses) }.code)
        accounts.wipe("ada", accounts.losses("ada"))
        assertEquals(listOf<String?>("bob"), accounts.list().map { it.account })
    }
}
