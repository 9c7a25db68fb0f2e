package dev.keepsync.android

import android.content.Context
import androidx.work.Constraints
import androidx.work.CoroutineWorker
import androidx.work.ExistingPeriodicWorkPolicy
import androidx.work.NetworkType
import androidx.work.PeriodicWorkRequestBuilder
import androidx.work.WorkManager
import androidx.work.WorkerParameters
import dev.keepsync.BackgroundVerdict
import dev.keepsync.KeepsyncException
import dev.keepsync.Store
import dev.keepsync.budget
import dev.keepsync.verdict
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.CancellationException

/**
 * Drains while the app is away. The app's subclass says whose store; it needs the usual constructor of a worker:
 *
 *     class Drain(context: Context, parameters: WorkerParameters) : DrainWorker(context, parameters) {
 *         override suspend fun store(): Store? = App.accounts.open(App.account ?: return null)
 *     }
 *
 * 1. WorkManager starts it when there is a network. It opens the store, or gets the one that is open.
 * 2. It drains within its budget, less than what Android allows a worker (10 minutes), in small commits.
 * 3. It says whether to come again: what that depends on is [verdict].
 *
 * Stopped at any point, by Android or by a dying battery: what was sent and answered is settled, the rest waits in the queue.
 */
public abstract class DrainWorker(
    context: Context,
    parameters: WorkerParameters,
) : CoroutineWorker(context, parameters) {
    /** The store to drain; null where nobody is signed in. It is not closed afterwards: the app may be using it. */
    protected abstract suspend fun store(): Store?

    /** Milliseconds that Android is expected to allow. */
    protected open val allowed: Long get() = 60_000

    final override suspend fun doWork(): Result {
        val verdict = try {
            val store = store() ?: return Result.success()
            val report = try {
                store.background(budget(allowed))
            } catch (stopped: CancellationException) {
                // By Android: no request is left running that nobody waits for.
                store.cancel()
                throw stopped
            }
            verdict(report, store.queueCounts().waiting, store.status())
        } catch (failure: KeepsyncException) {
            verdict(failure)
        }
        return when (verdict) {
            BackgroundVerdict.DONE -> Result.success()
            BackgroundVerdict.AGAIN -> Result.retry()
        }
    }

    public companion object {
        /** The name of the work, of which there is one. */
        public const val NAME: String = "dev.keepsync.drain"

        /** Has [W] run every [minutes] (15 at least, says Android) while there is a network. Asking again changes nothing. */
        public inline fun <reified W : DrainWorker> schedule(context: Context, minutes: Long = 15) {
            val constraints = Constraints.Builder().setRequiredNetworkType(NetworkType.CONNECTED).build()
            val request = PeriodicWorkRequestBuilder<W>(minutes, TimeUnit.MINUTES).setConstraints(constraints).build()
            WorkManager.getInstance(context)
                .enqueueUniquePeriodicWork(NAME, ExistingPeriodicWorkPolicy.KEEP, request)
        }
    }
}
