// The switch that stops work.
package bantam

/** Work that can be stopped from any thread. Once stopped it stays so until [resume], so a stop just before the work begins is not lost. */
public interface Cancellable {
    /** Whether it is stopped. */
    public val isCancelled: Boolean

    /** Stops it, within milliseconds; any thread may. What is closed is let be. */
    public fun cancel()

    /** Makes work possible again. */
    public fun resume()
}

/** A switch for what has none of its own: opening and warming a model. Any thread may use it at any time. */
public class Cancel : Cancellable, AutoCloseable {
    private val claim = Claim(this, Handle(Kind.CANCEL, number { Native.cancelNew(it) }))
    internal val handle: Handle get() = claim.handle

    override val isCancelled: Boolean get() = handle.useIfOpen { Native.cancelIsSet(it) } ?: false

    override fun cancel() {
        handle.useIfOpen { Native.cancelSet(it) }
    }

    override fun resume() {
        handle.useIfOpen { Native.cancelReset(it) }
    }

    /** Frees it. What it was given to keeps what it needs of it. */
    override fun close(): Unit = claim.close()
}

/** Runs [call] with the pointer of a switch, or 0 for none. */
internal inline fun <T> Cancel?.use(call: (Long) -> T): T = if (this == null) call(0) else handle.use(call)
