// The switch that stops work.
package bantam

import java.nio.ByteBuffer

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

/**
 * How far opening or warming a model is: hand it to one such call, and read it on another thread, as often as a progress bar is drawn. It has nothing
 * to be closed, and goes back to 0 at the next call that it is handed to.
 */
public class Progress {
    internal val counters: ByteBuffer = ByteBuffer.allocateDirect(16)

    /** Bytes of the model that are ready. */
    public val done: Long get() = numbers(2) { Native.progressRead(counters, it) }[0]

    /** Bytes of the model in all; 0 before the call has begun. */
    public val all: Long get() = numbers(2) { Native.progressRead(counters, it) }[1]
}
