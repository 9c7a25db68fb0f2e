package dev.keepsync

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Test

class RecordTest {
    @Test
    fun ten_thousand_records_are_read_page_by_page() = test { folder ->
        open(folder).use { store ->
            for (block in 0 until 10) {
                store.writeAll(
                    (0 until 1_000).map { Mutation.Put("workout", "w${block * 1_000 + it}", """{"date":${9_999 - block * 1_000 - it}}""") },
                )
            }
            val ids = ArrayList<String>()
            var query = Query("workout", orderBy = "date", limit = 250)
            var pages = 0
            while (true) {
                val page = store.query(query)
                pages += 1
                ids += page.records.map { it.id }
                query = query.copy(after = page.next ?: break)
            }
            assertEquals((9_999 downTo 0).map { "w$it" }, ids)
            assertEquals(40, pages)
            val some = Query("workout", listOf(Filter("date", Compare.GE, FieldValue.Whole(9_990))))
            assertEquals(10, store.query(some).records.size)
        }
    }

    @Test
    fun a_wrong_body_names_its_field() = test { folder ->
        open(folder).use { store ->
            for (body in listOf("""["secret"]""", """{"secret":""", "")) {
                val failure = failure { store.put("profile", "p", body) }
                assertEquals("invalid" to RetryClass.NEVER, failure.code to failure.retry)
                assertHas(failure.detail, "body")
                assertHas(failure.message, "invalid")
                assertFalse("secret" in failure.message!!, failure.message)
            }
            assertNull(store.get("profile", "p"))
            assertEquals("unknown_collection", failure { store.put("nowhere", "p", "{}") }.code)
            assertHas(failure { store.query(Query("profile", limit = -1)) }.detail, "limit")
            assertHas(failure { store.outcome("no uuid") }.detail, "op")
        }
    }

    @Test
    fun text_of_every_kind_comes_back_as_it_went() = test { folder ->
        open(folder).use { store ->
            for (text in listOf("", "a", "ä\u0000ß", "日本語", "😀🏋", "x".repeat(100_000))) {
                store.kvSet("k", text)
                assertEquals(text, store.kvGet("k"))
            }
            assertNull(store.kvGet("absent"))
            store.kvMultiSet(mapOf("a" to "1", "b" to "2"))
            assertEquals(mapOf("a" to "1", "b" to "2"), store.kvMultiGet(listOf("a", "b", "c")))
        }
    }
}
