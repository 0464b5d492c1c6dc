// An answer: its pieces, why it ended, and how sure the model was of it.
package bantam

/** Why an answer ended. */
public enum class StopReason(internal val number: Int) {
    /** It goes on. */
    NONE(0),
    /** The model ended it. */
    END(1),
    /** One of the stop tokens came. */
    TOKEN(2),
    /** One of the stop strings came; it is no part of the text. */
    STRING(3),
    /** As many tokens came as were asked for. */
    BUDGET(4),
    /** What the grammar describes is complete, and nothing may follow. */
    COMPLETE(5),
    /** The context is full. */
    CONTEXT_FULL(6),
    /** It was cancelled. */
    CANCELLED(7);

    /** Whether the answer came to an end of its own, instead of being cut off. */
    public val isWhole: Boolean get() = this == END || this == TOKEN || this == STRING || this == COMPLETE

    internal companion object {
        private val all = values()
        fun of(number: Long): StopReason = all[number.toInt()]
    }
}

/** A piece of an answer. The numbers are the model's own: before biases, penalties, grammar and temperature. */
public class Piece @JvmOverloads constructor(
    /** Whole characters, often those of the token, sometimes of several or of none. */
    public val text: String,
    /** What ended the answer, with this piece; [StopReason.NONE] while it goes on. */
    public val stopReason: StopReason = StopReason.NONE,
    /** The token; -1 in a last piece that has none. */
    public val token: Int = -1,
    /** The natural logarithm of its probability; 0 without a token. */
    public val logprob: Float = 0f,
    /** The entropy of the distribution, in nats. */
    public val entropy: Float = 0f,
    /** By how much the log-probability of the most likely token is above that of the second. */
    public val margin: Float = 0f,
    /** Which stop string or stop token it was; -1 if it was none. */
    public val stopIndex: Int = -1,
) {
    override fun toString(): String = text
}

/** What an answer was, or what it is so far. */
public class Summary @JvmOverloads constructor(
    public val stopReason: StopReason,
    /** Which stop string or stop token it was; -1 if it was none. */
    public val stopIndex: Int = -1,
    /** Whether it is one that its grammar describes; null without a grammar or before its end. */
    public val isComplete: Boolean? = null,
    /** Tokens of the answer, the one that ended it included. */
    public val tokens: Long = 0,
    /** Microseconds that they took, without what passed between two of them. */
    public val answerMicros: Long = 0,
    /** Tokens that the last call read as a prompt. */
    public val promptTokens: Long = 0,
    /** Microseconds that took. */
    public val promptMicros: Long = 0,
    /** Tokens that were guessed. */
    public val drafted: Long = 0,
    /** Guesses that were right. */
    public val accepted: Long = 0,
    /** How often prompt and answer waited for a page of the model to be read. */
    public val majorFaults: Long = 0,
    public val confidence: Confidence = Confidence(),
) {
    override fun toString(): String = "Summary(stopReason=$stopReason, stopIndex=$stopIndex, isComplete=$isComplete, tokens=$tokens, " +
        "answerMicros=$answerMicros, promptTokens=$promptTokens, promptMicros=$promptMicros, drafted=$drafted, accepted=$accepted, " +
        "majorFaults=$majorFaults, confidence=$confidence)"
}

/** How sure the model was, in log-probabilities of the answer's tokens: 0 is certain. These are the model's own, and 0 if there was no token. */
public class Confidence @JvmOverloads constructor(
    public val mean: Float = 0f,
    /** The least. */
    public val min: Float = 0f,
    /** The 10 % quantile. */
    public val q10: Float = 0f,
    /** The 25 % quantile. */
    public val q25: Float = 0f,
    /** The mean of the entropies, in nats. */
    public val meanEntropy: Float = 0f,
) {
    override fun toString(): String = "Confidence(mean=$mean, min=$min, q10=$q10, q25=$q25, meanEntropy=$meanEntropy)"
}

/** The pieces of an answer, pulled one by one while it is generated. They can be gone through once. */
public class Answer internal constructor(private val begin: () -> Iterator<Piece>) : Sequence<Piece> {
    private var isTaken = false

    override fun iterator(): Iterator<Piece> {
        check(!isTaken) { "the pieces of an answer can be gone through only once: keep them, or ask again" }
        isTaken = true
        return begin()
    }

    /** For Java: `for (Piece piece : answer.asIterable())`. */
    public fun asIterable(): Iterable<Piece> = Iterable { iterator() }

    /** All of the text, once it is there. */
    public fun text(): String {
        val text = StringBuilder()
        for (piece in this) text.append(piece.text)
        return text.toString()
    }
}
