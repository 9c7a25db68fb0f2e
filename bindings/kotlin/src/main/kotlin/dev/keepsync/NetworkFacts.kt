package dev.keepsync

/** What a platform tells of the network that the app would use, as far as it tells. */
public data class NetworkFacts(
    /** Whether there is a network at all; absent: nobody knows. */
    val connected: Boolean? = null,
    /** Whether it says that it leads to the internet. */
    val internet: Boolean? = null,
    /** Whether the platform has reached the internet through it. */
    val validated: Boolean? = null,
    /** Whether somebody has to sign in on a page first. */
    val captivePortal: Boolean = false,
    /** Whether the system keeps this app from using it: data saver, a battery saver, a firewall. */
    val blocked: Boolean = false,
    /** Whether it is lent for the moment and not to be used: a suspended mobile connection. */
    val suspended: Boolean = false,
    /** Whether it is a tunnel. Platforms do not always check what lies behind one. */
    val vpn: Boolean = false,
    /** Whether its bytes cost something. No reason to keep a user's writes back: they are small. */
    val metered: Boolean = false,
)

/** What to tell the drain. */
public enum class Hint {
    /** Try: there is a network, or nobody knows that there is none. */
    TRY,

    /** Do not try on your own: the platform is sure that nothing would arrive. */
    WAIT,
}

/**
 * What [facts] mean for the drain. Only an answer of the backend is proof: whatever is not certain counts as "try", because a
 * try costs one probe, and a network that is taken for absent costs the user the wait.
 */
public fun hint(facts: NetworkFacts): Hint = when {
    facts.connected == false || facts.blocked || facts.suspended -> Hint.WAIT
    // A network without internet may still lead to the backend, if that is in it: a gym's own, say. But not one that
    // has been looked at and is waiting for a sign-in page.
    facts.captivePortal && facts.validated != true && !facts.vpn -> Hint.WAIT
    else -> Hint.TRY
}
