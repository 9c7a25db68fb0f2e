package dev.keepsync

import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.isActive

// The app's own code, as the library calls it. An `Error` that leaves a callback is lost on its way to the library, which
// then takes what it finds for an answer: so everything that is thrown is caught here, and becomes the failure that the
// library knows. What was thrown may hold anything; only its class goes on, and the whole of it to `Host.thrown`.

internal fun Host.guarded(): NativeHost = NativeHost(
    tokens = tokens?.let { GuardedTokens(it, thrown) },
    keys = keys?.let { GuardedKeys(it, thrown) },
    connectivity = connectivity?.let { GuardedConnectivity(it, thrown) },
    remote = remote?.let { GuardedRemote(it, thrown) },
    resolver = resolver?.let { GuardedResolver(it, thrown) },
)

/** Tells the app. What that throws has no one left to be told. */
private fun tell(thrown: (Throwable) -> Unit, what: Throwable) {
    try {
        thrown(what)
    } catch (_: Throwable) {
    }
}

private fun failed(what: Throwable): HostException = HostException.Failed("it threw ${what.javaClass.name}")

// Typed as what a fault is, not as this one: a guard lets through what is of the type.
private fun unrecognised(@Suppress("UNUSED_PARAMETER") what: Throwable): RemoteFault = RemoteFault.Unrecognised(0)

private inline fun <T> guard(noinline thrown: (Throwable) -> Unit, call: () -> T): T = try {
    call()
} catch (expected: HostException) {
    throw expected
} catch (what: Throwable) {
    tell(thrown, what)
    throw failed(what)
}

private suspend inline fun <reified E : Exception, T> guard(
    noinline thrown: (Throwable) -> Unit,
    otherwise: (Throwable) -> E,
    call: () -> T,
): T = try {
    call()
} catch (what: Throwable) {
    // The library has given it up: nobody waits for an answer.
    if (what is E || !currentCoroutineContext().isActive) throw what
    tell(thrown, what)
    throw otherwise(what)
}

internal class GuardedListener(private val listener: Listener, private val thrown: (Throwable) -> Unit) : Listener {
    override fun changed(changes: Changes) = guard(thrown) { listener.changed(changes) }
}

private class GuardedConnectivity(
    private val connectivity: Connectivity,
    private val thrown: (Throwable) -> Unit,
) : Connectivity {
    override fun start(store: NativeStore) = guard(thrown) { connectivity.start(store) }

    override fun stop() = guard(thrown) { connectivity.stop() }
}

private class GuardedTokens(private val tokens: TokenProvider, private val thrown: (Throwable) -> Unit) : TokenProvider {
    override suspend fun token(account: String, rejected: String?): Token? =
        guard<TokenException, Token?>(thrown, { TokenException.Offline() }) { tokens.token(account, rejected) }
}

private class GuardedKeys(private val keys: KeyProvider, private val thrown: (Throwable) -> Unit) : KeyProvider {
    override suspend fun key(): ByteArray = guard(thrown, ::failed) { keys.key() }
}

private class GuardedResolver(
    private val resolver: ConflictResolver,
    private val thrown: (Throwable) -> Unit,
) : ConflictResolver {
    override suspend fun resolve(resolver: String, conflict: Conflict): Verdict =
        guard(thrown, ::failed) { this.resolver.resolve(resolver, conflict) }
}

private class GuardedRemote(private val remote: Remote, private val thrown: (Throwable) -> Unit) : Remote {
    override suspend fun push(token: String?, batch: PushBatch): PushAnswer =
        guard(thrown, ::unrecognised) { remote.push(token, batch) }

    override suspend fun pull(token: String?, request: PullRequest): PullPage =
        guard(thrown, ::unrecognised) { remote.pull(token, request) }

    override suspend fun probe() = guard(thrown, ::unrecognised) { remote.probe() }
}
