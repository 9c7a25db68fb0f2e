package dev.keepsync

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class ServerTest {
    @Test
    fun drain_to_the_real_server() = test { folder ->
        Server().use { server ->
            open(folder.resolve("phone"), server.backend, server.host()).use { phone ->
                val id = phone.startSession("workout", "set_log", "", """{"date":"2026-11-20"}""").id
                val last = (1..3).map { phone.logSet("workout", id, "squat/$it", """{"reps":$it}""") }.last()
                phone.completeSession("workout", id, "{}")
                assertTrue(phone.outcome(last.op!!) is WriteOutcome.Pending)

                val report = phone.sync()
                assertEquals(HalfResult.Worked, report.push)
                assertEquals(0, phone.queueCounts().total())
                assertEquals(RecordState.SYNCED, phone.get("workout", id)!!.state)
                assertTrue(phone.settled(last.op!!) is WriteOutcome.Accepted)
                assertEquals(Status.Idle, phone.status())

                open(folder.resolve("tablet"), server.backend, server.host()).use { tablet ->
                    tablet.sync()
                    assertEquals(3, tablet.query(Query("set_log")).records.size)
                    assertEquals(phone.get("workout", id)!!.body, tablet.get("workout", id)!!.body)
                }
            }
        }
    }

    @Test
    fun a_conflict_is_shown_and_resolved() = test { folder ->
        Server().use { server ->
            val phone = open(folder.resolve("phone"), server.backend, server.host())
            val tablet = open(folder.resolve("tablet"), server.backend, server.host())
            phone.put("workout", "w", """{"name":"Legs"}""")
            phone.sync()
            tablet.sync()
            phone.patch("workout", "w", """{"name":"Legs A"}""")
            phone.sync()
            tablet.patch("workout", "w", """{"name":"Legs B"}""")
            tablet.sync()
            assertEquals(Status.NeedsAttention(1), tablet.status())

            val conflict = tablet.conflicts().single()
            assertHas(conflict.local, "Legs B")
            assertHas(conflict.remote, "Legs A")
            val difference = conflict.difference.single()
            assertEquals("/name" to Changed.BOTH, difference.path to difference.changed)

            val stale = failure { tablet.resolve("workout", "w", "another", Resolution.KeepLocal) }
            assertEquals("conflict_changed", stale.code)
            tablet.resolve("workout", "w", conflict.token, Resolution.KeepLocal)
            assertEquals(emptyList<Conflict>(), tablet.conflicts())
            tablet.sync()
            phone.sync()
            assertHas(phone.get("workout", "w")!!.body, "Legs B")
            assertNull(phone.conflicts().firstOrNull())
            phone.close()
            tablet.close()
        }
    }
}
