// Sessions: actors that run on queues of their own.
import CBantam
import Foundation

/// How keys and values are kept.
public enum KVFormat: Int32, Sendable, CaseIterable {
    /// As halves.
    case f16 = 0
    /// In blocks of 8 bits: about half the memory.
    case q8 = 1
    /// In blocks of 4 bits: about a quarter of the memory.
    case q4 = 2
}

/// How to open a session.
public struct SessionOptions: Sendable {
    /// The most tokens of prompt and answer together; nil is 4096, or less for a model that was trained for less.
    public var context: Int?
    /// Tokens that are read at once; nil is 256, or less for a wide model.
    public var batch: Int?
    /// The most tokens that are guessed and verified at once while answering: see ``AnswerOptions/looksUp``.
    public var draftMax = 0
    /// How keys and values are kept.
    public var kvFormat = KVFormat.f16
    /// Makes what is computed for a token the same to the last bit however the tokens before it came, at up to half the speed of prompts.
    public var isExact = false
    /// Threads of the session's own; nil is ``Library/defaultThreads``. Without meaning beside `pool`.
    public var threads: Int?
    /// Threads that it shares with other sessions.
    public var pool: Pool?
    /// The most sessions that ``Session/decodeTogether(_:)`` reads at once with this one as the first.
    public var togetherMax = 1
    /// Room for adapters: the most that the ranks of those set at once sum up to. See ``Session/setAdapters(_:)``.
    public var adapterRank = 0
    /// How many tokens the session can go back without reading any again, if the model has sliding windows; nil is a batch, and so is less.
    public var rewindMax: Int?

    public init(context: Int? = nil, kvFormat: KVFormat = .f16, threads: Int? = nil, pool: Pool? = nil) {
        self.context = context
        self.kvFormat = kvFormat
        self.threads = threads
        self.pool = pool
    }

    /// Lends the struct of C.
    func lend<Result>(cancel: Cancel?, _ body: (UnsafePointer<bantam_session_options>) throws -> Result) throws -> Result {
        var c = bantam_session_options.sized()
        c.context = try countedOrDefault("context", context)
        c.batch = try countedOrDefault("batch", batch)
        c.draft_max = try counted("draftMax", draftMax)
        c.kv_format = kvFormat.rawValue
        c.exact = isExact ? 1 : 0
        c.threads = try countedOrDefault("threads", threads)
        c.together_max = try counted("togetherMax", togetherMax)
        c.adapter_rank = try counted("adapterRank", adapterRank)
        c.rewind_max = try counted("rewindMax", rewindMax ?? 0)
        return try (pool?.handle).with { pool in
            try (cancel?.handle).with { cancel in
                c.pool = pool
                c.cancel = cancel
                return try body(&c)
            }
        }
    }
}

/// What a session will take, known before it is opened.
public struct Plan: Sendable, Hashable {
    /// The most tokens of prompt and answer together.
    public let context: Int
    /// Bytes of keys and values.
    public let kvBytes: Int
    /// Bytes of everything else.
    public let scratchBytes: Int
    /// Both.
    public let totalBytes: Int

    init(_ c: bantam_plan) {
        context = c.context
        kvBytes = c.kv_bytes
        scratchBytes = c.scratch_bytes
        totalBytes = c.total_bytes
    }
}

/// How a session stands.
public struct SessionInfo: Sendable, Hashable {
    /// Tokens that it holds.
    public let position: Int
    /// Tokens that it can hold.
    public let context: Int
    /// Tokens that it reads at once.
    public let batch: Int
    /// Threads that it works with.
    public let threads: Int
    /// Bytes of keys and values.
    public let kvBytes: Int
    /// Bytes of everything else.
    public let scratchBytes: Int
    /// Bytes that it takes when it is saved.
    public let savedBytes: Int
    /// Whether there are logits behind the last token.
    public let hasLogits: Bool
    /// Whether its memory was given back: see ``Session/trim(_:)``.
    public let isTrimmed: Bool
}

/// What memory a session gives back.
public enum Trim: Sendable, Hashable {
    /// That of what is computed anew for each call. Nothing has to be done to take it again.
    case scratch
    /// Also keys, values and logits, which are written to this file, in a place of the app's own. The next call that needs them reads them again, and
    /// removes the file.
    case all(spillingTo: URL)
}

/// The tokens of one conversation, their keys and values, and the answer in progress.
///
/// It is an actor on a queue of its own: no call blocks Swift's pool of threads, and calls of several tasks wait for each other. Between two tokens
/// of an answer others have their turn, such as ``trim(_:)``. What reads, writes or answers is stopped by cancelling the task that called it.
public actor Session: Stoppable {
    /// The model.
    public nonisolated let model: Model
    let handle: Handle
    private let executor: QueueExecutor
    /// Which answer is in progress, counting from 1.
    private var answer = 0
    /// Stops the answer in progress.
    private var answerCancel: Cancel?
    /// The adapters that the session uses.
    public private(set) var adapters: [ScaledAdapter]

    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        executor.asUnownedSerialExecutor()
    }

    private init(_ handle: Handle, model: Model, adapters: [ScaledAdapter] = []) {
        self.handle = handle
        self.model = model
        self.adapters = adapters
        executor = QueueExecutor()
    }

    /// Opens a session. All of its memory is had now; reading tokens and answering take none but what a grammar does.
    public static func open(_ model: Model, options: SessionOptions = SessionOptions()) async throws -> Session {
        try await onThread { cancel in
            try options.lend(cancel: cancel) { options in
                try model.handle.with { c in
                    let handle = try Handle(keeps: [model], free: { bantam_session_free($0) }) { session, error in
                        bantam_session_open(c, options, session, error)
                    }
                    // The object that cancels opening ends with it.
                    try handle.call { bantam_session_set_cancel($0, nil, $1) }
                    return Session(handle, model: model)
                }
            }
        }
    }

    /// How the session stands.
    public var info: SessionInfo {
        get throws {
            var c = bantam_session_info.sized()
            try handle.call { bantam_session_get_info($0, &c, $1) }
            return SessionInfo(
                position: c.position,
                context: c.context,
                batch: c.batch,
                threads: c.threads,
                kvBytes: c.kv_bytes,
                scratchBytes: c.scratch_bytes,
                savedBytes: c.saved_bytes,
                hasLogits: c.has_logits == 1,
                isTrimmed: c.is_trimmed == 1)
        }
    }

    /// Uses so many threads from here on, at most as many as the session was opened with. Nothing that is computed changes.
    public func setThreads(_ threads: Int) throws {
        try handle.call { bantam_session_set_threads($0, try counted("threads", threads, least: 1), $1) }
    }

    /// Changes how important the session's threads are.
    public func setPriority(_ priority: Priority) throws {
        try handle.call { bantam_session_set_priority($0, priority.rawValue, $1) }
    }

    /// Has the session use these adapters, at most 8, instead of those that it had; none at all takes them away, and the session computes what it did
    /// before, to the last bit. What it holds was computed with other adapters, so it is forgotten; with those that are set already, nothing happens.
    /// Their ranks together are at most ``SessionOptions/adapterRank``. Forks and copies have the adapters of the session that they come from.
    public func setAdapters(_ adapters: [ScaledAdapter]) throws {
        try adapters.map(\.adapter.handle).with { c in
            try handle.call { bantam_session_set_adapters($0, c, adapters.map(\.scale), c.count, $1) }
        }
        self.adapters = adapters
    }

    // MARK: Reading

    /// Makes `text` what the session holds, and reads only those of its tokens that it does not hold already: a prompt that shares its beginning
    /// with the one before costs only the rest. An answer in progress is given up. Returns how many tokens were read.
    @discardableResult
    public func prompt(_ text: String, addingSpecial: Bool = false, parsingSpecial: Bool = false) async throws -> Int {
        let flags = textFlags(addingSpecial: addingSpecial, parsingSpecial: parsingSpecial)
        var read = 0
        try await cancellable { session, error in
            text.lend { bantam_session_prompt_text(session, $0, $1, flags, &read, error) }
        }
        return read
    }

    /// The same with tokens.
    @discardableResult
    public func prompt(tokens: [UInt32]) async throws -> Int {
        var read = 0
        try await cancellable { bantam_session_prompt($0, tokens, tokens.count, &read, $1) }
        return read
    }

    /// The same with a chat.
    func prompt(_ chat: Handle) async throws {
        try await cancellable { session, error in chat.with { bantam_chat_prompt($0, session, nil, error) } }
    }

    /// Reads tokens behind those that the session holds. An answer in progress is given up.
    public func prefill(_ tokens: [UInt32]) async throws {
        try await cancellable { bantam_session_prefill($0, tokens, tokens.count, $1) }
    }

    /// Reads one token, such as one that was sampled. An answer in progress is given up.
    public func decode(_ token: UInt32) async throws {
        try await cancellable { bantam_session_decode($0, token, $1) }
    }

    /// Reads one token in each of several sessions of one model at once: the weights are read once for all. The first session's threads are used; open it
    /// with ``SessionOptions/togetherMax``. At most 64 sessions, with the same adapters. It waits until none of them does anything else; answers in
    /// progress are given up.
    public static func decodeTogether(_ tokens: [(session: Session, token: UInt32)]) async throws {
        guard let first = tokens.first?.session.handle else { return }
        try await alone(with: tokens.map(\.session)) { cancel in
            try first.with { first in
                try cancel.handle.with { cancel in try check { bantam_session_set_cancel(first, cancel, $0) } }
                defer { _ = bantam_session_set_cancel(first, nil, nil) }
                try tokens.map(\.session.handle).with { sessions in
                    try check { bantam_session_decode_together(sessions, tokens.map(\.token), tokens.count, $0) }
                }
            }
        }
    }

    /// Works with several sessions that nobody else uses in the meantime.
    private static func alone(with sessions: [Session], _ work: @escaping @Sendable (Cancel) throws -> Void) async throws {
        // Always in the same order, so that two of these never wait for each other.
        let all = Dictionary(sessions.map { (ObjectIdentifier($0), $0.executor) }) { first, _ in first }
        let executors = all.sorted { $0.key < $1.key }.map(\.value)
        for executor in executors { await executor.hold() }
        defer { executors.forEach { $0.release() } }
        try await onThread(cancelling: work)
    }

    /// The tokens that the session holds.
    public var tokens: [UInt32] {
        get throws {
            var start: UnsafePointer<UInt32>?
            var count = 0
            return try handle.with { session in
                try check { bantam_session_tokens(session, &start, &count, $0) }
                return Array(UnsafeBufferPointer(start: start, count: count))
            }
        }
    }

    // MARK: Answering

    /// Streams an answer behind what the session holds. It goes on while the stream is read, waits for nobody, and ends with `.done`.
    public nonisolated func answer(_ options: AnswerOptions = AnswerOptions()) -> Answer {
        .produced { hand in try await self.run(options, hand) }
    }

    /// Streams the answer to a prompt: ``prompt(_:addingSpecial:parsingSpecial:)`` and ``answer(_:)`` in one.
    public nonisolated func answer(to text: String, _ options: AnswerOptions = AnswerOptions()) -> Answer {
        .produced { hand in
            try await self.prompt(text)
            try await self.run(options, hand)
        }
    }

    private func run(_ options: AnswerOptions, _ hand: @Sendable (Event) -> Void) async throws {
        let number = try begin(options)
        while true {
            let piece = try await next(of: number)
            if !piece.text.isEmpty { hand(.text(piece.text)) }
            if piece.stopReason != nil { break }
            // Others have their turn.
            await Task.yield()
        }
        hand(.done(try summary))
    }

    /// Begins an answer behind what the session holds, to be pulled with ``next()``. Returns its number.
    @discardableResult
    public func begin(_ options: AnswerOptions = AnswerOptions()) throws -> Int {
        let grammar = try options.constraint.map { try model.compile($0) }
        return try begin(options, grammar)
    }

    /// The same with a grammar that was compiled already.
    func begin(_ options: AnswerOptions, _ grammar: Grammar?) throws -> Int {
        let cancel = try Cancel()
        try options.lend(grammar) { options in
            try handle.call { bantam_session_begin($0, options, $1) }
        }
        answer += 1
        answerCancel = cancel
        return answer
    }

    /// Pulls the next piece of the answer. The last one has a `stopReason`; behind it there is none. Being cancelled ends an answer like anything else does.
    public func next() async throws -> Piece {
        try await next(of: answer)
    }

    /// Pulls the next piece of an answer, if it is still in progress.
    func next(of number: Int) async throws -> Piece {
        guard number == answer, let cancel = answerCancel else {
            throw BantamError(code: .state, message: "another call took the session while the answer was in progress")
        }
        return try await withTaskCancellationHandler {
            var c = bantam_piece.sized()
            return try handle.with { session in
                try cancel.handle.with { cancel in try check { bantam_session_set_cancel(session, cancel, $0) } }
                try check { bantam_session_next(session, &c, $0) }
                return Piece(c)
            }
        } onCancel: {
            cancel.set()
        }
    }

    /// What the last answer was, or what it is so far.
    public var summary: Summary {
        get throws {
            var c = bantam_summary.sized()
            try handle.call { bantam_session_get_summary($0, &c, $1) }
            return Summary(c)
        }
    }

    // MARK: Choosing by hand

    /// The score of every token of the vocabulary as the next one.
    public var logits: [Float] {
        get throws {
            var start: UnsafePointer<Float>?
            var count = 0
            return try handle.with { session in
                try check { bantam_session_logits(session, &start, &count, $0) }
                return Array(UnsafeBufferPointer(start: start, count: count))
            }
        }
    }

    /// Chooses the next token; it is not read yet.
    public func sample(_ sampler: Sampler) throws -> Choice {
        var c = bantam_choice.sized()
        try handle.call { session, error in
            sampler.handle.with { bantam_session_sample(session, $0, &c, error) }
        }
        return Choice(token: c.token, logprob: c.logprob, entropy: c.entropy, margin: c.margin)
    }

    /// The most likely tokens at the last choice, the likeliest first: as many as its ``SamplerOptions/topLogprobs`` asked for.
    public func topLogprobs() throws -> [TokenLogprob] {
        var top = [bantam_token_logprob](repeating: bantam_token_logprob(), count: 64)
        var count = 0
        try handle.call { bantam_session_top_logprobs($0, &top, top.count, &count, $1) }
        return top.prefix(count).map { TokenLogprob(token: $0.token, logprob: $0.logprob) }
    }

    // MARK: Going back

    /// Forgets every token behind the first `position`. An answer in progress is given up. What comes next has to be read before the next answer:
    /// that of the last token is forgotten too. To answer once more from there, hand the same text to ``prompt(_:addingSpecial:parsingSpecial:)``,
    /// which reads its last token again.
    public func rewind(to position: Int) throws {
        try handle.call { bantam_session_rewind($0, try counted("position", position), $1) }
    }

    /// Forgets `discard` tokens behind the first `keep`; those behind them move up, and an answer in progress goes on.
    public func shift(keep: Int, discard: Int) throws {
        try handle.call { bantam_session_shift($0, try counted("keep", keep), try counted("discard", discard), $1) }
    }

    /// Opens a session that holds what this one holds, with the same model, threads and options.
    public func fork() throws -> Session {
        let handle = try handle.with { session in
            try Handle(keeps: [model], free: { bantam_session_free($0) }) { bantam_session_fork(session, $0, $1) }
        }
        return Session(handle, model: model, adapters: adapters)
    }

    /// Makes this session hold what `other` holds: a fork into a session that is there already. An answer in progress here is given up.
    public nonisolated func copy(from other: Session) async throws {
        try await Session.alone(with: [self, other]) { [handle] _ in
            try other.handle.with { other in try handle.call { bantam_session_copy($0, other, $1) } }
        }
        await took(await other.adapters)
    }

    private func took(_ adapters: [ScaledAdapter]) {
        self.adapters = adapters
    }

    // MARK: Keeping

    /// Saves what the session holds to a file. One that is there already is replaced once all is written.
    public func save(to url: URL) async throws {
        try await cancellable { session, error in
            url.path.lend { bantam_session_save(session, $0, $1, error) }
        }
    }

    /// Makes the session hold what was saved to a file. An answer in progress is given up.
    public func restore(from url: URL) async throws {
        try await cancellable { session, error in
            url.path.lend { bantam_session_restore(session, $0, $1, error) }
        }
    }

    /// What the session holds, as data.
    public func saved() async throws -> Data {
        var data = Data(count: try info.savedBytes)
        var written = 0
        try await cancellable { session, error in
            data.withUnsafeMutableBytes { bantam_session_save_to(session, $0.baseAddress, $0.count, &written, error) }
        }
        return data.prefix(written)
    }

    /// Makes the session hold what was saved as data. An answer in progress is given up.
    public func restore(from data: Data) async throws {
        try await cancellable { session, error in
            data.withUnsafeBytes { bantam_session_restore_from(session, $0.baseAddress, $0.count, error) }
        }
    }

    /// Gives memory back to the system, when an app goes into the background or is warned that memory is short. An answer in progress goes on afterwards.
    /// Returns how many bytes were given back.
    @discardableResult
    public func trim(_ trim: Trim) async throws -> Int {
        var released = 0
        try await cancellable { session, error in
            switch trim {
            case .scratch: bantam_session_trim(session, BANTAM_TRIM_SCRATCH, nil, 0, &released, error)
            case .all(let url): url.path.lend { bantam_session_trim(session, BANTAM_TRIM_ALL, $0, $1, &released, error) }
            }
        }
        return released
    }

    static func setCancel(_ object: OpaquePointer, _ cancel: OpaquePointer?, _ error: UnsafeMutablePointer<bantam_error>?) -> bantam_status {
        bantam_session_set_cancel(object, cancel, error)
    }
}
