// A GGUF model: what it is, its words, and the sessions that it answers in.
package bantam

import java.nio.ByteBuffer

/** An open model. Any number of threads and sessions may use it at once. Its weights stay in the pages of its file. */
public class Model private constructor(pointer: Long) : AutoCloseable {
    private val claim = Claim(this, Handle(Kind.MODEL, pointer))
    internal val handle: Handle get() = claim.handle

    /** What the model is. */
    public val info: ModelInfo by lazy {
        val texts = arrayOfNulls<ByteArray>(2)
        val n = numbers(16) { out -> handle.use { Native.modelInfo(it, out, texts) } }
        ModelInfo(
            architecture = texts[0]!!.toString(Charsets.UTF_8), backend = texts[1]!!.toString(Charsets.UTF_8),
            fileBytes = n[0], bytesPerToken = n[1], macsPerToken = n[2], fingerprint = n[3],
            vocabSize = n[4].toInt(), contextLength = n[5].toInt(), layers = n[6].toInt(), dim = n[7].toInt(), ffn = n[8].toInt(),
            heads = n[9].toInt(), kvHeads = n[10].toInt(), headDim = n[11].toInt(), bos = n[12].toInt(), eos = n[13].toInt(),
            hasChatTemplate = n[14] == 1L, isFileBacked = n[15] == 1L,
        )
    }

    /** The keys of the metadata, in the order of the file. */
    public val metadataKeys: List<String>
        @Throws(BantamException::class) get() = (0 until number { out -> handle.use { Native.modelMetadataCount(it, out) } }).map { i ->
            val texts = arrayOfNulls<ByteArray>(2)
            numbers(5) { out -> handle.use { Native.modelMetadataAt(it, i, out, texts) } }
            texts[0]!!.toString(Charsets.UTF_8)
        }

    /**
     * The value of a metadata key, "general.name": a Long, Double, Boolean, String or a List of them. Null if there is no such key. A list reads
     * each value when it is asked for, and texts take longer the further back they are: for those of the vocabulary there is [token].
     */
    @Throws(BantamException::class)
    public fun metadata(key: String): Any? {
        val texts = arrayOfNulls<ByteArray>(1)
        val keyBytes = key.encodeToByteArray()
        val n = try {
            numbers(5) { out -> handle.use { Native.modelMetadata(it, keyBytes, out, texts) } }
        } catch (e: BantamException) {
            if (e.code == Code.ARGUMENT) return null
            throw e
        }
        if (n[0] != ARRAY) return value(n, texts[0])
        return object : AbstractList<Any?>() {
            override val size: Int = n[4].toInt()

            override fun get(index: Int): Any? {
                val text = arrayOfNulls<ByteArray>(1)
                val element = numbers(5) { out -> handle.use { Native.modelMetadataElement(it, keyBytes, index.toLong(), out, text) } }
                return value(element, text[0])
            }
        }
    }

    private fun value(n: LongArray, text: ByteArray?): Any? = when (n[0]) {
        1L -> n[2]
        2L -> Double.fromBits(n[3])
        3L -> n[2] == 1L
        4L -> text!!.toString(Charsets.UTF_8)
        else -> null
    }

    /** The tensors, in the order of the file. */
    public val tensors: List<Tensor>
        @Throws(BantamException::class) get() = (0 until number { out -> handle.use { Native.modelTensorCount(it, out) } }).map { i ->
            val texts = arrayOfNulls<ByteArray>(2)
            val n = numbers(8) { out -> handle.use { Native.modelTensorAt(it, i, out, texts) } }
            val (name, kernels) = texts.map { it?.toString(Charsets.UTF_8) }
            Tensor(name!!, n[0].toInt(), listOf(n[2], n[3], n[4], n[5]).take(n[1].toInt()), n[6], n[7], kernels)
        }

    /** How many bytes of the model's file are in memory at the moment. */
    public val residentBytes: Long @Throws(BantamException::class) get() = number { out -> handle.use { Native.modelResidentBytes(it, out) } }

    /** Reads all pages of the model, so that the first answer waits for no disk. It takes as long as the disk does; [progress] tells how far it is. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun warm(cancel: Cancel? = null, progress: Progress? = null): Unit =
        cancel?.handle.useOrNone { c -> handle.use { check(Native.modelWarm(it, c, progress?.counters)) } }

    /**
     * Turns text into tokens. [addSpecial] adds those that begin and end a text, where the model wants them. [parseSpecial] takes the texts
     * of control tokens, `<|im_start|>`, for those tokens: never do so for text from strangers, who could end the turn and speak for someone else.
     */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun tokenize(text: String, addSpecial: Boolean = false, parseSpecial: Boolean = false): IntArray {
        val out = arrayOfNulls<IntArray>(1)
        handle.use { check(Native.modelTokenize(it, text.encodeToByteArray(), flags(addSpecial, parseSpecial), out)) }
        return out[0]!!
    }

    /** Turns tokens into text; [showSpecial] shows control tokens, instead of leaving them out. Half a character becomes U+FFFD. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun detokenize(tokens: IntArray, showSpecial: Boolean = false): String =
        text { out -> handle.use { Native.modelDetokenize(it, checked(tokens), if (showSpecial) 4 else 0, out) } }

    /** Says what a token is. */
    @Throws(BantamException::class)
    public fun token(token: Int): TokenInfo {
        val texts = arrayOfNulls<ByteArray>(1)
        val n = numbers(2) { out -> handle.use { Native.modelToken(it, checked(token), out, texts) } }
        return TokenInfo(texts[0]!!, n[0] == 1L, n[1] == 1L)
    }

    /** Says how much memory a session of these options takes, to the byte. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun plan(options: SessionOptions = SessionOptions()): Plan {
        val n = numbers(4) { out -> handle.use { model -> options.pool?.handle.useOrNone { Native.sessionPlan(model, options.numbers(), it, out) } } }
        return Plan(n[0].toInt(), n[1], n[2], n[3])
    }

    /** Says how much memory an embedder of these options takes, to the byte. */
    @Throws(BantamException::class)
    public fun plan(options: EmbedderOptions): Plan {
        val n = numbers(4) { out -> handle.use { model -> options.pool?.handle.useOrNone { Native.embedderPlan(model, options.numbers(), it, out) } } }
        return Plan(n[0].toInt(), n[1], n[2], n[3])
    }

    /** Opens a session: as [Session.open]. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun session(options: SessionOptions = SessionOptions()): Session = Session.open(this, options)

    /** Opens an embedder: as [Embedder.open]. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun embedder(options: EmbedderOptions = EmbedderOptions()): Embedder = Embedder.open(this, options)

    /** Opens an adapter: as [Adapter.open]. */
    @Throws(BantamException::class)
    public fun adapter(path: String): Adapter = Adapter.open(this, path)

    /** Opens a chat with a session of its own: as [Chat.open]. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun chat(options: ChatOptions = ChatOptions(), session: SessionOptions = SessionOptions()): Chat = Chat.open(this, options, session)

    /** Frees the model. Its sessions go on working, and keep the file mapped until they are closed. */
    override fun close(): Unit = claim.close()

    public companion object {
        private const val ARRAY = 5L

        internal fun flags(addSpecial: Boolean, parseSpecial: Boolean): Int = (if (addSpecial) 1 else 0) or (if (parseSpecial) 2 else 0)

        /** Opens the GGUF file at a path. */
        @JvmStatic
        @JvmOverloads
        @Throws(BantamException::class)
        public fun open(path: String, options: ModelOptions = ModelOptions()): Model = Model(
            number { out ->
                options.use { cancel, progress ->
                    Native.modelOpenPath(path.encodeToByteArray(), options.backendBytes(), cancel, options.lock, progress, options.log, out)
                }
            },
        )

        /**
         * Opens [length] bytes of an open file from [offset] on (to its end if 0): an asset inside an APK. Any offset that is a multiple of 4 is
         * used in place. The descriptor is borrowed, and may be closed when the call has returned.
         */
        @JvmStatic
        @JvmOverloads
        @Throws(BantamException::class)
        public fun open(fd: Int, offset: Long, length: Long, options: ModelOptions = ModelOptions()): Model = Model(
            number { out ->
                options.use { cancel, progress -> Native.modelOpenFd(fd, count("offset", offset), count("length", length), options.backendBytes(), cancel, options.lock, progress, options.log, out) }
            },
        )

        /**
         * Opens a model in several files (split GGUF), all parts in their order. One whose files lie beside each other under the usual names,
         * `name-00001-of-00003.gguf`, opens by the path of the first.
         */
        @JvmStatic
        @JvmOverloads
        @Throws(BantamException::class)
        public fun open(parts: List<ModelPart>, options: ModelOptions = ModelOptions()): Model = Model(
            number { out ->
                val paths = Array(parts.size) { parts[it].path?.encodeToByteArray() }
                val numbers = parts.flatMap { listOf(it.fd.toLong(), count("offset", it.offset), count("length", it.length)) }.toLongArray()
                options.use { cancel, progress -> Native.modelOpenParts(paths, numbers, options.backendBytes(), cancel, options.lock, progress, options.log, out) }
            },
        )

        /** Opens the bytes of a direct buffer from its position to its limit, in place. Nobody may change them while a model or session uses them. */
        @JvmStatic
        @JvmOverloads
        @Throws(BantamException::class)
        public fun open(buffer: ByteBuffer, options: ModelOptions = ModelOptions()): Model = Model(
            number { out ->
                options.use { cancel, progress ->
                    Native.modelOpenBuffer(buffer, buffer.position().toLong(), buffer.remaining().toLong(), options.backendBytes(), cancel, progress, options.log, out)
                }
            },
        )
    }
}

/** Runs [call] with the pointer of the switch and the counters of the progress. */
private inline fun <T> ModelOptions.use(call: (Long, ByteBuffer?) -> T): T = cancel?.handle.useOrNone { call(it, progress?.counters) }

/** A part of a model in several files: a file, or [length] bytes of an open one from [offset] on (to its end if 0). */
public class ModelPart private constructor(internal val path: String?, internal val fd: Int, internal val offset: Long, internal val length: Long) {
    public constructor(path: String) : this(path, -1, 0, 0)

    /** The descriptor is borrowed, and may be closed when the model is open. */
    public constructor(fd: Int, offset: Long, length: Long) : this(null, fd, offset, length)
}

/** What a model is. */
public class ModelInfo internal constructor(
    /** The architecture, "llama". */
    public val architecture: String,
    /** The backend that runs it. */
    public val backend: String,
    /** Bytes of the file, or of the part of it, or of the memory. */
    public val fileBytes: Long,
    /** Bytes that one token reads. */
    public val bytesPerToken: Long,
    /** Multiply-adds of one token with the weights. */
    public val macsPerToken: Long,
    /** Tells this model's file from another's. */
    public val fingerprint: Long,
    /** Number of tokens. */
    public val vocabSize: Int,
    /** The context that it was trained for, in tokens. */
    public val contextLength: Int,
    public val layers: Int,
    /** Width of the residual stream. */
    public val dim: Int,
    /** Width of the feed-forward hidden layer. */
    public val ffn: Int,
    /** Query heads. */
    public val heads: Int,
    /** Key and value heads. */
    public val kvHeads: Int,
    /** Width of a head. */
    public val headDim: Int,
    /** The token that begins a text, or -1. */
    public val bos: Int,
    /** The token that ends one, or -1. */
    public val eos: Int,
    public val hasChatTemplate: Boolean,
    /** Whether its weights are pages of a file, which the system can drop and read again. */
    public val isFileBacked: Boolean,
) {
    override fun toString(): String = "ModelInfo(architecture=$architecture, backend=$backend, fileBytes=$fileBytes, vocabSize=$vocabSize, " +
        "contextLength=$contextLength, layers=$layers, dim=$dim, ffn=$ffn, heads=$heads, kvHeads=$kvHeads, headDim=$headDim, bos=$bos, eos=$eos, " +
        "hasChatTemplate=$hasChatTemplate, isFileBacked=$isFileBacked)"
}

/** A tensor of a model's file. */
public class Tensor internal constructor(
    public val name: String,
    /** The type by ggml's number. */
    public val typeNumber: Int,
    /** The extent of each dimension, the fastest first. */
    public val shape: List<Long>,
    /** Where it begins, in bytes from the start of the file. */
    public val offset: Long,
    /** How many bytes it has. */
    public val bytes: Long,
    /** The backend whose kernels multiply with it: the model's, or one that this takes the format's from. Null if no kernel reads the type. */
    public val kernels: String?,
)

/** A token: its bytes, which may be a part of a character; whether it steers the model, and whether an answer is over when it comes. */
public class TokenInfo internal constructor(public val bytes: ByteArray, public val isControl: Boolean, public val isEnd: Boolean)

/** What a session will take, known before it is opened. */
public class Plan internal constructor(public val context: Int, public val kvBytes: Long, public val scratchBytes: Long, public val totalBytes: Long) {
    override fun toString(): String = "Plan(context=$context, kvBytes=$kvBytes, scratchBytes=$scratchBytes, totalBytes=$totalBytes)"
}
