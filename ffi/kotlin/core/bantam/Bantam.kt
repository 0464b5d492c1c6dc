// The library itself: its version, what it was built with, and what it uses.
package bantam

/** The library: its version, what it can do, and how much memory it has. */
public object Bantam {
    /** The version of the library, "0.1.0". */
    @JvmStatic public val version: String get() = Native.version().toString(Charsets.UTF_8)

    /** The version of the C ABI that the library was built with. */
    @JvmStatic public val abiVersion: Int get() = Native.abiVersion()

    /** Whether chat templates can be rendered: see [Chat]. */
    @JvmStatic public val hasChat: Boolean get() = Native.features() and 1 != 0

    /** Whether answers can be held to a grammar: see [Grammar]. */
    @JvmStatic public val hasGrammars: Boolean get() = Native.features() and 2 != 0

    /** The backends that this CPU can run, the best first. */
    @JvmStatic public val backends: List<String>
        get() = names(Native::backendName)

    /** What this CPU has of what backends ask for: "avx2", "dotprod". */
    @JvmStatic public val cpuFeatures: List<String>
        get() = names(Native::cpuFeature)

    /** The number of threads that suits this machine: that of its fast cores. */
    @JvmStatic public val threadsDefault: Int get() = Native.threadsDefault()

    /** The bytes that the library has of its own: sessions, not the pages of models. */
    @JvmStatic public val memoryUsed: Long get() = Native.memoryUsed()

    /** The most bytes that it had at once. */
    @JvmStatic public val memoryPeak: Long get() = Native.memoryPeak()

    /**
     * Takes the lines of the log that came since the last time: what models with [ModelOptions.log] and their sessions opened and gave back, and what
     * that takes. They never hold text of prompts or answers. 64 of them wait here; of older ones the first line says how many are missing.
     */
    @JvmStatic
    public fun takeLog(): List<String> {
        val lines = arrayOfNulls<ByteArray>(64)
        val (taken, missing) = numbers(2) { Native.logTake(it, lines) }.toList()
        val taking = lines.take(taken.toInt()).map { it!!.toString(Charsets.UTF_8) }
        return if (missing > 0) listOf("$missing older lines are missing") + taking else taking
    }

    private fun names(name: (Int) -> ByteArray?): List<String> = generateSequence(0) { it + 1 }.map(name).takeWhile { it != null }
        .map { it!!.toString(Charsets.UTF_8) }.toList()
}
