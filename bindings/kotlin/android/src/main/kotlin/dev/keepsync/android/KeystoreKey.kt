package dev.keepsync.android

import android.content.Context
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyPermanentlyInvalidatedException
import android.security.keystore.KeyProperties
import dev.keepsync.KEY_BYTES
import dev.keepsync.KeyFacts
import dev.keepsync.KeyLossException
import dev.keepsync.KeyProvider
import dev.keepsync.KeyStep
import dev.keepsync.WrappedKey
import dev.keepsync.keyStep
import java.io.File
import java.io.FileOutputStream
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.security.SecureRandom
import java.security.UnrecoverableKeyException
import javax.crypto.AEADBadTagException
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/**
 * The key of the files of [stores]: 32 random bytes, wrapped by a key that never leaves the phone's key store.
 *
 * 1. The wrapped key is read from a file in `noBackupFilesDir`: a backup to another phone would not be able to unwrap it.
 * 2. Where there is none and nothing was ever encrypted: the wrapping key is made, then ours; the file is written beside its
 *    place, synced and renamed.
 * 3. The key is handed out once the file is in its place.
 *
 * Stopped after any step of 2, there is no file: the next time makes both anew, and no store was encrypted yet. A wrapping key
 * that is gone is [KeyLossException.Lost], and never a reason to make another.
 */
public class KeystoreKey(context: Context, private val stores: File) : KeyProvider {
    private val file = File(context.applicationContext.noBackupFilesDir, "keepsync.key")

    override suspend fun key(): ByteArray = withContext(Dispatchers.IO) {
        one.withLock {
            val store = keyStore()
            val facts = KeyFacts(
                wrapped = file.exists(),
                wrapper = store?.let { asked { it.containsAlias(ALIAS) } },
                stores = stores.list { _, name -> name.endsWith(".keepsync") }?.isNotEmpty() ?: false,
            )
            when (keyStep(facts)) {
                KeyStep.UNWRAP -> unwrap(store!!)
                KeyStep.MAKE -> make()
            }
        }
    }

    private fun keyStore(): KeyStore? = asked { KeyStore.getInstance(PROVIDER).apply { load(null) } }

    /** Null where the key store cannot be asked. */
    private fun <T> asked(question: () -> T): T? = try {
        question()
    } catch (_: GeneralSecurityException) {
        null
    } catch (_: java.io.IOException) {
        null
    }

    private fun unwrap(store: KeyStore): ByteArray {
        val wrapped = WrappedKey.read(file.readBytes())
        return try {
            val wrapper = store.getKey(ALIAS, null) as? SecretKey ?: throw KeyLossException.Lost()
            val cipher = Cipher.getInstance(CIPHER)
            cipher.init(Cipher.DECRYPT_MODE, wrapper, GCMParameterSpec(TAG_BITS, wrapped.iv))
            cipher.doFinal(wrapped.sealed)
        } catch (_: AEADBadTagException) {
            // Another key wrapped it, or the file was changed.
            throw KeyLossException.Damaged()
        } catch (_: KeyPermanentlyInvalidatedException) {
            throw KeyLossException.Lost()
        } catch (_: UnrecoverableKeyException) {
            throw KeyLossException.Lost()
        } catch (_: GeneralSecurityException) {
            throw KeyLossException.NotNow()
        }
    }

    private fun make(): ByteArray = try {
        val generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, PROVIDER)
        // Not bound to the user's unlocking: the drain in the background needs it while the phone is locked.
        val purposes = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        generator.init(
            KeyGenParameterSpec.Builder(ALIAS, purposes)
                .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                .setKeySize(256)
                .build(),
        )
        val cipher = Cipher.getInstance(CIPHER).apply { init(Cipher.ENCRYPT_MODE, generator.generateKey()) }
        val key = ByteArray(KEY_BYTES).also(SecureRandom()::nextBytes)
        write(WrappedKey(cipher.iv, cipher.doFinal(key)).bytes())
        key
    } catch (_: GeneralSecurityException) {
        throw KeyLossException.NotNow()
    }

    private fun write(bytes: ByteArray) {
        val beside = File(file.path + ".new")
        FileOutputStream(beside).use {
            it.write(bytes)
            it.fd.sync()
        }
        if (!beside.renameTo(file)) throw KeyLossException.NotNow()
    }

    private companion object {
        const val PROVIDER = "AndroidKeyStore"
        const val ALIAS = "dev.keepsync"
        const val CIPHER = "AES/GCM/NoPadding"
        const val TAG_BITS = 128

        /** Two at once would make two keys. */
        val one = Mutex()
    }
}
