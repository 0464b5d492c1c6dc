// Threads that sessions and embedders share.
package bantam

/** Threads that several sessions and embedders take turns with. Those that are given none have their own. They keep what they need of it. */
public class Pool @JvmOverloads @Throws(BantamException::class) constructor(
    /** Threads in all, the calling one included; 0 is [Bantam.threadsDefault]. */
    threads: Int = 0,
) : AutoCloseable {
    private val claim = Claim(this, Handle(Kind.POOL, number { Native.poolNew(count("the number of threads", threads), it) }))
    internal val handle: Handle get() = claim.handle

    /** Uses so many threads from here on, at most as many as there are, also during calls. Nothing that is computed changes. */
    @Throws(BantamException::class)
    public fun setThreads(threads: Int): Unit = handle.use { check(Native.poolSetThreads(it, count("the number of threads", threads))) }

    /** Changes how important its threads are, at once. That of the calling one is its owner's. */
    @Throws(BantamException::class)
    public fun setPriority(priority: Priority): Unit = handle.use { check(Native.poolSetPriority(it, priority.number)) }

    /** Frees it. Its threads end with the last session or embedder that uses it. */
    override fun close(): Unit = claim.close()
}
