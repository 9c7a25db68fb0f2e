package dev.keepsync

import com.sun.jna.Callback
import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native

// The library calls from threads of its own, which the virtual machine has to know for the time of the call. JNA makes them
// known and lets them go again at each call, as threads that keep the process from ending. Here each stays known until it
// ends, as a daemon: it saves more than half of what a call that waits costs (README.md).

private val kept: Unit by lazy {
    val initializer = CallbackThreadInitializer(true, false, "keepsync")
    val callbacks: List<Callback> = listOf(
        uniffiRustFutureContinuationCallbackImpl,
        uniffiForeignFutureDroppedCallbackImpl,
        uniffiCallbackInterfaceListener.changed,
        uniffiCallbackInterfaceListener.uniffiFree,
        uniffiCallbackInterfaceListener.uniffiClone,
        uniffiCallbackInterfaceConnectivity.start,
        uniffiCallbackInterfaceConnectivity.stop,
        uniffiCallbackInterfaceConnectivity.uniffiFree,
        uniffiCallbackInterfaceConnectivity.uniffiClone,
        uniffiCallbackInterfaceTokenProvider.token,
        uniffiCallbackInterfaceTokenProvider.uniffiFree,
        uniffiCallbackInterfaceTokenProvider.uniffiClone,
        uniffiCallbackInterfaceKeyProvider.key,
        uniffiCallbackInterfaceKeyProvider.uniffiFree,
        uniffiCallbackInterfaceKeyProvider.uniffiClone,
        uniffiCallbackInterfaceConflictResolver.resolve,
        uniffiCallbackInterfaceConflictResolver.uniffiFree,
        uniffiCallbackInterfaceConflictResolver.uniffiClone,
        uniffiCallbackInterfaceRemote.push,
        uniffiCallbackInterfaceRemote.pull,
        uniffiCallbackInterfaceRemote.probe,
        uniffiCallbackInterfaceRemote.uniffiFree,
        uniffiCallbackInterfaceRemote.uniffiClone,
    )
    callbacks.forEach { Native.setCallbackThreadInitializer(it, initializer) }
}

/** Keeps the library's threads known to the virtual machine. Before the first call that can call back. */
internal fun keepThreads(): Unit = kept
