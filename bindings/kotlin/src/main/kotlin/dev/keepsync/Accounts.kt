package dev.keepsync

/**
 * The accounts of an installation: one file each, in one folder.
 *
 * Nothing is opened by making it. Of a folder whose stores are open in this process, these are the same accounts again, as
 * they were registered then, with a new host: after a reload.
 */
public class Accounts(options: Options, host: Host = Host()) {
    private val thrown = host.thrown
    private val native: NativeAccounts

    init {
        keepThreads()
        native = NativeAccounts(options, host.guarded())
    }

    /** Opens an account's store, or gives the one that is open. */
    public suspend fun open(account: String): Store = Store(native.open(account), thrown)

    /** Closes the account's store and keeps its file. Gives how many writes wait in it for the next sign-in. */
    public suspend fun signOut(account: String): Long = native.signOut(account)

    /** The accounts that have a file here, by name. */
    public suspend fun list(): List<KnownAccount> = native.list()

    /** What wiping an account would lose, as things stand now. */
    public suspend fun losses(account: String): Losses = native.losses(account)

    /**
     * Deletes an account's file and all that stands beside it, for good. [yes] is what the user agreed to lose; if that is
     * not what would be lost now, the answer is `would_lose`, and nothing is deleted.
     */
    public suspend fun wipe(account: String, yes: Losses): Unit = native.wipe(account, yes)
}
