// What an app needs of a model, so that its own tests need none.
package bantam

/** Someone to talk to: a [Chat], or a [ScriptedModel] in an app's tests. One thread at a time may ask. */
public interface LanguageModel : Cancellable, AutoCloseable {
    /** Says [message], and has it answered. What can go wrong before the first piece does so here, and the message counts as never said. */
    @Throws(BantamException::class)
    public fun ask(message: String, options: AnswerOptions): Answer

    /** As above, with the defaults. */
    @Throws(BantamException::class)
    public fun ask(message: String): Answer = ask(message, AnswerOptions())

    /** What the last answer was, or what it is so far. */
    public val summary: Summary
}

/** Answers from a script, one answer after the other and then the first again: for an app's own tests, without a model and without the library. */
public class ScriptedModel(private val answers: List<String>) : LanguageModel {
    public constructor(vararg answers: String) : this(answers.toList())

    /** What was asked, in order. */
    public val asked: List<String> get() = messages

    /** What the next [ask] throws, once. */
    public var failure: BantamException? = null

    /** Milliseconds that each piece takes, so that there is something to stop. */
    public var delay: Long = 0

    private val messages = mutableListOf<String>()
    @Volatile private var isStopped = false
    private var isClosed = false
    private var last: Summary? = null

    override val isCancelled: Boolean get() = isStopped

    override fun cancel() {
        isStopped = true
    }

    override fun resume() {
        isStopped = false
    }

    override fun ask(message: String, options: AnswerOptions): Answer {
        if (isClosed) throw BantamException(Code.HANDLE, "the chat is closed: open another")
        if (isStopped) throw BantamException(Code.CANCELLED, "cancelled: call resume() first")
        failure?.let {
            failure = null
            throw it
        }
        val words = words(answers[messages.size % answers.size])
        messages += message
        var i = 0
        return Answer {
            pieces {
                if (delay > 0) Thread.sleep(delay)
                val piece = when {
                    isStopped -> Piece("", StopReason.CANCELLED)
                    options.maxTokens in 1..i -> Piece("", StopReason.BUDGET)
                    i == words.size -> Piece("", StopReason.END, token = words.size)
                    else -> Piece(words[i], token = i)
                }
                if (piece.token >= 0) i++
                last = Summary(piece.stopReason, tokens = i.toLong())
                piece
            }
        }
    }

    override val summary: Summary get() = last ?: throw BantamException(Code.STATE, "there was no answer yet")

    override fun close() {
        isStopped = true
        isClosed = true
    }

    /** The words of an answer, each with the space before it. */
    private fun words(answer: String): List<String> = Regex("\\s*\\S+|\\s+$").findAll(answer).map { it.value }.toList()
}
