// Suspending calls and flows over bantam's blocking ones: a cancelled coroutine stops C, and goes on when C has stopped.
package bantam.coroutines

import bantam.AnswerOptions
import bantam.BantamException
import bantam.Cancel
import bantam.Cancellable
import bantam.Chat
import bantam.ChatOptions
import bantam.Code
import bantam.Embedder
import bantam.EmbedderOptions
import bantam.LanguageModel
import bantam.Model
import bantam.ModelOptions
import bantam.Piece
import bantam.Progress
import bantam.Session
import bantam.SessionOptions
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.fold
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** Opens a model: as [Model.open], on [dispatcher]. */
public suspend fun openModel(path: String, options: ModelOptions = ModelOptions(), dispatcher: CoroutineDispatcher = Dispatchers.IO): Model =
    opening(options.cancel, dispatcher) { Model.open(path, options) }

/** Opens a part of an open file: as [Model.open], on [dispatcher]. */
public suspend fun openModel(
    fd: Int, offset: Long, length: Long, options: ModelOptions = ModelOptions(), dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Model = opening(options.cancel, dispatcher) { Model.open(fd, offset, length, options) }

private suspend fun <T : AutoCloseable> opening(cancel: Cancel?, dispatcher: CoroutineDispatcher, open: () -> T): T {
    var opened: T? = null
    // What is opened when nobody waits for it any more is closed again.
    return try {
        stopping(cancel, dispatcher) { open().also { opened = it } }
    } catch (e: Throwable) {
        opened?.close()
        throw e
    }
}

/** Reads all pages of the model, so that the first answer waits for no disk; [progress] tells another coroutine how far it is. */
public suspend fun Model.warmUp(progress: Progress? = null, dispatcher: CoroutineDispatcher = Dispatchers.IO) {
    Cancel().use { switch -> stopping(switch, dispatcher) { warm(switch, progress) } }
}

/** Opens a session, on [dispatcher]. */
public suspend fun Model.openSession(options: SessionOptions = SessionOptions(), dispatcher: CoroutineDispatcher = Dispatchers.IO): Session =
    opening(null, dispatcher) { session(options) }

/** Opens a chat with a session of its own, on [dispatcher]. */
public suspend fun Model.openChat(
    options: ChatOptions = ChatOptions(), session: SessionOptions = SessionOptions(), dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Chat = opening(null, dispatcher) { chat(options, session) }

/** Opens an embedder, on [dispatcher]. */
public suspend fun Model.openEmbedder(options: EmbedderOptions = EmbedderOptions(), dispatcher: CoroutineDispatcher = Dispatchers.IO): Embedder =
    opening(null, dispatcher) { embedder(options) }

/** Makes a vector of each text: as [Embedder.embed]. */
public suspend fun Embedder.vectors(texts: List<String>, truncate: Boolean = false, dispatcher: CoroutineDispatcher = Dispatchers.IO): List<FloatArray> =
    stopping(this, dispatcher) { embed(texts, truncate) }

/** How well each document answers a query: as [Embedder.scores]. */
public suspend fun Embedder.ranking(
    query: String, documents: List<String>, truncate: Boolean = false, dispatcher: CoroutineDispatcher = Dispatchers.IO,
): FloatArray = stopping(this, dispatcher) { scores(query, documents, truncate) }

/** Reads a prompt: as [Session.prompt]. */
public suspend fun Session.read(
    text: String, addSpecial: Boolean = false, parseSpecial: Boolean = false, dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Int = stopping(this, dispatcher) { prompt(text, addSpecial, parseSpecial) }

/** Saves to a file: as [Session.save]. */
public suspend fun Session.saveTo(path: String, dispatcher: CoroutineDispatcher = Dispatchers.IO): Unit = stopping(this, dispatcher) { save(path) }

/** The pieces of an answer behind what the session holds. Each collector gets an answer of its own. */
public fun Session.stream(options: AnswerOptions = AnswerOptions(), dispatcher: CoroutineDispatcher = Dispatchers.IO): Flow<Piece> =
    pulled(this, dispatcher) { answer(options).iterator() }

/** Says [message], and streams the answer. A collector that is cancelled stops the reading of the message too, which then counts as never said. */
public fun LanguageModel.stream(message: String, options: AnswerOptions = AnswerOptions(), dispatcher: CoroutineDispatcher = Dispatchers.IO): Flow<Piece> =
    pulled(this, dispatcher) { ask(message, options).iterator() }

/** Says [message], and returns all of the answer. */
public suspend fun LanguageModel.complete(
    message: String, options: AnswerOptions = AnswerOptions(), dispatcher: CoroutineDispatcher = Dispatchers.IO,
): String = stream(message, options, dispatcher).fold(StringBuilder()) { text, piece -> text.append(piece.text) }.toString()

private fun pulled(what: Cancellable, dispatcher: CoroutineDispatcher, begin: () -> Iterator<Piece>): Flow<Piece> = flow {
    val pieces = stopping(what, dispatcher, begin)
    while (pieces.hasNext()) emit(stopping(what, dispatcher) { pieces.next() })
}

/**
 * Runs [block], which blocks, on [dispatcher]. When the coroutine is cancelled, [what] is: so the block ends soon, and only then does this.
 * Afterwards [what] is as it was before.
 */
private suspend fun <T> stopping(what: Cancellable?, dispatcher: CoroutineDispatcher, block: () -> T): T {
    try {
        return coroutineScope {
            val state = Stop(what)
            // Unconfined: it runs on the thread that cancels, whatever the others are doing.
            val watch = launch(Dispatchers.Unconfined) {
                try {
                    awaitCancellation()
                } finally {
                    state.stop()
                }
            }
            try {
                withContext(dispatcher) { block() }
            } finally {
                state.finish()
                watch.cancel()
            }
        }
    } catch (e: BantamException) {
        // What the cancelled coroutine caused itself is no failure.
        if (e.code == Code.CANCELLED) currentCoroutineContext().ensureActive()
        throw e
    }
}

/** A stop that is taken back when the work has ended. */
private class Stop(private val what: Cancellable?) {
    private var isOver = false
    private var isOurs = false

    @Synchronized
    fun stop() {
        if (isOver || what == null || what.isCancelled) return
        isOurs = true
        what.cancel()
    }

    @Synchronized
    fun finish() {
        isOver = true
        if (isOurs) what?.resume()
    }
}
