// The tokens of one conversation, and the answer in progress.
package bantam

/** How a session stands. */
public class SessionInfo internal constructor(
    /** Tokens that it holds. */
    public val position: Int,
    /** Tokens that it can hold. */
    public val context: Int,
    /** Tokens that it reads at once. */
    public val batch: Int,
    public val threads: Int,
    public val kvBytes: Long,
    public val scratchBytes: Long,
    /** Bytes that it takes when it is saved. */
    public val savedBytes: Long,
    /** Whether there are logits behind the last token. */
    public val hasLogits: Boolean,
    /** Whether its memory was given back: see [Session.trim]. */
    public val isTrimmed: Boolean,
) {
    override fun toString(): String = "SessionInfo(position=$position, context=$context, batch=$batch, threads=$threads, kvBytes=$kvBytes, " +
        "scratchBytes=$scratchBytes, savedBytes=$savedBytes, hasLogits=$hasLogits, isTrimmed=$isTrimmed)"
}

/** How much memory to give back. */
public enum class TrimLevel(internal val number: Int) {
    /** What is computed anew for each call. */
    SCRATCH(1),
    /** Also keys, values and logits, which are written to a file. The next call that needs them reads them again. */
    ALL(2),
}

/** A token and the natural logarithm of its probability. */
public class TokenLogprob internal constructor(public val token: Int, public val logprob: Float)

/**
 * The tokens of one conversation, their keys and values, and the answer in progress. One thread at a time may use it: a second one gets
 * [Code.BUSY]. Only [cancel], [resume], [isCancelled] and [close] may be called at any time. Calls that read or answer block: keep them off an
 * app's main thread.
 */
public class Session private constructor(internal val model: Model, pointer: Long, private val switch: Cancel) : Cancellable, AutoCloseable {
    private val claim = Claim(this, Handle(Kind.SESSION, pointer))
    internal val handle: Handle get() = claim.handle
    private val out = LongArray(6)
    private val texts = arrayOfNulls<ByteArray>(1)
    // Which answer is in progress, counting from 1, so that whoever still pulls an older one takes none of its pieces.
    private var answer = 0

    /** How it stands. */
    public val info: SessionInfo
        @Throws(BantamException::class) get() {
            val n = numbers(9) { out -> handle.use { Native.sessionInfo(it, out) } }
            return SessionInfo(n[0].toInt(), n[1].toInt(), n[2].toInt(), n[3].toInt(), n[4], n[5], n[6], n[7] == 1L, n[8] == 1L)
        }

    override val isCancelled: Boolean get() = switch.isCancelled

    /** Stops the call in progress within milliseconds, and every later one until [resume]. Reading throws [Code.CANCELLED], an answer ends. */
    override fun cancel(): Unit = switch.cancel()

    override fun resume(): Unit = switch.resume()

    /** Makes [text] what the session holds, and reads only what is new of it. Returns how many tokens were read. The flags are those of [Model.tokenize]. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun prompt(text: String, addSpecial: Boolean = false, parseSpecial: Boolean = false): Int =
        number { out -> handle.use { Native.sessionPromptText(it, text.encodeToByteArray(), Model.flags(addSpecial, parseSpecial), out) } }.toInt()

    /** Makes [tokens] what the session holds, and reads only those behind what it holds of them already. Returns how many were read. */
    @Throws(BantamException::class)
    public fun prompt(tokens: IntArray): Int = number { out -> handle.use { Native.sessionPrompt(it, checked(tokens), out) } }.toInt()

    /** Reads tokens behind those that the session holds. An answer in progress is given up. */
    @Throws(BantamException::class)
    public fun prefill(tokens: IntArray): Unit = handle.use { check(Native.sessionPrefill(it, checked(tokens))) }

    /** Reads one token, such as one that was sampled. An answer in progress is given up. */
    @Throws(BantamException::class)
    public fun decode(token: Int): Unit = handle.use { check(Native.sessionDecode(it, checked(token))) }

    /** Chooses the next token; it is not read yet. */
    @Throws(BantamException::class)
    public fun sample(sampler: Sampler): Choice {
        val n = numbers(4) { out -> handle.use { session -> sampler.handle.use { Native.sessionSample(session, it, out) } } }
        return Choice(n[0].toInt(), n[1].asFloat(), n[2].asFloat(), n[3].asFloat())
    }

    /** Begins an answer behind what the session holds. Its pieces come with [next]. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun begin(options: AnswerOptions = AnswerOptions()) {
        beginNumbered(options)
    }

    /** As [begin]; returns the number of the answer. */
    internal fun beginNumbered(options: AnswerOptions): Int {
        val schema = options.jsonSchema
        if (options.grammar == null && schema != null) {
            // The answer keeps what it needs of its grammar.
            return Grammar.jsonSchema(model, schema).use { grammar -> grammar.handle.use { begin(options, it) } }
        }
        return options.grammar?.handle?.use { begin(options, it) } ?: begin(options, 0)
    }

    private fun begin(options: AnswerOptions, grammar: Long): Int {
        val sampler = options.sampler
        return handle.use { session ->
            check(
                Native.sessionBegin(
                    session, options.numbers(), options.stop.map { it.encodeToByteArray() }.toTypedArray(), options.stopTokens?.let(::checked), grammar,
                    sampler.numbers(), sampler.breakers(), sampler.biasTokens(), sampler.biases(), sampler.order(),
                ),
            )
            ++answer
        }
    }

    /** Pulls the next piece of the answer. The last one has a [Piece.stopReason]; behind it there is none. */
    @Throws(BantamException::class)
    public fun next(): Piece = handle.use { pull(it) }

    /** The next piece of an answer. One whose session is closed in the meantime was cancelled. */
    internal fun next(of: Int): Piece = handle.useIfOpen { session ->
        if (of != answer) throw BantamException(Code.STATE, "another answer was begun in the meantime, which ended this one")
        pull(session)
    } ?: Piece("", StopReason.CANCELLED)

    private fun pull(session: Long): Piece {
        check(Native.sessionNext(session, out, texts))
        return Piece(
            texts[0]!!.toString(Charsets.UTF_8), StopReason.of(out[4]), out[0].toInt(), out[1].asFloat(), out[2].asFloat(), out[3].asFloat(), out[5].toInt(),
        )
    }

    /** An answer behind what the session holds. It begins when its first piece is pulled, and ends when another begins: to pull it on is [Code.STATE]. */
    @JvmOverloads
    public fun answer(options: AnswerOptions = AnswerOptions()): Answer = Answer {
        val number = beginNumbered(options)
        pieces { next(number) }
    }

    /** What the last answer was, or what it is so far. */
    public val summary: Summary
        @Throws(BantamException::class) get() {
            val n = numbers(15) { out -> handle.use { Native.sessionSummary(it, out) } }
            return Summary(
                StopReason.of(n[0]), n[1].toInt(), if (n[2] < 0) null else n[2] == 1L, n[3], n[4], n[5], n[6], n[7], n[8], n[9],
                Confidence(n[10].asFloat(), n[11].asFloat(), n[12].asFloat(), n[13].asFloat(), n[14].asFloat()),
            )
        }

    /** The most likely tokens at the last choice, the likeliest first: as many as the sampler's `topLogprobs` asked for. */
    public val topLogprobs: List<TokenLogprob>
        @Throws(BantamException::class) get() {
            val tokens = arrayOfNulls<IntArray>(1)
            val logprobs = arrayOfNulls<FloatArray>(1)
            handle.use { check(Native.sessionTopLogprobs(it, tokens, logprobs)) }
            return tokens[0]!!.zip(logprobs[0]!!.asIterable()) { token, logprob -> TokenLogprob(token, logprob) }
        }

    /** The tokens that the session holds. */
    public val tokens: IntArray
        @Throws(BantamException::class) get() {
            val out = arrayOfNulls<IntArray>(1)
            handle.use { check(Native.sessionTokens(it, out)) }
            return out[0]!!
        }

    /** The score of every token of the vocabulary as the next one. */
    public val logits: FloatArray
        @Throws(BantamException::class) get() = floats { out -> handle.use { Native.sessionLogits(it, out) } }

    /** The adapters that the session uses. */
    public var adapters: List<ScaledAdapter> = emptyList()
        private set

    /**
     * Has the session use these adapters, at most 8, instead of those that it had; none at all takes them away, and the session computes what it did
     * before, to the last bit. What it holds was computed with other adapters, so it is forgotten; with those that are set already, nothing happens.
     * Their ranks together are at most [SessionOptions.adapterRank]. Forks and copies have the adapters of the session that they come from.
     */
    @Throws(BantamException::class)
    public fun setAdapters(vararg adapters: ScaledAdapter) {
        val scales = FloatArray(adapters.size) { adapters[it].scale }
        handle.use { session -> adapters.map { it.adapter.handle }.useAll { check(Native.sessionSetAdapters(session, it, scales)) } }
        this.adapters = adapters.toList()
    }

    /**
     * Forgets every token behind the first [position]. An answer in progress is given up. What comes next has to be read before the next answer: that
     * of the last token is forgotten too. To answer once more from there, hand the same tokens to [prompt], which reads the last of them again.
     */
    @Throws(BantamException::class)
    public fun rewind(position: Int): Unit = handle.use { check(Native.sessionRewind(it, count("the position", position))) }

    /** Forgets [discard] tokens behind the first [keep]; those behind them move up, and an answer in progress goes on. */
    @Throws(BantamException::class)
    public fun shift(keep: Int, discard: Int): Unit =
        handle.use { check(Native.sessionShift(it, count("what to keep", keep), count("what to discard", discard))) }

    /** Opens a session that holds what this one holds, with the same model, threads and options, and a switch of its own. */
    @Throws(BantamException::class)
    public fun fork(): Session {
        val switch = Cancel()
        val pointer = number { out -> handle.use { Native.sessionFork(it, out) } }
        val fork = Session(model, pointer, switch)
        fork.handle.use { session -> switch.handle.use { check(Native.sessionSetCancel(session, it)) } }
        fork.adapters = adapters
        return fork
    }

    /** Makes this session hold what [from] holds: a fork into a session that is there already. */
    @Throws(BantamException::class)
    public fun copy(from: Session) {
        handle.use { to -> from.handle.use { check(Native.sessionCopy(to, it)) } }
        adapters = from.adapters
    }

    /** Saves what the session holds to a file. One that is there already is replaced once all is written. */
    @Throws(BantamException::class)
    public fun save(path: String): Unit = handle.use { check(Native.sessionSave(it, path.encodeToByteArray())) }

    /** Makes the session hold what was saved to a file. An answer in progress is given up. */
    @Throws(BantamException::class)
    public fun restore(path: String): Unit = handle.use { check(Native.sessionRestore(it, path.encodeToByteArray())) }

    /** Saves what the session holds: [SessionInfo.savedBytes], which can be many. */
    @Throws(BantamException::class)
    public fun save(): ByteArray = bytes { out -> handle.use { Native.sessionSaveTo(it, out) } }

    /** Makes the session hold what was saved. An answer in progress is given up. */
    @Throws(BantamException::class)
    public fun restore(saved: ByteArray): Unit = handle.use { check(Native.sessionRestoreFrom(it, saved)) }

    /**
     * Gives memory back to the system, when an app goes into the background or is warned that memory is short. Returns how many bytes. An answer
     * in progress can be pulled on afterwards. [path] names a file of the app's own for [TrimLevel.ALL]: it is removed when it is read again.
     */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun trim(level: TrimLevel, path: String? = null): Long =
        number { out -> handle.use { Native.sessionTrim(it, level.number, path?.encodeToByteArray(), out) } }

    /** Lets the session use so many threads, at most as many as it was opened with. Nothing that is computed changes. */
    @Throws(BantamException::class)
    public fun setThreads(threads: Int): Unit = handle.use { check(Native.sessionSetThreads(it, count("the number of threads", threads))) }

    /** Changes the priority of the session's threads. That of the calling one is its owner's. */
    @Throws(BantamException::class)
    public fun setPriority(priority: Priority): Unit = handle.use { check(Native.sessionSetPriority(it, priority.number)) }

    /**
     * Cancels the call in progress, waits until it has returned, and frees the session. An answer that somebody is still pulling ends with
     * [StopReason.CANCELLED], and what was being read with [Code.CANCELLED].
     */
    override fun close() {
        // First no other call may begin, so that the one that is stopped is the last.
        handle.close()
        switch.cancel()
        claim.close(wait = true)
        switch.close()
    }

    public companion object {
        /** Opens a session. All of its memory is had now. */
        @JvmStatic
        @JvmOverloads
        @Throws(BantamException::class)
        public fun open(model: Model, options: SessionOptions = SessionOptions()): Session = opening { switch ->
            val pointer = number { out ->
                model.handle.use { m -> options.pool?.handle.useOrNone { pool -> switch.handle.use { Native.sessionOpen(m, options.numbers(), pool, it, out) } } }
            }
            Session(model, pointer, switch)
        }

        /**
         * Reads one token in each of several sessions of one model at once, `tokens[i]` in `sessions[i]`: the weights are read once for all. The first
         * session's threads and switch are used; open it with [SessionOptions.togetherMax]. At most 64 sessions, with the same adapters; answers in
         * progress are given up. A session that another thread uses is [Code.BUSY], and nothing has happened then.
         */
        @JvmStatic
        @Throws(BantamException::class)
        public fun decodeTogether(sessions: List<Session>, tokens: IntArray): Unit =
            sessions.map { it.handle }.useAll { check(Native.sessionDecodeTogether(it, checked(tokens))) }
    }
}

/** Opens something with a switch of its own, which is closed if that fails. */
internal inline fun <T> opening(open: (Cancel) -> T): T {
    val switch = Cancel()
    try {
        return open(switch)
    } catch (e: BantamException) {
        switch.close()
        throw e
    }
}

/** The pieces that [next] gives, up to the one that ends the answer. */
internal inline fun pieces(crossinline next: () -> Piece): Iterator<Piece> = object : Iterator<Piece> {
    private var isOver = false

    override fun hasNext(): Boolean = !isOver

    override fun next(): Piece {
        if (isOver) throw NoSuchElementException("the answer is over")
        val piece = next()
        isOver = piece.stopReason != StopReason.NONE
        return piece
    }
}
