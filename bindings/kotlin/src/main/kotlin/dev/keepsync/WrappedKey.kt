package dev.keepsync

/** Bytes of the key that [KeyProvider] gives. */
public const val KEY_BYTES: Int = 32

/** Why there is no key. Becomes `unavailable` where a store is opened; tells nothing of the key. */
public sealed class KeyLossException(message: String) : Exception(message) {
    /** The device's key store cannot be used now, as before the first unlock. The same call may work later. */
    public class NotNow : KeyLossException("the key store cannot be used now")

    /**
     * The key that wraps ours is gone from the device's key store: after a restore to another device, or because the store
     * was reset. What was encrypted with ours cannot be read any more; only the user can decide to begin anew.
     */
    public class Lost : KeyLossException("the key that wraps the file's key is gone")

    /** The file with the wrapped key is not what was written there. */
    public class Damaged : KeyLossException("the file with the wrapped key is damaged")

    /** The files are there, and the wrapped key is not. */
    public class Missing : KeyLossException("there are files, and no key for them")
}

/** What is found when the key is asked for. */
public data class KeyFacts(
    /** Whether the file with the wrapped key is there. */
    val wrapped: Boolean,
    /** Whether the key store has the key that wraps it; absent: it cannot be asked now. */
    val wrapper: Boolean?,
    /** Whether any account has a file. */
    val stores: Boolean,
)

/** What to do about it. */
public enum class KeyStep {
    /** Unwrap what is there. */
    UNWRAP,

    /** Nothing was ever encrypted: make both. */
    MAKE,
}

/** What to do, or why nothing can be done. A key is never made where something is encrypted with another. */
public fun keyStep(facts: KeyFacts): KeyStep = when {
    facts.wrapper == null -> throw KeyLossException.NotNow()
    facts.wrapped && facts.wrapper -> KeyStep.UNWRAP
    facts.wrapped -> throw KeyLossException.Lost()
    facts.stores -> throw KeyLossException.Missing()
    // A key store that has a key already: its file was never written, so nothing can be encrypted with it.
    else -> KeyStep.MAKE
}

/**
 * A wrapped key as it stands in its file: a byte for the form, the length of the initialisation vector and the vector, the
 * encrypted key with its tag.
 */
public class WrappedKey(
    /** The initialisation vector of AES-GCM. */
    public val iv: ByteArray,
    /** The encrypted key and its tag. */
    public val sealed: ByteArray,
) {
    /** As it stands in the file. */
    public fun bytes(): ByteArray = byteArrayOf(FORM, iv.size.toByte()) + iv + sealed

    public companion object {
        private const val FORM: Byte = 1
        private const val TAG_BYTES = 16
        private val IV_BYTES = 12..16

        /** Reads what [bytes] gave. */
        public fun read(bytes: ByteArray): WrappedKey {
            if (bytes.size < 2 || bytes[0] != FORM) throw KeyLossException.Damaged()
            val length = bytes[1].toInt()
            if (length !in IV_BYTES || bytes.size != 2 + length + KEY_BYTES + TAG_BYTES) throw KeyLossException.Damaged()
            return WrappedKey(bytes.copyOfRange(2, 2 + length), bytes.copyOfRange(2 + length, bytes.size))
        }
    }
}
