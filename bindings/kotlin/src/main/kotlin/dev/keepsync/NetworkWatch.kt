package dev.keepsync

/**
 * Turns a platform's callbacks into hints. They come from any thread, in any order, and late: what comes after [stop], or
 * belongs to an earlier [start], is ignored; a hint that says what the last one said is not repeated, but for a network that
 * is another one: what was tried on the old one may work on the new one.
 */
public class NetworkWatch {
    private val lock = Any()
    private var life = 0
    private var say: ((Boolean) -> Unit)? = null
    private var network: Any? = null
    private var told: Hint? = null

    /** Begins to tell [say]. Gives what callbacks that belong to this start have to show to [tell]. */
    public fun start(say: (there: Boolean) -> Unit): Int = synchronized(lock) {
        life += 1
        this.say = say
        network = null
        told = null
        life
    }

    /** Tells nothing more. Stopping twice is stopping once. */
    public fun stop(): Unit = synchronized(lock) {
        life += 1
        say = null
    }

    /** The platform says [facts] of [network], which is whatever names it; null for none. */
    public fun tell(life: Int, network: Any?, facts: NetworkFacts) {
        val hint = hint(facts)
        val say = synchronized(lock) {
            if (life != this.life || (hint == told && network == this.network)) return
            this.network = network
            told = hint
            say
        }
        // Not under the lock: it may call back.
        say?.invoke(hint == Hint.TRY)
    }
}
