// What answers may look like.
package bantam

/** What answers may look like, compiled for the vocabulary of one model. Any number of answers and threads may use it. */
public class Grammar internal constructor(pointer: Long) : AutoCloseable {
    private val claim = Claim(this, Handle(Kind.GRAMMAR, pointer))
    internal val handle: Handle get() = claim.handle

    /** Frees it; answers that follow it go on. */
    override fun close(): Unit = claim.close()

    public companion object {
        /** Any JSON value. */
        @JvmStatic
        @Throws(BantamException::class)
        public fun json(model: Model): Grammar = of(model, 1, "")

        /** JSON that a JSON schema accepts. */
        @JvmStatic
        @Throws(BantamException::class)
        public fun jsonSchema(model: Model, schema: String): Grammar = of(model, 2, schema)

        /** Text that a regular expression matches from its beginning to its end. */
        @JvmStatic
        @Throws(BantamException::class)
        public fun regex(model: Model, pattern: String): Grammar = of(model, 3, pattern)

        /** A grammar in the language of Lark. */
        @JvmStatic
        @Throws(BantamException::class)
        public fun lark(model: Model, source: String): Grammar = of(model, 4, source)

        /** A grammar in llama.cpp's GBNF. */
        @JvmStatic
        @Throws(BantamException::class)
        public fun gbnf(model: Model, source: String): Grammar = of(model, 5, source)

        private fun of(model: Model, kind: Int, source: String): Grammar =
            Grammar(number { out -> model.handle.use { Native.grammarNew(it, kind, source.encodeToByteArray(), out) } })
    }
}
