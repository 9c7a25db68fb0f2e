// What the Android sources use of androidx.work, whose repository cannot be reached where they are type-checked. Nothing of
// this is run, and nothing of it ships. Signatures: work-runtime-ktx 2.10.
@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.work

import android.content.Context
import java.util.concurrent.TimeUnit

public class WorkerParameters

public abstract class ListenableWorker(appContext: Context, workerParams: WorkerParameters) {
    public abstract class Result {
        public companion object {
            @JvmStatic
            public fun success(): Result = TODO()

            @JvmStatic
            public fun retry(): Result = TODO()

            @JvmStatic
            public fun failure(): Result = TODO()
        }
    }
}

public abstract class CoroutineWorker(appContext: Context, params: WorkerParameters) :
    ListenableWorker(appContext, params) {
    public abstract suspend fun doWork(): Result
}

public enum class NetworkType { NOT_REQUIRED, CONNECTED, UNMETERED, NOT_ROAMING, METERED }

public class Constraints {
    public class Builder {
        public fun setRequiredNetworkType(networkType: NetworkType): Builder = TODO()

        public fun build(): Constraints = TODO()
    }
}

public class PeriodicWorkRequest(workerClass: Class<out ListenableWorker>, interval: Long, unit: TimeUnit) {
    public class Builder(workerClass: Class<out ListenableWorker>, repeatInterval: Long, unit: TimeUnit) {
        public fun setConstraints(constraints: Constraints): Builder = TODO()

        public fun build(): PeriodicWorkRequest = TODO()
    }
}

public inline fun <reified W : ListenableWorker> PeriodicWorkRequestBuilder(
    repeatInterval: Long,
    repeatIntervalTimeUnit: TimeUnit,
): PeriodicWorkRequest.Builder = PeriodicWorkRequest.Builder(W::class.java, repeatInterval, repeatIntervalTimeUnit)

public enum class ExistingPeriodicWorkPolicy { KEEP, UPDATE, CANCEL_AND_REENQUEUE }

public interface Operation

public abstract class WorkManager {
    public abstract fun enqueueUniquePeriodicWork(
        uniqueWorkName: String,
        existingPeriodicWorkPolicy: ExistingPeriodicWorkPolicy,
        request: PeriodicWorkRequest,
    ): Operation

    public companion object {
        @JvmStatic
        public fun getInstance(context: Context): WorkManager = TODO()
    }
}
