// What can be chosen for a model, a session, a chat and an answer. What is null or 0 is the library's default.
package bantam

/** A count as C takes it, to which a negative one would be a huge one. */
internal fun count(what: String, value: Int): Long = count(what, value.toLong())

internal fun count(what: String, value: Long): Long {
    if (value < 0) throw BantamException(Code.ARGUMENT, "$what is $value; it must be 0 or greater")
    return value
}

/** A token as C takes it, to which a negative one would be a huge one. */
internal fun checked(token: Int): Int = token.also { count("a token", it) }

internal fun checked(tokens: IntArray): IntArray = tokens.onEach(::checked)

/** How keys and values are kept. */
public enum class KvFormat(internal val number: Int) {
    /** As halves. */
    F16(0),
    /** In blocks of 8 bits: about half the memory. */
    Q8_0(1),
    /** In blocks of 4 bits: about a quarter of the memory. */
    Q4_0(2),
}

/** How important threads are: after everything else, as others, before others, long before others. */
public enum class Priority(internal val number: Int) { LOW(-1), NORMAL(0), MEDIUM(1), HIGH(2) }

/** A stage of the sampler. */
public enum class Stage(internal val number: Int) { PENALTIES(1), DRY(2), TOP_N_SIGMA(3), TOP_K(4), TYPICAL_P(5), TOP_P(6), MIN_P(7), XTC(8), TEMPERATURE(9) }

/** How to open a model. */
public class ModelOptions {
    /** The backend by name, "neon"; null is the best of this CPU. */
    public var backend: String? = null

    /** Reads the whole model and keeps it in memory, or fails if the system refuses. Not for buffers. */
    public var lock: Boolean = false

    /** Stops the opening. */
    public var cancel: Cancel? = null

    /** Tells how much of the model is ready while it opens. That takes time with [lock] only. */
    public var progress: Progress? = null

    /** Keeps the log of the model and of what is opened on it for [Bantam.takeLog]. */
    public var log: Boolean = false

    internal fun backendBytes(): ByteArray? = backend?.encodeToByteArray()
}

/** How to open a session. */
public class SessionOptions {
    /** The most tokens of prompt and answer together; 0 is 4096, or less for a model that was trained for less. */
    public var context: Int = 0

    /** Tokens that are read at once; 0 is 256, or less for a wide model. */
    public var batch: Int = 0

    /** The most tokens that are guessed and verified at once while answering; 0 guesses none. */
    public var draftMax: Int = 0

    /** How keys and values are kept. */
    public var kvFormat: KvFormat = KvFormat.F16

    /** Makes what is computed the same to the last bit however the tokens came, at up to half the speed of prompts. */
    public var exact: Boolean = false

    /** Threads that work, the calling one included; 0 is [Bantam.threadsDefault]. Without meaning beside [pool]. */
    public var threads: Int = 0

    /** Threads that it shares with others. */
    public var pool: Pool? = null

    /** The most sessions that [Session.decodeTogether] reads at once with this one as the first; 0 is 1. */
    public var togetherMax: Int = 0

    /** Room for adapters: the most that the ranks of those set at once sum up to; 0 is none. See [Session.setAdapters]. */
    public var adapterRank: Int = 0

    /** How many tokens the session can go back without reading any again, if the model has sliding windows; at least a batch. See [Session.rewind]. */
    public var rewindMax: Int = 0

    // The order of the shim's session_options.
    internal fun numbers(): LongArray = longArrayOf(
        count("context", context), count("batch", batch), count("draftMax", draftMax), kvFormat.number.toLong(), exact.asNumber(),
        count("threads", threads), count("togetherMax", togetherMax), count("adapterRank", adapterRank), count("rewindMax", rewindMax),
    )
}

/** How texts become vectors. */
public enum class Pooling(internal val number: Int) {
    /** Every token has a vector of its own: see [Embedder.tokenVectors]. */
    NONE(1),
    /** A text's vector is the mean of those of its tokens. */
    MEAN(2),
    /** It is that of the first token. */
    CLS(3),
    /** It is that of the last token. */
    LAST(4),
    /** The model's head scores how well a document answers a query: see [Embedder.scores]. */
    RANK(5);

    internal companion object {
        fun of(number: Long): Pooling = values().first { it.number.toLong() == number }
    }
}

/** How to open an embedder. */
public class EmbedderOptions {
    /** The most tokens of a text; 0 is what the model reads, up to 2048. */
    public var context: Int = 0

    /** How texts become vectors; null is what the model's file says. */
    public var pooling: Pooling? = null

    /** Brings vectors to length 1, so that the sum of the products of two is a cosine. Scores stay as they are. */
    public var normalize: Boolean = true

    /** Threads that work, the calling one included; 0 is [Bantam.threadsDefault]. Without meaning beside [pool]. */
    public var threads: Int = 0

    /** Threads that it shares with others. */
    public var pool: Pool? = null

    // The order of the shim's embedder_options.
    internal fun numbers(): LongArray = longArrayOf(
        count("context", context), (pooling?.number ?: 0).toLong(), (!normalize).asNumber(), count("threads", threads),
    )
}

/** How to make a chat. */
public class ChatOptions {
    /** How to answer: the first message; null is none. */
    public var system: String? = null

    /** A template in Jinja; null is the model's own. */
    public var template: String? = null

    /** What the model may call: a JSON array in the style of OpenAI's API; null is nothing. */
    public var tools: String? = null

    /** More variables of the template: a JSON object. */
    public var variables: String? = null
}

/** How tokens are chosen: llama.cpp's names and defaults; null is the default. */
public class SamplerOptions {
    /** Where the random draws start: the same seed gives the same tokens. Take one from the clock for answers that differ. */
    public var seed: Long = 0
    /** Divides the logits; 0 always takes the most likely token. Default 0.8. */
    public var temperature: Float? = null
    /** Keeps the most likely tokens until their probabilities add up to this; 1 keeps all, 0 the likeliest. Default 0.95. */
    public var topP: Float? = null
    /** Keeps so many of the most likely tokens; 0 keeps all. Default 40. */
    public var topK: Int? = null
    /** Keeps tokens at least this share as likely as the most likely one; 0 keeps all. Default 0.05. */
    public var minP: Float? = null
    /** Keeps the tokens whose information is nearest to the entropy; 1 keeps all, the default. */
    public var typicalP: Float? = null
    /** Keeps tokens whose logit is at most so many standard deviations below the greatest. Default off. */
    public var topNSigma: Float? = null
    /** How often XTC is applied. Default never. */
    public var xtcProbability: Float? = null
    /** Of the tokens at least so likely XTC keeps only the least likely. Default 0.1. */
    public var xtcThreshold: Float? = null
    /** The temperature moves by up to this, after the entropy. Default 0. */
    public var dynatempRange: Float? = null
    /** How entropy becomes temperature. Default 1. */
    public var dynatempExponent: Float? = null
    /** Divides positive logits of repeated tokens, and multiplies others. Default 1. */
    public var repeatPenalty: Float? = null
    /** Taken from the logit of a repeated token, once. Default 0. */
    public var presencePenalty: Float? = null
    /** Taken from the logit of a repeated token for each time that it stands there. Default 0. */
    public var frequencyPenalty: Float? = null
    /** The tokens whose repetition is penalised: so many last ones; 0 is none, negative all of the context. Default 64. */
    public var repeatLastN: Int? = null
    /** Penalises what goes on with a repetition. Default 0. */
    public var dryMultiplier: Float? = null
    /** Its base. Default 1.75. */
    public var dryBase: Float? = null
    /** The longest repetition that is let be; 0 is none. Default 2. */
    public var dryAllowedLength: Int? = null
    /** The tokens in which repetitions are looked for: so many last ones; 0 is none, negative all of the context. Default 64. */
    public var dryLastN: Int? = null
    /** Texts behind which DRY looks for no repetition; null is line breaks, colons, quotes and asterisks. */
    public var dryBreakers: List<String>? = null
    /** 1 or 2 chooses by mirostat of that version. */
    public var mirostat: Int = 0
    /** The surprise that mirostat aims at. Default 5. */
    public var mirostatTarget: Float? = null
    /** How fast it learns. Default 0.1. */
    public var mirostatRate: Float? = null
    /** How many of the most likely tokens each piece can tell of, at most 64: see [Session.topLogprobs]. */
    public var topLogprobs: Int = 0
    /** Numbers that are added to the logits of some tokens; minus infinity forbids one. */
    public var logitBias: Map<Int, Float> = emptyMap()
    /** The stages and their order, those that are missing being off; null is all. */
    public var stages: List<Stage>? = null

    internal fun breakers(): Array<ByteArray>? = dryBreakers?.map { it.encodeToByteArray() }?.toTypedArray()
    internal fun biasTokens(): IntArray = checked(logitBias.keys.toIntArray())
    internal fun biases(): FloatArray = logitBias.values.toFloatArray()
    internal fun order(): IntArray? = stages?.map { it.number }?.toIntArray()

    // The order of the shim's sampler_options. In C 0 is the default: a negative number stands for 0 where that switches something off, the least
    // number where it does not; and what looks back at no tokens is not applied at all.
    internal fun numbers(): LongArray {
        val penalises = repeatLastN != 0
        return longArrayOf(
            seed, temperature.orOff().asNumber(), topP.orLeast().asNumber(), topK.orOff(), minP.orOff().asNumber(), typicalP.asNumber(),
            topNSigma.asNumber(), xtcProbability.asNumber(), xtcThreshold.orLeast().asNumber(), dynatempRange.asNumber(),
            dynatempExponent.orLeast().asNumber(), repeatPenalty.takeIf { penalises }.asNumber(), presencePenalty.takeIf { penalises }.asNumber(),
            frequencyPenalty.takeIf { penalises }.asNumber(), (repeatLastN ?: 0).toLong(), dryMultiplier.takeIf { dryLastN != 0 }.asNumber(),
            dryBase.asNumber(), dryAllowedLength.orOff(), (dryLastN ?: 0).toLong(), mirostat.toLong(), mirostatTarget.orLeast().asNumber(),
            mirostatRate.orLeast().asNumber(), count("topLogprobs", topLogprobs),
        )
    }

    private fun Float?.orOff(): Float? = if (this == 0f) -1f else this
    private fun Int?.orOff(): Long = if (this == 0) -1 else (this ?: 0).toLong()
    private fun Float?.orLeast(): Float? = if (this == 0f) java.lang.Float.MIN_NORMAL else this
}

/** How an answer begins, goes on and ends. */
public class AnswerOptions {
    /** How tokens are chosen. */
    public var sampler: SamplerOptions = SamplerOptions()

    /** The sampler's temperature; 0 always takes the most likely token. */
    public var temperature: Float?
        get() = sampler.temperature
        set(value) {
            sampler.temperature = value
        }

    /** The sampler's seed. */
    public var seed: Long
        get() = sampler.seed
        set(value) {
            sampler.seed = value
        }

    /** The most tokens; 0 is as many as the context has room for. */
    public var maxTokens: Int = 0

    /** Texts that end it; they are no part of it. */
    public var stop: List<String> = emptyList()

    /** Tokens that end it, beside those that the model's metadata names. */
    public var stopTokens: IntArray? = null

    /** What it has to look like: made once, for many answers. */
    public var grammar: Grammar? = null

    /** What it has to look like, if there is no [grammar]: JSON that this schema accepts, compiled anew for each answer. */
    public var jsonSchema: String? = null

    /** Goes on behind the tokens that end an answer. */
    public var ignoreEnd: Boolean = false

    /** Forgets older tokens when the context is full, and goes on. */
    public var shift: Boolean = false

    /** Tokens at the start that are never forgotten so. */
    public var shiftKeep: Int = 0

    /** Guesses tokens ahead from what was said before, which is faster and changes nothing, in sessions with a [SessionOptions.draftMax]. */
    public var lookup: Boolean = false

    // The order of the shim's session_begin.
    internal fun numbers(): LongArray = longArrayOf(
        count("maxTokens", maxTokens), ignoreEnd.asNumber(), shift.asNumber(), count("shiftKeep", shiftKeep), lookup.asNumber(),
    )
}
