package dev.keepsync

import javax.crypto.AEADBadTagException
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.spec.GCMParameterSpec
import kotlin.random.Random
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.assertThrows

class KeyTest {
    @TestFactory
    fun a_key_is_never_made_where_something_is_encrypted(): List<DynamicTest> = listOf(
        KeyFacts(wrapped = false, wrapper = false, stores = false) to KeyStep.MAKE,
        // It was stopped before it wrote the file.
        KeyFacts(wrapped = false, wrapper = true, stores = false) to KeyStep.MAKE,
        KeyFacts(wrapped = true, wrapper = true, stores = false) to KeyStep.UNWRAP,
        KeyFacts(wrapped = true, wrapper = true, stores = true) to KeyStep.UNWRAP,
        KeyFacts(wrapped = true, wrapper = false, stores = false) to KeyLossException.Lost::class.java,
        KeyFacts(wrapped = true, wrapper = false, stores = true) to KeyLossException.Lost::class.java,
        KeyFacts(wrapped = false, wrapper = false, stores = true) to KeyLossException.Missing::class.java,
        KeyFacts(wrapped = false, wrapper = true, stores = true) to KeyLossException.Missing::class.java,
        KeyFacts(wrapped = true, wrapper = null, stores = true) to KeyLossException.NotNow::class.java,
        KeyFacts(wrapped = false, wrapper = null, stores = false) to KeyLossException.NotNow::class.java,
    ).map { (facts, expected) ->
        dynamicTest("$facts") {
            assertEquals(expected, runCatching { keyStep(facts) }.recover { it.javaClass }.getOrThrow())
        }
    }

    @Test
    fun a_wrapped_key_comes_back_and_a_changed_one_is_noticed() {
        val wrapper = KeyGenerator.getInstance("AES").apply { init(256) }.generateKey()
        val key = Random(7).nextBytes(KEY_BYTES)
        val seal = Cipher.getInstance("AES/GCM/NoPadding").apply { init(Cipher.ENCRYPT_MODE, wrapper) }
        val bytes = WrappedKey(seal.iv, seal.doFinal(key)).bytes()

        fun unwrap(bytes: ByteArray): ByteArray {
            val wrapped = WrappedKey.read(bytes)
            val open = Cipher.getInstance("AES/GCM/NoPadding")
            open.init(Cipher.DECRYPT_MODE, wrapper, GCMParameterSpec(128, wrapped.iv))
            return open.doFinal(wrapped.sealed)
        }
        assertArrayEquals(key, unwrap(bytes))
        for (at in bytes.indices) {
            val changed = bytes.copyOf().also { it[at] = (it[at].toInt() xor 1).toByte() }
            val failure = runCatching { unwrap(changed) }.exceptionOrNull()
            assertEquals(true, failure is KeyLossException.Damaged || failure is AEADBadTagException, "byte $at: $failure")
        }
        for (length in 0 until bytes.size) {
            assertThrows<KeyLossException.Damaged> { WrappedKey.read(bytes.copyOf(length)) }
        }
        assertThrows<KeyLossException.Damaged> { WrappedKey.read(bytes + 0) }
    }

    @Test
    fun a_key_that_cannot_be_had_leaves_the_store_unavailable() = test { folder ->
        val host = Host(
            keys = object : KeyProvider {
                override suspend fun key(): ByteArray = throw KeyLossException.Lost()
            },
        )
        val failure = failure { open(folder, host = host) }
        assertEquals("unavailable" to RetryClass.AFTER_USER, failure.code to failure.retry)
    }
}
