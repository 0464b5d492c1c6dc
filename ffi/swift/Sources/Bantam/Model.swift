// Models: opened off Swift's pool of threads, shared by any number of tasks and sessions.
import CBantam
import Foundation

/// How to open a model.
public struct ModelOptions: Sendable {
    /// The backend by name, one of ``Library/backends``; nil is the best of this CPU.
    public var backend: String?
    /// Reads the whole model and keeps it in memory, or fails if the system refuses.
    public var locksMemory: Bool
    /// Told how many bytes of how many are ready while the model opens: none, then all; with `locksMemory`, which has to read them, also what is between.
    public var progress: (@Sendable (_ done: UInt64, _ all: UInt64) -> Void)?
    /// Takes lines of the log, which never hold text of prompts or answers; nil is silence. It is called on threads of the library's users.
    public var log: (@Sendable (String) -> Void)?
    /// What to do with a file that the system takes away while the device is locked: see ``FileProtection``.
    public var fileProtection: FileProtection

    public init(
        backend: String? = nil,
        locksMemory: Bool = false,
        fileProtection: FileProtection = .refuse,
        log: (@Sendable (String) -> Void)? = nil
    ) {
        self.backend = backend
        self.locksMemory = locksMemory
        self.fileProtection = fileProtection
        self.log = log
    }
}

/// A part of a model in several files.
public enum ModelPart: Sendable, Hashable {
    /// A file.
    case path(String)
    /// So many bytes of an open file from the offset on, or all behind it. The descriptor may be closed when the model is open.
    case descriptor(Int32, offset: UInt64 = 0, length: UInt64 = 0)
}

/// An open model. It stays open as long as anything refers to it; sessions, chats and grammars do.
public final class Model: Sendable {
    let handle: Handle

    private init(_ handle: Handle) {
        self.handle = handle
    }

    /// Opens the GGUF file at a path. Its weights stay in the file's pages: they are neither read nor copied.
    public static func open(path: String, options: ModelOptions = ModelOptions()) async throws -> Model {
        try await onThread { cancel in
            try options.fileProtection.check(path: path)
            return try open(options, cancel) { options, model, error in
                path.lend { bantam_model_open($0, $1, options, model, error) }
            }
        }
    }

    /// Opens the GGUF file at a URL.
    public static func open(at url: URL, options: ModelOptions = ModelOptions()) async throws -> Model {
        guard url.isFileURL else {
            throw BantamError(code: .argument, message: "the URL of a model has to be that of a file; download it first")
        }
        return try await open(path: url.path, options: options)
    }

    /// Opens `length` bytes of an open file from `offset` on, or all behind it. The descriptor may be closed afterwards. The offset has to be
    /// a multiple of 4.
    public static func open(
        fileDescriptor: Int32, offset: UInt64 = 0, length: UInt64 = 0, options: ModelOptions = ModelOptions()
    ) async throws -> Model {
        try await onThread { cancel in
            try open(options, cancel) { options, model, error in
                bantam_model_open_fd(fileDescriptor, offset, length, options, model, error)
            }
        }
    }

    /// Opens a model in several files (split GGUF), all parts in their order. One whose files lie beside each other under the usual names,
    /// `name-00001-of-00003.gguf`, opens by the path of the first.
    public static func open(parts: [ModelPart], options: ModelOptions = ModelOptions()) async throws -> Model {
        try await onThread { cancel in
            let lent = Lent()
            let c = try parts.map { part in
                var c = bantam_part()
                switch part {
                case .path(let path):
                    try options.fileProtection.check(path: path)
                    (c.path, c.path_bytes) = lent.text(path)
                case .descriptor(let descriptor, let offset, let length): (c.fd, c.offset, c.length) = (descriptor, offset, length)
                }
                return c
            }
            return try withExtendedLifetime(lent) {
                try open(options, cancel) { options, model, error in bantam_model_open_parts(c, c.count, options, model, error) }
            }
        }
    }

    /// Opens a model in memory, in place.
    public static func open(data: Data, options: ModelOptions = ModelOptions()) async throws -> Model {
        let bytes = DataInMemory(data)
        return try await open(bytes: bytes.pointer, options: options) { withExtendedLifetime(bytes) {} }
    }

    /// Opens a model in memory, in place: a map of the caller's own. The bytes stay there and unchanged until `onRelease` is called, on whatever
    /// thread; it is called if opening fails as well.
    public static func open(
        bytes: UnsafeRawBufferPointer, options: ModelOptions = ModelOptions(), onRelease: @escaping @Sendable () -> Void
    ) async throws -> Model {
        let memory = Memory(start: bytes.baseAddress, count: bytes.count)
        let release = Release(onRelease)
        return try await onThread { cancel in
            try open(options, cancel) { options, model, error in
                var options = options.pointee
                (options.release, options.release_user) = (Release.done, release.held())
                return bantam_model_open_memory(memory.start, memory.count, &options, model, error)
            }
        }
    }

    private static func open(
        _ options: ModelOptions,
        _ cancel: Cancel,
        _ function: (
            UnsafePointer<bantam_model_options>, UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<bantam_error>
        ) -> bantam_status
    ) throws -> Model {
        try Library.checkVersion()
        let lent = Lent()
        var c = bantam_model_options.sized()
        (c.backend, c.backend_bytes) = lent.text(options.backend)
        c.lock = options.locksMemory ? 1 : 0
        // The log has to stay until the last session is gone, and those keep the model.
        var keeps: [any Sendable] = []
        if let log = options.log {
            let callback = Callback(log)
            keeps.append(callback)
            c.log = { user, start, bytes in
                let callback = Unmanaged<Callback<@Sendable (String) -> Void>>.fromOpaque(user!).takeUnretainedValue()
                callback.function(String(start, bytes: bytes))
            }
            c.log_user = Unmanaged.passUnretained(callback).toOpaque()
        }
        let telling = options.progress.map(Telling.init)
        if let telling { (c.progress, c.progress_user) = (tell, Unmanaged.passUnretained(telling).toOpaque()) }
        return try withExtendedLifetime((lent, telling)) {
            try cancel.handle.with { cancel in
                c.cancel = cancel
                return Model(
                    try Handle(keeps: keeps, free: { bantam_model_free($0) }) { model, error in function(&c, model, error) })
            }
        }
    }

    /// Reads all pages of the model, so that the first answer waits for no disk. `progress` is told how many bytes of how many are read.
    public func warm(progress: (@Sendable (_ done: UInt64, _ all: UInt64) -> Void)? = nil) async throws {
        try await onThread { [handle] cancel in
            let telling = Telling(progress ?? { _, _ in })
            try withExtendedLifetime(telling) {
                try cancel.handle.with { cancel in
                    try handle.call { bantam_model_warm($0, cancel, tell, Unmanaged.passUnretained(telling).toOpaque(), $1) }
                }
            }
        }
    }

    /// How many bytes of the model's file are in memory at the moment.
    public func residentBytes() throws -> UInt64 {
        var bytes: UInt64 = 0
        try handle.call { bantam_model_resident_bytes($0, &bytes, $1) }
        return bytes
    }

    /// Says how much memory a session of these options takes, to the byte.
    public func plan(_ options: SessionOptions = SessionOptions()) throws -> Plan {
        var plan = bantam_plan.sized()
        try handle.call { model, error in
            try options.lend(cancel: nil) { bantam_session_plan(model, $0, &plan, error) }
        }
        return Plan(plan)
    }

    /// Says how much memory an embedder of these options takes, to the byte.
    public func plan(_ options: EmbedderOptions) throws -> Plan {
        var plan = bantam_plan.sized()
        try handle.call { model, error in
            try options.lend { bantam_embedder_plan(model, $0, &plan, error) }
        }
        return Plan(plan)
    }

    /// Turns text into tokens. `addingSpecial` adds those that begin and end a text, where the model wants them. `parsingSpecial` takes the texts of
    /// control tokens for those tokens: never do so with text from strangers, who could end the turn and speak for someone else.
    public func tokenize(_ text: String, addingSpecial: Bool = false, parsingSpecial: Bool = false) throws -> [UInt32] {
        // There are never more tokens than bytes and 2 more.
        let flags = textFlags(addingSpecial: addingSpecial, parsingSpecial: parsingSpecial)
        var tokens = [UInt32](repeating: 0, count: text.utf8.count + 2)
        var count = 0
        try handle.call { model, error in
            text.lend { bantam_model_tokenize(model, $0, $1, flags, &tokens, tokens.count, &count, error) }
        }
        return Array(tokens.prefix(count))
    }

    /// Turns tokens into text; what is no whole character becomes U+FFFD. `showingSpecial` shows control tokens as their text.
    public func detokenize(_ tokens: [UInt32], showingSpecial: Bool = false) throws -> String {
        let flags = showingSpecial ? UInt32(BANTAM_TEXT_SHOW_SPECIAL) : 0
        var text = [CChar](repeating: 0, count: 16 * tokens.count + 16)
        var bytes = 0
        do {
            try handle.call { bantam_model_detokenize($0, tokens, tokens.count, flags, &text, text.count, &bytes, $1) }
        } catch let error as BantamError where error.code == .tooSmall {
            text = [CChar](repeating: 0, count: Int(error.detail))
            try handle.call { bantam_model_detokenize($0, tokens, tokens.count, flags, &text, text.count, &bytes, $1) }
        }
        return text.withUnsafeBufferPointer { String($0.baseAddress, bytes: bytes) }
    }
}

/// The sum of C's flags for tokenising.
func textFlags(addingSpecial: Bool, parsingSpecial: Bool) -> UInt32 {
    UInt32((addingSpecial ? BANTAM_TEXT_ADD_SPECIAL : 0) | (parsingSpecial ? BANTAM_TEXT_PARSE_SPECIAL : 0))
}

/// A closure that C keeps a pointer to.
private final class Callback<Function: Sendable>: Sendable {
    let function: Function

    init(_ function: Function) {
        self.function = function
    }
}

/// What is told how far something is.
private typealias Telling = Callback<@Sendable (UInt64, UInt64) -> Void>

/// Tells it.
private func tell(user: UnsafeMutableRawPointer?, done: UInt64, all: UInt64) -> Int32 {
    Unmanaged<Telling>.fromOpaque(user!).takeUnretainedValue().function(done, all)
    return 0
}

/// Calls a closure when nobody needs some bytes any more, neither C nor Swift.
final class Release: Sendable {
    private let function: @Sendable () -> Void

    init(_ function: @escaping @Sendable () -> Void) {
        self.function = function
    }

    deinit {
        function()
    }

    /// A reference that C holds until it calls ``done``.
    func held() -> UnsafeMutableRawPointer {
        Unmanaged.passRetained(self).toOpaque()
    }

    /// Lets go of a reference that was held.
    static let done: @convention(c) (UnsafeMutableRawPointer?) -> Void = { Unmanaged<Release>.fromOpaque($0!).release() }
}

/// Where the bytes of a model lie. Their owner promised that they stay.
private struct Memory: @unchecked Sendable {
    let start: UnsafeRawPointer?
    let count: Int
}

/// Data whose bytes stay where they are.
final class DataInMemory: @unchecked Sendable {
    private let data: NSData

    init(_ data: Data) {
        self.data = data as NSData
    }

    var pointer: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: data.bytes, count: data.length)
    }
}
