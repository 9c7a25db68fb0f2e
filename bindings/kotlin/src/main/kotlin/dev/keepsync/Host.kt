package dev.keepsync

/**
 * What the app's own code does for Keepsync: its sign-in, and what else it needs. What is absent is not asked.
 *
 * All of it is called on threads of Keepsync's, and may throw, hang or call back without harming anything but what it was
 * asked for.
 */
public class Host(
    /** Where tokens come from; absent for a backend that needs none. */
    public val tokens: TokenProvider? = null,
    /** Where the files' key comes from: with it they are encrypted. */
    public val keys: KeyProvider? = null,
    /** Watches the platform's network. */
    public val connectivity: Connectivity? = null,
    /** The app's own backend, for [Backend.App]. */
    public val remote: Remote? = null,
    /** Decides conflicts of collections whose policy is [Policy.Custom]. */
    public val resolver: ConflictResolver? = null,
    /** Is told what any of them, or a listener, threw: for the app's log. */
    public val thrown: (Throwable) -> Unit = {},
)
