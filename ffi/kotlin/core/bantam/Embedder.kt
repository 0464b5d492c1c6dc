// Texts that become vectors, or scores.
package bantam

import kotlin.math.sqrt

/**
 * Makes vectors of texts: texts that mean the same get vectors that point the same way. One thread at a time may use it: a second one gets
 * [Code.BUSY]. Only [cancel], [resume], [isCancelled], [close] and what it says of itself may be called at any time. Calls block: keep them off an
 * app's main thread.
 */
public class Embedder private constructor(pointer: Long, private val switch: Cancel) : Cancellable, AutoCloseable {
    private val claim = Claim(this, Handle(Kind.EMBEDDER, pointer))
    private val handle: Handle get() = claim.handle
    private val facts = numbers(5) { out -> handle.use { Native.embedderInfo(it, out) } }

    /** Values of a vector; with [Pooling.RANK] how many labels the model's head scores. */
    public val dim: Int get() = facts[0].toInt()

    /** The most tokens of a text. */
    public val context: Int get() = facts[1].toInt()

    /** Bytes of memory. */
    public val totalBytes: Long get() = facts[3]

    /** How texts become vectors. */
    public val pooling: Pooling get() = Pooling.of(facts[4])

    override val isCancelled: Boolean get() = switch.isCancelled

    /** Stops the call in progress within milliseconds, and every later one until [resume]: they throw [Code.CANCELLED]. */
    override fun cancel(): Unit = switch.cancel()

    override fun resume(): Unit = switch.resume()

    /**
     * Makes a vector of each text. Several texts go through the model at once, so many in one call are faster than as many calls. A text of more
     * tokens than [context] is [Code.CONTEXT_FULL], unless [truncate] cuts it off.
     */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun embed(texts: List<String>, truncate: Boolean = false): List<FloatArray> {
        if (pooling == Pooling.NONE) throw BantamException(Code.ARGUMENT, "without pooling every token has a vector: call tokenVectors")
        return vectors(texts, null, truncate)
    }

    /** Makes a vector of one text. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun embed(text: String, truncate: Boolean = false): FloatArray = embed(listOf(text), truncate)[0]

    /** The vector of each token of a text, with [Pooling.NONE]. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun tokenVectors(text: String, truncate: Boolean = false): List<FloatArray> {
        if (pooling != Pooling.NONE) throw BantamException(Code.ARGUMENT, "tokens have vectors of their own with Pooling.NONE only: call embed")
        return vectors(listOf(text), null, truncate)
    }

    /**
     * How well each document answers a query, the more the better. A model with [Pooling.RANK] reads them together, and its first label is the score;
     * any other compares vectors, by the cosine.
     */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun scores(query: String, documents: List<String>, truncate: Boolean = false): FloatArray {
        if (pooling == Pooling.RANK) return vectors(documents.map { query }, documents, truncate).map { it[0] }.toFloatArray()
        val vectors = embed(documents + query, truncate)
        return FloatArray(documents.size) { similarity(vectors[it], vectors.last()) }
    }

    /**
     * Gives the memory that texts are read in back to the system, when an app goes into the background or is warned that memory is short. Returns how
     * many bytes. The next call takes the memory again, and makes the same vectors.
     */
    @Throws(BantamException::class)
    public fun trim(): Long = number { out -> handle.use { Native.embedderTrim(it, out) } }

    private fun vectors(texts: List<String>, documents: List<String>?, truncate: Boolean): List<FloatArray> {
        fun bytes(texts: List<String>) = Array(texts.size) { texts[it].encodeToByteArray() }
        val values = floats { out -> handle.use { Native.embedderEmbed(it, bytes(texts), documents?.let(::bytes), truncate.asNumber().toInt(), out) } }
        return List(values.size / dim) { values.copyOfRange(it * dim, (it + 1) * dim) }
    }

    /** Cancels the call in progress, waits until it has returned, and frees the embedder. */
    override fun close() {
        handle.close()
        switch.cancel()
        claim.close(wait = true)
        switch.close()
    }

    public companion object {
        /** Opens an embedder, and has all the memory that it computes in. It keeps what it needs of the model. */
        @JvmStatic
        @JvmOverloads
        @Throws(BantamException::class)
        public fun open(model: Model, options: EmbedderOptions = EmbedderOptions()): Embedder = opening { switch ->
            val pointer = number { out ->
                model.handle.use { m -> options.pool?.handle.useOrNone { pool -> switch.handle.use { Native.embedderOpen(m, options.numbers(), pool, it, out) } } }
            }
            Embedder(pointer, switch)
        }

        /** The cosine of the angle between two vectors: 1 for the same direction, 0 for none in common. */
        @JvmStatic
        public fun similarity(a: FloatArray, b: FloatArray): Float {
            require(a.size == b.size) { "the vectors have ${a.size} and ${b.size} values: they are of two models" }
            var (product, ofA, ofB) = Triple(0.0, 0.0, 0.0)
            for (i in a.indices) {
                product += a[i].toDouble() * b[i]
                ofA += a[i].toDouble() * a[i]
                ofB += b[i].toDouble() * b[i]
            }
            return if (ofA == 0.0 || ofB == 0.0) 0f else (product / sqrt(ofA * ofB)).toFloat()
        }
    }
}
