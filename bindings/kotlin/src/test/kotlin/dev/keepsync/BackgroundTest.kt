package dev.keepsync

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

class BackgroundTest {
    private val done = report(HalfResult.Worked, HalfResult.Worked)
    private val offline = report(HalfResult.Failed("offline"), HalfResult.NotRun)

    private fun report(pull: HalfResult, push: HalfResult) = Report(0, 0, 0, 0, 0, 0, 0, pull, push, 0)

    private class Case(
        val name: String,
        val report: Report,
        val waiting: Long,
        val status: Status,
        val verdict: BackgroundVerdict,
    )

    @TestFactory
    fun it_comes_again_only_where_that_could_help(): List<DynamicTest> = listOf(
        Case("all arrived", done, 0, Status.Idle, BackgroundVerdict.DONE),
        Case("nothing to do, not its turn", report(HalfResult.NotRun, HalfResult.NotRun), 0, Status.Idle, BackgroundVerdict.DONE),
        Case("some are left: out of time", done, 3, Status.Idle, BackgroundVerdict.AGAIN),
        Case("out of time before its turn", report(HalfResult.NotRun, HalfResult.NotRun), 1, Status.Idle, BackgroundVerdict.AGAIN),
        Case("no network", offline, 3, Status.Offline, BackgroundVerdict.AGAIN),
        Case("nothing to send, the pull failed", offline, 0, Status.Offline, BackgroundVerdict.AGAIN),
        Case("backing off", done, 1, Status.WaitingUntil(1), BackgroundVerdict.AGAIN),
        Case("another pass is at it", done, 1, Status.Syncing(1, 2), BackgroundVerdict.AGAIN),
        Case("the first pull is not through", offline, 0, Status.NeedsFirstSync(false), BackgroundVerdict.AGAIN),
        Case("parked ones alone are the user's", done, 0, Status.NeedsAttention(2), BackgroundVerdict.DONE),
        Case("parked ones, and some that can go", done, 1, Status.NeedsAttention(2), BackgroundVerdict.AGAIN),
        Case("the user has to sign in", offline, 5, Status.NeedsSignIn, BackgroundVerdict.DONE),
        Case("no room", offline, 5, Status.StorageFull, BackgroundVerdict.DONE),
        Case("no backend", report(HalfResult.NotRun, HalfResult.NotRun), 5, Status.LocalOnly, BackgroundVerdict.DONE),
        Case("another process drains", report(HalfResult.NotRun, HalfResult.NotRun), 5, Status.Elsewhere, BackgroundVerdict.DONE),
    ).map { dynamicTest(it.name) { assertEquals(it.verdict, verdict(it.report, it.waiting, it.status)) } }

    @TestFactory
    fun a_failure_comes_again_if_it_goes_away_by_itself(): List<DynamicTest> = listOf(
        Triple("locked", RetryClass.LATER, BackgroundVerdict.AGAIN),
        Triple("internal", RetryClass.LATER, BackgroundVerdict.AGAIN),
        // Before the first unlock.
        Triple("unavailable", RetryClass.AFTER_USER, BackgroundVerdict.AGAIN),
        Triple("storage_full", RetryClass.AFTER_USER, BackgroundVerdict.DONE),
        Triple("closed", RetryClass.NEVER, BackgroundVerdict.DONE),
        Triple("newer_file", RetryClass.NEVER, BackgroundVerdict.DONE),
    ).map { (code, retry, verdict) ->
        dynamicTest(code) { assertEquals(verdict, verdict(KeepsyncException.Failed(code, retry, ""))) }
    }

    @Test
    fun the_budget_leaves_time_to_finish() {
        for (allowed in listOf(0L, 1_000, 2_000, 10_000, 30_000, 600_000)) {
            val budget = budget(allowed)
            assertTrue(budget in 0..allowed)
            if (allowed >= 2_000) assertTrue(allowed - budget >= 2_000, "$allowed")
        }
        assertEquals(540_000, budget(600_000))
    }

    @Test
    fun a_drain_in_the_background_says_whether_to_come_again() = test { folder ->
        val remote = OwnRemote()
        open(folder, own, Host(remote = remote)).use { store ->
            store.put("profile", "p", "{}")
            val report = store.background(budget(10_000))
            assertEquals(BackgroundVerdict.DONE, verdict(report, store.queueCounts().waiting, store.status()))
            assertEquals("{}", remote.body("profile", "p"))
            store.put("profile", "q", "{}")
            val nothing = store.background(0)
            assertEquals(BackgroundVerdict.AGAIN, verdict(nothing, store.queueCounts().waiting, store.status()))
        }
    }
}
