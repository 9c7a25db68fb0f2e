package dev.keepsync

import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicReference
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class HostTest {
    /** Says what it is told to. */
    private class Tokens(@Volatile var answer: suspend () -> Token?) : TokenProvider {
        val asked = CopyOnWriteArrayList<String>()

        override suspend fun token(account: String, rejected: String?): Token? {
            asked += account
            return answer()
        }
    }

    @Test
    fun a_token_provider_that_throws_pauses_the_account() = test { folder ->
        val remote = OwnRemote()
        val tokens = Tokens { throw TokenException.SignInNeeded() }
        val thrown = CopyOnWriteArrayList<Throwable>()
        open(folder, own, Host(tokens = tokens, remote = remote, thrown = { thrown += it })).use { store ->
            store.put("profile", "p", """{"n":1}""")
            store.sync()
            assertEquals(Status.NeedsSignIn, store.status())
            assertEquals(1, store.queueCounts().waiting)
            assertEquals(emptyList<PushItem>(), remote.pushed)

            // Whatever else it throws: asked again later, and nothing is lost.
            for (other in listOf<Throwable>(NotImplementedError("an Error"), IllegalStateException("an Exception"))) {
                tokens.answer = { throw other }
                store.signedIn()
                val report = store.sync()
                assertTrue(report.push is HalfResult.Failed || report.pull is HalfResult.Failed, "$report")
                assertEquals(other, thrown.last())
                assertEquals(1, store.queueCounts().waiting)
                assertEquals(emptyList<PushItem>(), remote.pushed)
            }

            tokens.answer = { Token("secret") }
            store.signedIn()
            assertEquals(1, store.sync().accepted)
            assertEquals("secret", remote.tokens.last())
        }
    }

    @Test
    fun a_token_provider_that_re_enters_the_store_does_not_deadlock() = test { folder ->
        val remote = OwnRemote()
        val opened = AtomicReference<Store>()
        val tokens = Tokens {
            val store = opened.get()
            store.put("profile", "from the provider", "{}")
            store.query(Query("profile"))
            store.cancel()
            store.network(true)
            Token("${store.queueCounts().total()}")
        }
        open(folder, own, Host(tokens = tokens, remote = remote)).use { store ->
            opened.set(store)
            store.put("profile", "p", "{}")
            store.sync()
            assertTrue(tokens.asked.isNotEmpty())
            tokens.answer = { Token("secret") }
            until("all is sent") { store.sync(); store.queueCounts().total() == 0L }
            assertEquals("{}", remote.body("profile", "from the provider"))
        }
    }

    @Test
    fun after_a_reload_the_new_host_is_asked() = test { folder ->
        val (first, second) = List(2) { n -> Tokens { Token("host $n") } }
        val old = OwnRemote()
        val new = object : OwnRemote() {
            override suspend fun pull(token: String?, request: PullRequest): PullPage {
                if (token == "host 0") throw RemoteFault.SignIn()
                return super.pull(token, request)
            }
        }
        val before = open(folder, own, Host(tokens = first, remote = old))
        before.put("profile", "p", """{"n":1}""")
        before.sync()
        assertEquals(setOf<String?>("host 0"), old.tokens.toSet())
        val asked = first.asked.size

        val after = open(folder, own, Host(tokens = second, remote = new))
        after.put("profile", "q", """{"n":2}""")
        // The new remote does not take what the old provider gave: the new provider is asked for another.
        until("it arrives") { before.sync(); before.queueCounts().total() == 0L }
        assertEquals(setOf<String?>("host 1"), new.tokens.toSet())
        assertEquals("""{"n":2}""", new.body("profile", "q"))
        assertEquals(asked, first.asked.size)
        after.close()
    }

    @Test
    fun an_apps_own_remote_is_pushed_and_pulled() = test { folder ->
        val remote = OwnRemote()
        remote.write("profile", "theirs", """{"n":1}""")
        open(folder, own, Host(remote = remote)).use { store ->
            store.put("profile", "ours", """{"n":2}""")
            val report = store.sync()
            assertEquals(HalfResult.Worked to HalfResult.Worked, report.pull to report.push)
            assertEquals("""{"n":1}""", store.get("profile", "theirs")!!.body)
            assertEquals("""{"n":2}""", remote.body("profile", "ours"))
            assertEquals(Kind.CREATE, remote.pushed.single().kind)

            store.patch("profile", "theirs", """{"n":3}""")
            remote.write("profile", "ours", null)
            store.sync()
            assertEquals(null, store.get("profile", "ours"))
            assertEquals("""{"n":3}""", remote.body("profile", "theirs"))
        }
    }

    @Test
    fun a_remote_that_throws_settles_nothing() = test { folder ->
        val remote = object : OwnRemote() {
            var fault: Throwable? = NotImplementedError("an Error")

            override suspend fun push(token: String?, batch: PushBatch): PushAnswer {
                fault?.let { throw it }
                return super.push(token, batch)
            }
        }
        open(folder, own, Host(remote = remote)).use { store ->
            store.put("profile", "p", "{}")
            assertTrue(store.sync().push is HalfResult.Failed)
            assertEquals(1, store.queueCounts().waiting)
            remote.fault = null
            store.retryAll()
            until("it arrives") { store.sync(); store.queueCounts().total() == 0L }
        }
    }

    @Test
    fun a_fault_of_the_apps_own_remote_is_told_as_what_it_is() = test { folder ->
        val remote = object : OwnRemote() {
            override suspend fun pull(token: String?, request: PullRequest): PullPage = throw RemoteFault.Offline()

            override suspend fun push(token: String?, batch: PushBatch): PushAnswer = throw RemoteFault.Offline()
        }
        open(folder, own, Host(remote = remote)).use { store ->
            val op = store.put("profile", "p", "{}").op!!
            store.sync()
            assertEquals(Status.Offline, store.status())
            assertEquals(0, store.entry(op).attempts)
        }
    }

    @Test
    fun a_custom_resolver_decides() = test { folder ->
        val remote = OwnRemote()
        val shown = CopyOnWriteArrayList<Pair<String, Conflict>>()
        var decide: () -> Verdict = { Verdict.Merged("""{"n":12}""") }
        val resolver = object : ConflictResolver {
            override suspend fun resolve(resolver: String, conflict: Conflict): Verdict {
                shown += resolver to conflict
                return decide()
            }
        }
        val collections = listOf(CollectionOptions("tally", Policy.Custom("sum")))
        val accounts = Accounts(
            options(folder, own, collections = collections),
            Host(remote = remote, resolver = resolver),
        )
        accounts.open(ADA).use { store ->
            store.put("tally", "t", """{"n":1}""")
            store.sync()
            remote.write("tally", "t", """{"n":10}""")
            store.put("tally", "t", """{"n":3}""")
            store.sync()
            until("the merge arrives") { store.sync(); remote.body("tally", "t") == """{"n":12}""" }
            val (name, conflict) = shown.first()
            assertEquals("sum", name)
            assertEquals("""{"n":3}""" to """{"n":10}""", conflict.local to conflict.remote)

            // One that throws decides nothing: the write is parked, with its reason.
            decide = { TODO("an Error") }
            remote.write("tally", "t", """{"n":20}""")
            val op = store.put("tally", "t", """{"n":13}""").op!!
            until("it is parked") { store.sync(); store.queueCounts().parked == 1L }
            val outcome = store.outcome(op) as WriteOutcome.Rejected
            assertEquals("policy_failed", outcome.reason.code)
            assertEquals("""{"n":13}""", store.get("tally", "t")!!.body)
        }
    }

    @Test
    fun connectivity_is_started_stopped_and_started_again() = test { folder ->
        val told = CopyOnWriteArrayList<String>()
        val given = AtomicReference<NativeStore>()
        val connectivity = object : Connectivity {
            override fun start(store: NativeStore) {
                store.network(true)
                given.set(store)
                told += "start"
            }

            override fun stop() {
                told += "stop"
                TODO("an Error harms nobody")
            }
        }
        val store = open(folder, own, Host(remote = OwnRemote(), connectivity = connectivity))
        until("started at opening") { told.toList() == listOf("start") }
        store.suspend()
        until("stopped on suspending") { told.toList() == listOf("start", "stop") }
        // What comes late is ignored.
        given.get().network(true)
        store.resume()
        until("started on resuming") { told.toList() == listOf("start", "stop", "start") }
        store.close()
        until("stopped on closing") { told.toList() == listOf("start", "stop", "start", "stop") }
        assertEquals("closed", failure { given.get().network(false) }.code)
    }
}
