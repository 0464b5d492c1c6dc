// The functions of the JNI shim in jni/, which binds them by name and type when it is loaded.
//
// Those that can fail return null, or what went wrong as bytes: `check` throws it. Numbers come out in a LongArray, texts as UTF-8.
package bantam

import java.nio.ByteBuffer
import java.nio.ByteBuffer.wrap

internal object Native {
    init {
        load()
    }

    /** Loads the shim: by the path in the property `bantam.library` if it is set, else by name from where the system looks for libraries. */
    private fun load() {
        val path = System.getProperty("bantam.library")
        if (path != null) System.load(path) else System.loadLibrary("bantam_jni")
        val version = abiVersion()
        if (version != ABI_VERSION) {
            throw UnsatisfiedLinkError("libbantam_jni has ABI version ${Math.abs(version)}, these classes have $ABI_VERSION: take both of one release")
        }
    }

    @JvmStatic external fun abiVersion(): Int
    @JvmStatic external fun version(): ByteArray
    @JvmStatic external fun features(): Int
    @JvmStatic external fun backendName(i: Int): ByteArray?
    @JvmStatic external fun cpuFeature(i: Int): ByteArray?
    @JvmStatic external fun threadsDefault(): Int
    @JvmStatic external fun memoryUsed(): Long
    @JvmStatic external fun memoryPeak(): Long
    @JvmStatic external fun free(kind: Int, handle: Long): Int
    @JvmStatic external fun logTake(out: LongArray, lines: Array<ByteArray?>): ByteArray?

    @JvmStatic external fun cancelNew(out: LongArray): ByteArray?
    @JvmStatic external fun cancelSet(cancel: Long)
    @JvmStatic external fun cancelReset(cancel: Long)
    @JvmStatic external fun cancelIsSet(cancel: Long): Boolean
    @JvmStatic external fun progressRead(counters: ByteBuffer, out: LongArray): ByteArray?

    @JvmStatic external fun poolNew(threads: Long, out: LongArray): ByteArray?
    @JvmStatic external fun poolSetThreads(pool: Long, threads: Long): ByteArray?
    @JvmStatic external fun poolSetPriority(pool: Long, priority: Int): ByteArray?

    @JvmStatic external fun modelOpenPath(
        path: ByteArray, backend: ByteArray?, cancel: Long, lock: Boolean, progress: ByteBuffer?, log: Boolean, out: LongArray,
    ): ByteArray?

    @JvmStatic external fun modelOpenFd(
        fd: Int, offset: Long, length: Long, backend: ByteArray?, cancel: Long, lock: Boolean, progress: ByteBuffer?, log: Boolean, out: LongArray,
    ): ByteArray?

    @JvmStatic external fun modelOpenParts(
        paths: Array<ByteArray?>, numbers: LongArray, backend: ByteArray?, cancel: Long, lock: Boolean, progress: ByteBuffer?, log: Boolean, out: LongArray,
    ): ByteArray?

    @JvmStatic external fun modelOpenBuffer(
        buffer: ByteBuffer, offset: Long, length: Long, backend: ByteArray?, cancel: Long, progress: ByteBuffer?, log: Boolean, out: LongArray,
    ): ByteArray?

    @JvmStatic external fun modelInfo(model: Long, out: LongArray, texts: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun modelWarm(model: Long, cancel: Long, progress: ByteBuffer?): ByteArray?
    @JvmStatic external fun modelResidentBytes(model: Long, out: LongArray): ByteArray?
    @JvmStatic external fun modelMetadataCount(model: Long, out: LongArray): ByteArray?
    @JvmStatic external fun modelMetadataAt(model: Long, i: Long, out: LongArray, texts: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun modelMetadata(model: Long, key: ByteArray, out: LongArray, texts: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun modelMetadataElement(model: Long, key: ByteArray, i: Long, out: LongArray, texts: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun modelTensorCount(model: Long, out: LongArray): ByteArray?
    @JvmStatic external fun modelTensorAt(model: Long, i: Long, out: LongArray, texts: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun modelTokenize(model: Long, text: ByteArray, flags: Int, out: Array<IntArray?>): ByteArray?
    @JvmStatic external fun modelDetokenize(model: Long, tokens: IntArray, flags: Int, out: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun modelToken(model: Long, token: Int, out: LongArray, texts: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun grammarNew(model: Long, kind: Int, source: ByteArray, out: LongArray): ByteArray?

    @JvmStatic external fun adapterOpenPath(model: Long, path: ByteArray, out: LongArray): ByteArray?
    @JvmStatic external fun adapterOpenFd(model: Long, fd: Int, offset: Long, length: Long, out: LongArray): ByteArray?
    @JvmStatic external fun adapterOpenBuffer(model: Long, buffer: ByteBuffer, offset: Long, length: Long, out: LongArray): ByteArray?
    @JvmStatic external fun adapterInfo(adapter: Long, out: LongArray): ByteArray?

    @JvmStatic external fun embedderPlan(model: Long, options: LongArray, pool: Long, out: LongArray): ByteArray?
    @JvmStatic external fun embedderOpen(model: Long, options: LongArray, pool: Long, cancel: Long, out: LongArray): ByteArray?
    @JvmStatic external fun embedderInfo(embedder: Long, out: LongArray): ByteArray?
    @JvmStatic external fun embedderTrim(embedder: Long, out: LongArray): ByteArray?

    @JvmStatic external fun embedderEmbed(
        embedder: Long, texts: Array<ByteArray>, documents: Array<ByteArray>?, flags: Int, out: Array<FloatArray?>,
    ): ByteArray?

    @JvmStatic external fun sessionPlan(model: Long, options: LongArray, pool: Long, out: LongArray): ByteArray?
    @JvmStatic external fun sessionOpen(model: Long, options: LongArray, pool: Long, cancel: Long, out: LongArray): ByteArray?
    @JvmStatic external fun sessionInfo(session: Long, out: LongArray): ByteArray?
    @JvmStatic external fun sessionSetCancel(session: Long, cancel: Long): ByteArray?
    @JvmStatic external fun sessionSetThreads(session: Long, threads: Long): ByteArray?
    @JvmStatic external fun sessionSetPriority(session: Long, priority: Int): ByteArray?
    @JvmStatic external fun sessionSetAdapters(session: Long, adapters: LongArray, scales: FloatArray): ByteArray?
    @JvmStatic external fun sessionPrompt(session: Long, tokens: IntArray, out: LongArray): ByteArray?
    @JvmStatic external fun sessionPromptText(session: Long, text: ByteArray, flags: Int, out: LongArray): ByteArray?
    @JvmStatic external fun sessionPrefill(session: Long, tokens: IntArray): ByteArray?
    @JvmStatic external fun sessionDecode(session: Long, token: Int): ByteArray?
    @JvmStatic external fun sessionDecodeTogether(sessions: LongArray, tokens: IntArray): ByteArray?
    @JvmStatic external fun sessionTokens(session: Long, out: Array<IntArray?>): ByteArray?
    @JvmStatic external fun sessionLogits(session: Long, out: Array<FloatArray?>): ByteArray?
    @JvmStatic external fun sessionTopLogprobs(session: Long, tokens: Array<IntArray?>, logprobs: Array<FloatArray?>): ByteArray?
    @JvmStatic external fun sessionRewind(session: Long, position: Long): ByteArray?
    @JvmStatic external fun sessionShift(session: Long, keep: Long, discard: Long): ByteArray?
    @JvmStatic external fun sessionFork(session: Long, out: LongArray): ByteArray?
    @JvmStatic external fun sessionCopy(to: Long, from: Long): ByteArray?
    @JvmStatic external fun sessionSave(session: Long, path: ByteArray): ByteArray?
    @JvmStatic external fun sessionRestore(session: Long, path: ByteArray): ByteArray?
    @JvmStatic external fun sessionSaveTo(session: Long, out: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun sessionRestoreFrom(session: Long, saved: ByteArray): ByteArray?
    @JvmStatic external fun sessionTrim(session: Long, level: Int, path: ByteArray?, out: LongArray): ByteArray?

    @JvmStatic external fun samplerNew(
        model: Long, options: LongArray, breakers: Array<ByteArray>?, biasTokens: IntArray?, biases: FloatArray?, stages: IntArray?, out: LongArray,
    ): ByteArray?

    @JvmStatic external fun samplerReset(sampler: Long): ByteArray?
    @JvmStatic external fun sessionSample(session: Long, sampler: Long, out: LongArray): ByteArray?

    @JvmStatic external fun sessionBegin(
        session: Long, options: LongArray, stop: Array<ByteArray>, stopTokens: IntArray?, grammar: Long,
        sampler: LongArray, breakers: Array<ByteArray>?, biasTokens: IntArray?, biases: FloatArray?, stages: IntArray?,
    ): ByteArray?

    @JvmStatic external fun sessionNext(session: Long, out: LongArray, texts: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun sessionSummary(session: Long, out: LongArray): ByteArray?

    @JvmStatic external fun chatNew(model: Long, template: ByteArray?, tools: ByteArray?, variables: ByteArray?, out: LongArray): ByteArray?
    @JvmStatic external fun chatAdd(chat: Long, role: Int, text: ByteArray): ByteArray?
    @JvmStatic external fun chatAddJson(chat: Long, messages: ByteArray): ByteArray?
    @JvmStatic external fun chatAddAnswer(chat: Long, text: ByteArray, isComplete: Boolean, out: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun chatCount(chat: Long, out: LongArray): ByteArray?
    @JvmStatic external fun chatTruncate(chat: Long, count: Long): ByteArray?
    @JvmStatic external fun chatRender(chat: Long, out: Array<ByteArray?>): ByteArray?
    @JvmStatic external fun chatPrompt(chat: Long, session: Long, out: LongArray): ByteArray?
    @JvmStatic external fun chatGrammar(chat: Long, model: Long, choice: ByteArray, out: LongArray): ByteArray?
}

/** BANTAM_ABI_VERSION of the header that these classes were written for. */
internal const val ABI_VERSION: Int = 1

/** Throws what a function of [Native] returned, if it is anything. */
internal fun check(error: ByteArray?) {
    if (error == null) return
    val bytes = wrap(error)
    throw BantamException(bytes.getInt(), String(error, 12, error.size - 12, Charsets.UTF_8), bytes.getLong())
}

/** Has [call] hand out one number. */
internal inline fun number(call: (LongArray) -> ByteArray?): Long = numbers(1, call)[0]

/** Has [call] hand out [count] numbers. */
internal inline fun numbers(count: Int, call: (LongArray) -> ByteArray?): LongArray {
    val out = LongArray(count)
    check(call(out))
    return out
}

/** Has [call] hand out one text. */
internal inline fun text(call: (Array<ByteArray?>) -> ByteArray?): String = bytes(call).toString(Charsets.UTF_8)

/** Has [call] hand out floats. */
internal inline fun floats(call: (Array<FloatArray?>) -> ByteArray?): FloatArray {
    val out = arrayOfNulls<FloatArray>(1)
    check(call(out))
    return out[0]!!
}

/** Has [call] hand out bytes. */
internal inline fun bytes(call: (Array<ByteArray?>) -> ByteArray?): ByteArray {
    val out = arrayOfNulls<ByteArray>(1)
    check(call(out))
    return out[0]!!
}

/** The float in the low 32 bits of a number. */
internal fun Long.asFloat(): Float = Float.fromBits(toInt())

/** A float as a number; null is the library's default. */
internal fun Float?.asNumber(): Long = (this ?: 0f).toRawBits().toLong() and 0xffffffffL

internal fun Boolean.asNumber(): Long = if (this) 1 else 0
