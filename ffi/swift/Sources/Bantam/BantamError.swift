// Errors: C's, with their numbers and words.
import CBantam

/// What went wrong: a code that says what to do, and words for those who look into it.
///
/// The words never hold text of prompts or answers, so they may be logged. A call whose task was cancelled throws `CancellationError` instead.
public struct BantamError: Error, Sendable, Hashable {
    /// What kind of error it is: a number of `bantam.h`. Newer libraries may have more of them.
    public struct Code: RawRepresentable, Sendable, Hashable {
        public let rawValue: Int32

        public init(rawValue: Int32) {
            self.rawValue = rawValue
        }
    }

    public let code: Code
    /// What was wrong, where, and what to do.
    public let message: String
    /// A number that belongs to the code, such as an offset or a count of bytes; 0 if there is none.
    public let detail: Int64

    public init(code: Code, message: String = "", detail: Int64 = 0) {
        self.code = code
        self.message = message
        self.detail = detail
    }

    init(_ status: bantam_status, _ error: bantam_error) {
        let message = withUnsafeBytes(of: error.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        self.init(code: Code(rawValue: status), message: message, detail: error.detail)
    }
}

extension BantamError.Code {
    /// The task was cancelled. Thrown as `CancellationError`.
    public static let cancelled = Self(rawValue: BANTAM_CANCELLED)
    /// A value makes no sense. Change the call.
    public static let argument = Self(rawValue: BANTAM_ARGUMENT)
    /// The system refused a file. Check the path and its permissions.
    public static let io = Self(rawValue: BANTAM_IO)
    /// The path is a directory, a pipe, a socket or a device. Copy it to a file.
    public static let notAFile = Self(rawValue: BANTAM_NOT_A_FILE)
    /// The bytes are no GGUF file. Check that the path names a model.
    public static let notGGUF = Self(rawValue: BANTAM_NOT_GGUF)
    /// The file is damaged; `detail` is the offset in bytes. Fetch it again.
    public static let malformed = Self(rawValue: BANTAM_MALFORMED)
    /// The file is sound, but what is in it makes no model: convert it again. Or what it computes is no number: fetch it again.
    public static let inconsistent = Self(rawValue: BANTAM_INCONSISTENT)
    /// This version cannot run the model, or was built without this part. Use another file, or another build.
    public static let unsupported = Self(rawValue: BANTAM_UNSUPPORTED)
    /// The file grew shorter after it was opened. Open it again.
    public static let changed = Self(rawValue: BANTAM_CHANGED)
    /// Memory cannot be had; `detail` is how many bytes were asked for. Ask for a smaller context.
    public static let memory = Self(rawValue: BANTAM_MEMORY)
    /// The tokens do not fit into the context; `detail` is how many positions it would take. Shorten the prompt.
    public static let contextFull = Self(rawValue: BANTAM_CONTEXT_FULL)
    /// A saved session is damaged, or another model's. Read the prompt again.
    public static let saved = Self(rawValue: BANTAM_SAVED)
    /// A grammar or a JSON schema is wrong, or too large. Change it.
    public static let grammar = Self(rawValue: BANTAM_GRAMMAR)
    /// A chat template cannot be parsed or rendered, or there is none. Use another, or plain text.
    public static let template = Self(rawValue: BANTAM_TEMPLATE)
    /// An object is none, or of another kind.
    public static let handle = Self(rawValue: BANTAM_HANDLE)
    /// Another call uses the object.
    public static let busy = Self(rawValue: BANTAM_BUSY)
    /// A bug in the library was caught. Drop the object; please report it.
    public static let panic = Self(rawValue: BANTAM_PANIC)
    /// A buffer is too short; `detail` is the room it takes.
    public static let tooSmall = Self(rawValue: BANTAM_TOO_SMALL)
    /// Package and library do not belong together.
    public static let structSize = Self(rawValue: BANTAM_STRUCT)
    /// There is nothing to do this with: no logits, no answer in progress. Do what comes before it first.
    public static let state = Self(rawValue: BANTAM_STATE)

    /// C's name of the code, `BANTAM_CONTEXT_FULL`.
    public var name: String {
        String(cString: bantam_status_name(rawValue))
    }
}

extension BantamError.Code: CustomStringConvertible {
    public var description: String { name }
}

extension BantamError: CustomStringConvertible {
    public var description: String {
        message.isEmpty ? code.name : "\(code.name): \(message)"
    }
}

/// An answer that was to be decoded ended before it was complete: it ran into its budget or the end of the context, or was cancelled.
public struct IncompleteAnswer: Error, Sendable {
    /// How it ended.
    public let summary: Summary
}
