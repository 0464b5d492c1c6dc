// Adapters (LoRA): files that change a model by little.
package bantam

import java.nio.ByteBuffer

/**
 * An open adapter of a model, checked against it: [Session.setAdapters] has a session use it. Any number of threads and sessions may use it at once;
 * they and it keep what they need, so the order of closing does not matter.
 */
public class Adapter private constructor(pointer: Long) : AutoCloseable {
    private val claim = Claim(this, Handle(Kind.ADAPTER, pointer))
    internal val handle: Handle get() = claim.handle
    private val facts = numbers(4) { out -> handle.use { Native.adapterInfo(it, out) } }

    /** Its greatest rank: what it counts for in [SessionOptions.adapterRank]. */
    public val rank: Int get() = facts[0].toInt()

    /** Matrices of the model that it adds to. */
    public val matrices: Int get() = facts[1].toInt()

    /** Tells this adapter's file from another's. */
    public val fingerprint: Long get() = facts[2]

    /** Multiplies what it adds, over the rank; 0 if the file has none. */
    public val alpha: Float get() = facts[3].asFloat()

    /** This adapter at a scale, for [Session.setAdapters]. */
    public fun scaled(scale: Float): ScaledAdapter = ScaledAdapter(this, scale)

    /** Frees it. Sessions that have it go on working. */
    override fun close(): Unit = claim.close()

    public companion object {
        /** Opens the adapter at a path: a GGUF file, mapped in place. An error names the tensor that does not fit the model. */
        @JvmStatic
        @Throws(BantamException::class)
        public fun open(model: Model, path: String): Adapter =
            Adapter(number { out -> model.handle.use { Native.adapterOpenPath(it, path.encodeToByteArray(), out) } })

        /** Opens [length] bytes of an open file from [offset] on (to its end if 0). The descriptor is borrowed, and may be closed when the call has returned. */
        @JvmStatic
        @Throws(BantamException::class)
        public fun open(model: Model, fd: Int, offset: Long, length: Long): Adapter =
            Adapter(number { out -> model.handle.use { Native.adapterOpenFd(it, fd, count("offset", offset), count("length", length), out) } })

        /** Opens the bytes of a direct buffer from its position to its limit, in place. Nobody may change them while the adapter or a session uses them. */
        @JvmStatic
        @Throws(BantamException::class)
        public fun open(model: Model, buffer: ByteBuffer): Adapter = Adapter(
            number { out -> model.handle.use { Native.adapterOpenBuffer(it, buffer, buffer.position().toLong(), buffer.remaining().toLong(), out) } },
        )
    }
}

/** An adapter, and how much of it is added: 1 is what it was trained for, 0 nothing. */
public class ScaledAdapter @JvmOverloads constructor(public val adapter: Adapter, public val scale: Float = 1f)
