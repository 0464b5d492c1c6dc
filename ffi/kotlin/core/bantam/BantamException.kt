// What a call that failed throws, with the number that C's call returned.
package bantam

/**
 * A call of the library failed. [code] is one of [Code]'s numbers; a newer library may have more, so a `when` needs an `else`. The message says
 * what was wrong, where, and what to do, and never holds text of a prompt or an answer.
 *
 * @property detail a number that belongs to the code, such as an offset or a count of bytes; 0 if there is none.
 */
public class BantamException @JvmOverloads constructor(public val code: Int, message: String, public val detail: Long = 0) : RuntimeException(message) {
    /** The name of [code], `BANTAM_CONTEXT_FULL`; `BANTAM_?` for a number that is none of [Code]'s. */
    public val codeName: String get() = Code.nameOf(code)

    override fun toString(): String = "BantamException($codeName): $message"
}

/** The numbers of `bantam.h`, and what to do about each. */
public object Code {
    /** The cancel switch was set. No failure: what was done until then is kept, and every object stays usable. */
    public const val CANCELLED: Int = 1
    /** A value makes no sense. Change the call. */
    public const val ARGUMENT: Int = 2
    /** The system refused a file. Check the path and its permissions. */
    public const val IO: Int = 3
    /** The path or descriptor is a directory, a pipe, a socket or a device, which cannot be mapped. Copy it to a file. */
    public const val NOT_A_FILE: Int = 4
    /** The bytes are no GGUF file. Check that the path names a model, and that an asset is not compressed. */
    public const val NOT_GGUF: Int = 5
    /** The file is damaged; the detail is the offset in bytes. Fetch it again. */
    public const val MALFORMED: Int = 6
    /** The file is sound, but what is in it makes no model: convert it again. Or what it computes is no number: fetch it again. */
    public const val INCONSISTENT: Int = 7
    /** This version cannot run the model, or the library was built without this part. Use another file, or another build. */
    public const val UNSUPPORTED: Int = 8
    /** The file grew shorter after it was opened. Open it again. */
    public const val CHANGED: Int = 9
    /** Memory cannot be had; the detail is how many bytes were asked for. Ask for a smaller context. */
    public const val MEMORY: Int = 10
    /** The tokens do not fit into the context; the detail is how many positions it would take. Shorten the prompt. */
    public const val CONTEXT_FULL: Int = 11
    /** A saved session is damaged, or another model's. Read the prompt again. */
    public const val SAVED: Int = 12
    /** A grammar or a JSON schema is wrong, or too large. Change it. */
    public const val GRAMMAR: Int = 13
    /** A chat template cannot be parsed or rendered, or there is none. Use another, or plain text. */
    public const val TEMPLATE: Int = 14
    /** The object is closed. Change the call. */
    public const val HANDLE: Int = 15
    /** Another thread uses the object. Call again when that call has returned. */
    public const val BUSY: Int = 16
    /** A bug in the library was caught. The object is good for nothing but to be closed; please report it. */
    public const val PANIC: Int = 17
    /** A buffer is too short; the detail is the room it takes. */
    public const val TOO_SMALL: Int = 18
    /** Classes and library are not of one release. */
    public const val STRUCT: Int = 19
    /** There is nothing to do this with: no logits, no answer in progress. Do what comes before it first. */
    public const val STATE: Int = 20

    // By number. They are not asked of the library, as an app logs what a ScriptedModel throws where there is none.
    private val names = arrayOf(
        "OK", "CANCELLED", "ARGUMENT", "IO", "NOT_A_FILE", "NOT_GGUF", "MALFORMED", "INCONSISTENT", "UNSUPPORTED", "CHANGED", "MEMORY", "CONTEXT_FULL",
        "SAVED", "GRAMMAR", "TEMPLATE", "HANDLE", "BUSY", "PANIC", "TOO_SMALL", "STRUCT", "STATE",
    )

    internal fun nameOf(code: Int): String = "BANTAM_${names.getOrElse(code) { "?" }}"
}
