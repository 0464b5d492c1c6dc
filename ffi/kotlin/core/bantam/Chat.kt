// A conversation as a model's template wants it, on a session.
package bantam

/** Who says something. */
public enum class Role(internal val number: Int) {
    /** Who set the conversation up: how to answer. */
    SYSTEM(1),
    /** Who asks. */
    USER(2),
    /** The model. */
    ASSISTANT(3),
    /** What the model called. */
    TOOL(4),
}

/**
 * A conversation: messages in, answers out. Each turn reads only what is new, and the oldest turns are left out when the context has no room for
 * them. One thread at a time may use it; only [cancel], [resume], [isCancelled] and [close] may be called at any time.
 */
public class Chat private constructor(pointer: Long, private val model: Model, public val session: Session) : LanguageModel {
    private val claim = Claim(this, Handle(Kind.CHAT, pointer))
    private val handle: Handle get() = claim.handle
    // The answer in progress: it becomes a message at its end, or when the next thing is said.
    private var text: StringBuilder? = null

    /** The last answer as JSON in the style of OpenAI's API: `role`, `content`, `reasoning_content`, `tool_calls`. Null before the first. */
    public var lastAnswerJson: String? = null
        private set

    /** How many messages there are. */
    public val size: Int get() = count()[0].toInt()

    /** How many of them are left out as the context has no room for them. */
    public val leftOut: Int get() = count()[1].toInt()

    private fun count() = numbers(2) { out -> handle.use { Native.chatCount(it, out) } }

    override val isCancelled: Boolean get() = session.isCancelled

    override fun cancel(): Unit = session.cancel()

    override fun resume(): Unit = session.resume()

    override val summary: Summary get() = session.summary

    /** Adds a message. What users and tools say can name no control tokens. */
    @Throws(BantamException::class)
    public fun add(role: Role, text: String) {
        keepAnswer(isWhole = false)
        handle.use { check(Native.chatAdd(it, role.number, text.encodeToByteArray())) }
    }

    /** Adds the messages of a JSON array in the style of OpenAI's API, with all of their fields. Content may be a list of parts, if all are texts. */
    @Throws(BantamException::class)
    public fun addJson(messages: String) {
        keepAnswer(isWhole = false)
        handle.use { check(Native.chatAddJson(it, messages.encodeToByteArray())) }
    }

    /** Takes back all messages behind the first [count]; 0 begins anew. An answer in progress is given up. */
    @Throws(BantamException::class)
    public fun truncate(count: Int) {
        text = null
        handle.use { check(Native.chatTruncate(it, count("the number of messages", count))) }
    }

    /** The conversation as the template writes it down, up to where the answer begins: to be shown. */
    @Throws(BantamException::class)
    public fun render(): String = text { out -> handle.use { Native.chatRender(it, out) } }

    /** Adds [message] as the user's, reads it, and answers. If it cannot be read it is taken back. */
    @Throws(BantamException::class)
    override fun ask(message: String, options: AnswerOptions): Answer {
        add(Role.USER, message)
        try {
            return answer(options)
        } catch (e: BantamException) {
            handle.useIfOpen { Native.chatTruncate(it, numbers(2) { out -> Native.chatCount(it, out) }[0] - 1) }
            throw e
        }
    }

    /** Answers what was said: after [add], or after the results of tools. It becomes a message when its last piece was pulled, or the next is said. */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun answer(options: AnswerOptions = AnswerOptions()): Answer {
        keepAnswer(isWhole = false)
        number { out -> handle.use { chat -> session.handle.use { Native.chatPrompt(chat, it, out) } } }
        val number = session.beginNumbered(options)
        val answer = StringBuilder()
        text = answer
        return Answer {
            pieces {
                val piece = session.next(number)
                answer.append(piece.text)
                if (piece.stopReason != StopReason.NONE && text === answer) keepAnswer(piece.stopReason.isWhole)
                piece
            }
        }
    }

    private fun keepAnswer(isWhole: Boolean) {
        val answer = text ?: return
        text = null
        handle.useIfOpen { chat -> lastAnswerJson = text { out -> Native.chatAddAnswer(chat, answer.toString().encodeToByteArray(), isWhole, out) } }
    }

    /**
     * The grammar of answers that may call the chat's tools: [choice] is "auto", "required", "none", or the name of the tool that has to be called.
     * Null if anything goes. Close it after use.
     */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun toolGrammar(choice: String = "auto"): Grammar? {
        val pointer = number { out -> handle.use { chat -> model.handle.use { Native.chatGrammar(chat, it, choice.encodeToByteArray(), out) } } }
        return if (pointer == 0L) null else Grammar(pointer)
    }

    /** Cancels the call in progress, waits until it has returned, and frees chat and session: see [Session.close]. */
    override fun close() {
        session.close()
        claim.close(wait = true)
    }

    public companion object {
        /** Makes a chat without messages, with a session of its own. */
        @JvmStatic
        @JvmOverloads
        @Throws(BantamException::class)
        public fun open(model: Model, options: ChatOptions = ChatOptions(), session: SessionOptions = SessionOptions()): Chat {
            val pointer = number { out ->
                model.handle.use {
                    Native.chatNew(it, options.template?.encodeToByteArray(), options.tools?.encodeToByteArray(), options.variables?.encodeToByteArray(), out)
                }
            }
            try {
                return Chat(pointer, model, Session.open(model, session))
            } catch (e: BantamException) {
                Native.free(Kind.CHAT.number, pointer)
                throw e
            }
        }
    }
}
