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
public class Chat private constructor(pointer: Long, private val model: Model, public val session: Session, private val first: Int) : LanguageModel {
    private val claim = Claim(this, Handle(Kind.CHAT, pointer))
    private val handle: Handle get() = claim.handle
    // The answer in progress: it becomes a message at its end, or when the next thing is said.
    private var turn: Turn? = null

    /** An answer, and how many messages stay if nobody pulls any of it. */
    private class Turn(val before: Int) {
        val text = StringBuilder()
        var isPulled = false
    }

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
        turn = null
        handle.use { check(Native.chatTruncate(it, count("the number of messages", count))) }
    }

    /** Takes back all messages but that of [ChatOptions.system]. */
    @Throws(BantamException::class)
    public fun reset(): Unit = truncate(first)

    /** The conversation as the template writes it down, up to where the answer begins: to be shown. */
    @Throws(BantamException::class)
    public fun render(): String = text { out -> handle.use { Native.chatRender(it, out) } }

    /**
     * Adds [message] as the user's, reads it, and answers. If it cannot be read it is taken back, and so it is when the next thing is said before any
     * piece of the answer was pulled.
     */
    @Throws(BantamException::class)
    override fun ask(message: String, options: AnswerOptions): Answer {
        add(Role.USER, message)
        val before = size - 1
        try {
            return answer(options, before)
        } catch (e: BantamException) {
            handle.useIfOpen { Native.chatTruncate(it, before.toLong()) }
            throw e
        }
    }

    /**
     * Answers what was said: after [add], or after the results of tools. It becomes a message when its last piece was pulled, or, if any was, when the next
     * thing is said.
     */
    @JvmOverloads
    @Throws(BantamException::class)
    public fun answer(options: AnswerOptions = AnswerOptions()): Answer {
        keepAnswer(isWhole = false)
        return answer(options, before = size)
    }

    private fun answer(options: AnswerOptions, before: Int): Answer {
        number { out -> handle.use { chat -> session.handle.use { Native.chatPrompt(chat, it, out) } } }
        val number = session.beginNumbered(options)
        val turn = Turn(before)
        this.turn = turn
        return Answer {
            pieces {
                val piece = session.next(number)
                turn.isPulled = true
                turn.text.append(piece.text)
                if (piece.stopReason != StopReason.NONE && this.turn === turn) keepAnswer(piece.stopReason.isWhole)
                piece
            }
        }
    }

    private fun keepAnswer(isWhole: Boolean) {
        val turn = turn ?: return
        this.turn = null
        handle.useIfOpen { chat ->
            if (turn.isPulled) {
                lastAnswerJson = text { out -> Native.chatAddAnswer(chat, turn.text.toString().encodeToByteArray(), isWhole, out) }
            } else {
                check(Native.chatTruncate(chat, turn.before.toLong()))
            }
        }
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
        /** Makes a chat with a session of its own, and no message but that of [ChatOptions.system]. */
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
                options.system?.let { check(Native.chatAdd(pointer, Role.SYSTEM.number, it.encodeToByteArray())) }
                return Chat(pointer, model, Session.open(model, session), first = if (options.system == null) 0 else 1)
            } catch (e: BantamException) {
                Native.free(Kind.CHAT.number, pointer)
                throw e
            }
        }
    }
}
