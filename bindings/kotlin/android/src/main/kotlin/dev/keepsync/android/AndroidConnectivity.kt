package dev.keepsync.android

import android.content.Context
import android.net.ConnectivityManager
import android.net.Network
import android.net.NetworkCapabilities
import android.os.Build
import dev.keepsync.Connectivity
import dev.keepsync.KeepsyncException
import dev.keepsync.NativeStore
import dev.keepsync.NetworkFacts
import dev.keepsync.NetworkWatch

/** The phone's network, as Android tells it: hints, never proof. What they mean is decided by [dev.keepsync.hint]. */
public class AndroidConnectivity(context: Context) : Connectivity {
    private val manager = context.applicationContext.getSystemService(ConnectivityManager::class.java)
    private val watch = NetworkWatch()
    private val lock = Any()
    private var registered: ConnectivityManager.NetworkCallback? = null

    override fun start(store: NativeStore): Unit = synchronized(lock) {
        end()
        val life = watch.start { there ->
            try {
                store.network(there)
            } catch (_: KeepsyncException) {
                // Closed meanwhile: nobody asks.
            }
        }
        val callback = Callback(life)
        try {
            manager.registerDefaultNetworkCallback(callback)
            registered = callback
        } catch (_: RuntimeException) {
            // Too many callbacks in this process, or a phone that throws SecurityException here: nobody knows, so try.
            watch.tell(life, null, NetworkFacts())
            return
        }
        // Android calls back at once where there is a network, and not at all where there is none.
        if (manager.activeNetwork == null) watch.tell(life, null, NetworkFacts(connected = false))
    }

    override fun stop(): Unit = synchronized(lock) { end() }

    private fun end() {
        watch.stop()
        try {
            registered?.let(manager::unregisterNetworkCallback)
        } catch (_: IllegalArgumentException) {
            // The system has forgotten it already.
        }
        registered = null
    }

    /** All of one start. Android calls it one call at a time, on a thread of its own. */
    private inner class Callback(private val life: Int) : ConnectivityManager.NetworkCallback() {
        private var capabilities: NetworkCapabilities? = null
        private var blocked = false

        override fun onAvailable(network: Network) {
            // What it can do follows in a moment (since Android 8 always).
            capabilities = null
            blocked = false
            if (Build.VERSION.SDK_INT < Build.VERSION_CODES.O) tell(network)
        }

        override fun onCapabilitiesChanged(network: Network, networkCapabilities: NetworkCapabilities) {
            capabilities = networkCapabilities
            tell(network)
        }

        override fun onBlockedStatusChanged(network: Network, blocked: Boolean) {
            this.blocked = blocked
            tell(network)
        }

        override fun onLost(network: Network) {
            capabilities = null
            watch.tell(life, null, NetworkFacts(connected = false))
        }

        private fun tell(network: Network) = watch.tell(life, network, facts(capabilities, blocked))
    }
}

/** What Android says, in words of ours. */
internal fun facts(capabilities: NetworkCapabilities?, blocked: Boolean): NetworkFacts {
    if (capabilities == null) return NetworkFacts(connected = true, blocked = blocked)
    fun has(capability: Int) = capabilities.hasCapability(capability)
    return NetworkFacts(
        connected = true,
        internet = has(NetworkCapabilities.NET_CAPABILITY_INTERNET),
        validated = has(NetworkCapabilities.NET_CAPABILITY_VALIDATED),
        captivePortal = has(NetworkCapabilities.NET_CAPABILITY_CAPTIVE_PORTAL),
        blocked = blocked,
        suspended = Build.VERSION.SDK_INT >= Build.VERSION_CODES.P &&
            !has(NetworkCapabilities.NET_CAPABILITY_NOT_SUSPENDED),
        vpn = capabilities.hasTransport(NetworkCapabilities.TRANSPORT_VPN),
        metered = !has(NetworkCapabilities.NET_CAPABILITY_NOT_METERED),
    )
}
