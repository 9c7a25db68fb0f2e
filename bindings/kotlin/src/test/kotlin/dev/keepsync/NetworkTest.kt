package dev.keepsync

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

class NetworkTest {
    private val there = NetworkFacts(connected = true, internet = true)

    @TestFactory
    fun what_the_platform_says_becomes_a_hint(): List<DynamicTest> = listOf(
        Triple("nothing is known", NetworkFacts(), Hint.TRY),
        Triple("there is one, nothing more is known", NetworkFacts(connected = true), Hint.TRY),
        Triple("validated", there.copy(validated = true), Hint.TRY),
        Triple("not validated yet, or never on this network", there.copy(validated = false), Hint.TRY),
        Triple("without internet, perhaps the backend's own", there.copy(internet = false, validated = false), Hint.TRY),
        Triple("behind a sign-in page", there.copy(captivePortal = true), Hint.WAIT),
        Triple("behind a sign-in page, not validated", there.copy(validated = false, captivePortal = true), Hint.WAIT),
        Triple("signed in, the flag is late", there.copy(validated = true, captivePortal = true), Hint.TRY),
        Triple("a tunnel, which nobody validates", there.copy(validated = false, vpn = true), Hint.TRY),
        Triple("a tunnel over a sign-in page: nobody knows", there.copy(captivePortal = true, vpn = true), Hint.TRY),
        Triple("metered", there.copy(validated = true, metered = true), Hint.TRY),
        Triple("lost", NetworkFacts(connected = false), Hint.WAIT),
        Triple("lost, whatever was true of it", there.copy(connected = false, validated = true, vpn = true), Hint.WAIT),
        Triple("blocked for this app", there.copy(validated = true, blocked = true), Hint.WAIT),
        Triple("blocked, a tunnel too", there.copy(validated = true, blocked = true, vpn = true), Hint.WAIT),
        Triple("suspended during a call", there.copy(validated = true, suspended = true), Hint.WAIT),
    ).map { (name, facts, hint) -> dynamicTest(name) { assertEquals(hint, hint(facts)) } }

    private val up = NetworkFacts(connected = true)
    private val down = NetworkFacts(connected = false)

    @Test
    fun a_hint_is_told_once_but_again_for_another_network() {
        val told = ArrayList<Boolean>()
        val watch = NetworkWatch()
        val life = watch.start { told += it }
        watch.tell(life, "wifi", up)
        watch.tell(life, "wifi", up.copy(metered = true))
        assertEquals(listOf(true), told)
        watch.tell(life, "mobile", up)
        assertEquals(listOf(true, true), told)
        watch.tell(life, null, down)
        watch.tell(life, null, down)
        watch.tell(life, "wifi", up)
        assertEquals(listOf(true, true, false, true), told)
    }

    @Test
    fun callbacks_after_stop_are_ignored() {
        val told = ArrayList<Boolean>()
        val watch = NetworkWatch()
        val life = watch.start { told += it }
        watch.stop()
        watch.stop()
        watch.tell(life, "wifi", up)
        assertEquals(emptyList<Boolean>(), told)
    }

    @Test
    fun what_belongs_to_an_earlier_start_is_ignored() {
        val first = ArrayList<Boolean>()
        val second = ArrayList<Boolean>()
        val watch = NetworkWatch()
        val before = watch.start { first += it }
        watch.tell(before, "wifi", up)
        watch.stop()
        val life = watch.start { second += it }
        watch.tell(before, null, down)
        assertEquals(emptyList<Boolean>(), second)
        // What was told before the stop is told again.
        watch.tell(life, "wifi", up)
        assertEquals(listOf(true) to listOf(true), first to second)
    }

    @Test
    fun a_hint_may_stop_the_watch() {
        val watch = NetworkWatch()
        var calls = 0
        val life = watch.start { calls += 1; watch.stop() }
        watch.tell(life, "wifi", up)
        watch.tell(life, null, down)
        assertEquals(1, calls)
    }
}
