// Answers: what is asked for, the pieces as they come, and what was told.
import CBantam

/// How an answer goes on and ends.
public struct AnswerOptions: Sendable {
    /// How tokens are chosen.
    public var sampler = SamplerOptions()
    /// The most tokens, 1 or more; nil is as many as the context has room for.
    public var maxTokens: Int?
    /// Texts that end it. They are no part of it.
    public var stop: [String] = []
    /// Tokens that end it, beside those that the model's metadata names.
    public var stopTokens: [UInt32] = []
    /// What it has to look like; nil is anything.
    public var constraint: Constraint?
    /// Goes on behind the tokens that end an answer.
    public var ignoresEnd = false
    /// Forgets older tokens when the context is full, and goes on.
    public var shifts = false
    /// Tokens at the start that are never forgotten so.
    public var shiftKeep = 0
    /// Guesses tokens ahead from what was said before, which is faster and changes nothing, in sessions with a ``SessionOptions/draftMax``.
    public var looksUp = false

    public init(
        sampler: SamplerOptions = SamplerOptions(), maxTokens: Int? = nil, stop: [String] = [], constraint: Constraint? = nil
    ) {
        self.sampler = sampler
        self.maxTokens = maxTokens
        self.stop = stop
        self.constraint = constraint
    }

    /// Lends the struct of C, with the grammar that was made of the constraint.
    func lend<Result>(_ grammar: Grammar?, _ body: (UnsafePointer<bantam_answer_options>) throws -> Result) throws -> Result {
        let lent = Lent()
        var c = bantam_answer_options.sized()
        c.sampler = UnsafePointer(lent.array([sampler.c(lent)]))
        c.max_tokens = try countedOrDefault("maxTokens", maxTokens)
        c.stop = lent.texts(stop)
        c.stop_count = stop.count
        c.stop_tokens = UnsafePointer(lent.array(stopTokens))
        c.stop_token_count = stopTokens.count
        c.ignore_end = ignoresEnd ? 1 : 0
        c.shift = shifts ? 1 : 0
        c.shift_keep = try counted("shiftKeep", shiftKeep)
        c.lookup = looksUp ? 1 : 0
        return try withExtendedLifetime(lent) {
            try (grammar?.handle).with { grammar in
                c.grammar = grammar
                return try body(&c)
            }
        }
    }
}

/// What ended an answer: a number of `bantam.h`.
public struct StopReason: RawRepresentable, Sendable, Hashable {
    public let rawValue: Int32

    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// The model ended it.
    public static let end = Self(rawValue: BANTAM_STOP_END)
    /// One of the stop tokens came.
    public static let stopToken = Self(rawValue: BANTAM_STOP_TOKEN)
    /// One of the stop strings came.
    public static let stopString = Self(rawValue: BANTAM_STOP_STRING)
    /// As many tokens came as were asked for.
    public static let budget = Self(rawValue: BANTAM_STOP_BUDGET)
    /// What the grammar describes is complete.
    public static let complete = Self(rawValue: BANTAM_STOP_COMPLETE)
    /// The context is full.
    public static let contextFull = Self(rawValue: BANTAM_STOP_CONTEXT_FULL)
    /// The task was cancelled.
    public static let cancelled = Self(rawValue: BANTAM_STOP_CANCELLED)
}

extension StopReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .end: "end"
        case .stopToken: "stop token"
        case .stopString: "stop string"
        case .budget: "budget"
        case .complete: "complete"
        case .contextFull: "context full"
        case .cancelled: "cancelled"
        default: "stop reason \(rawValue)"
        }
    }
}

/// A piece of an answer.
public struct Piece: Sendable, Hashable {
    /// Whole characters: often those of the token, sometimes of several or of none.
    public let text: String
    /// The token; nil in a last piece that has none.
    public let token: UInt32?
    /// The natural logarithm of its probability: the model's own, before biases, penalties, grammar and temperature.
    public let logprob: Float
    /// The entropy of the model's distribution, in nats.
    public let entropy: Float
    /// By how much the log-probability of the most likely token is above that of the second.
    public let margin: Float
    /// What ended the answer, with this piece; nil while it goes on.
    public let stopReason: StopReason?
    /// Which stop string or stop token it was.
    public let stopIndex: Int?

    init(_ c: bantam_piece) {
        text = String(c.text, bytes: c.text_bytes)
        token = UInt32(exactly: c.token)
        logprob = c.logprob
        entropy = c.entropy
        margin = c.margin
        stopReason = c.stop_reason == BANTAM_STOP_NONE ? nil : StopReason(rawValue: c.stop_reason)
        stopIndex = c.stop_index < 0 ? nil : Int(c.stop_index)
    }
}

/// How sure the model was of an answer's tokens: logarithms of probabilities, before biases, penalties, grammar and temperature.
public struct Confidence: Sendable, Hashable {
    /// The mean: 0 is certain.
    public var meanLogprob: Float = 0
    /// The least.
    public var minLogprob: Float = 0
    /// The 10 % quantile.
    public var logprobQ10: Float = 0
    /// The 25 % quantile.
    public var logprobQ25: Float = 0
    /// The mean of the entropies, in nats.
    public var meanEntropy: Float = 0

    public init() {}
}

/// What an answer was.
public struct Summary: Sendable, Hashable {
    /// What ended it; nil while it goes on.
    public var stopReason: StopReason?
    /// Which stop string or stop token it was.
    public var stopIndex: Int?
    /// Whether it is one that its grammar describes, or only the beginning of one; nil without a grammar.
    public var isComplete: Bool?
    /// Tokens of the answer, the one that ended it included.
    public var tokens: Int = 0
    /// The time that they took, without what passed between two of them.
    public var answerTime: Duration = .zero
    /// Tokens that were read as a prompt.
    public var promptTokens: Int = 0
    /// The time that took.
    public var promptTime: Duration = .zero
    /// Tokens that were guessed.
    public var drafted: Int = 0
    /// Guesses that were right.
    public var accepted: Int = 0
    /// How often prompt and answer waited for a page of the model to be read.
    public var majorFaults: Int = 0
    /// How sure the model was.
    public var confidence = Confidence()
    /// In a chat: the answer as a message, with thoughts and tool calls apart from the text.
    public var message: Message?

    /// A summary of nothing, to be filled in.
    public init() {}

    init(_ c: bantam_summary) {
        stopReason = c.stop_reason == BANTAM_STOP_NONE ? nil : StopReason(rawValue: c.stop_reason)
        stopIndex = c.stop_index < 0 ? nil : Int(c.stop_index)
        isComplete = c.is_complete < 0 ? nil : c.is_complete == 1
        tokens = Int(c.tokens)
        answerTime = .microseconds(Int64(clamping: c.answer_us))
        promptTokens = Int(c.prompt_tokens)
        promptTime = .microseconds(Int64(clamping: c.prompt_us))
        drafted = Int(c.drafted)
        accepted = Int(c.accepted)
        majorFaults = Int(c.major_faults)
        confidence.meanLogprob = c.mean_logprob
        confidence.minLogprob = c.min_logprob
        confidence.logprobQ10 = c.logprob_q10
        confidence.logprobQ25 = c.logprob_q25
        confidence.meanEntropy = c.mean_entropy
    }
}

/// What a stream brings.
public enum Event: Sendable, Hashable {
    /// The next characters.
    case text(String)
    /// The end: what the answer was.
    case done(Summary)
}

/// The stream of an answer. Who cancels the task that reads it, or stops reading it, stops the answer.
public typealias Answer = AsyncThrowingStream<Event, any Error>

extension AsyncThrowingStream where Element == Event, Failure == any Error {
    /// A stream of what `produce` hands over, in a task that ends with the stream.
    static func produced(by produce: @escaping @Sendable (_ hand: @Sendable (Event) -> Void) async throws -> Void) -> Answer {
        AsyncThrowingStream { continuation in
            let task = Task {
                do {
                    try await produce { continuation.yield($0) }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// Reads the stream to its end: all of its text, and what the answer was.
    public func collected() async throws -> (text: String, summary: Summary) {
        var text = ""
        for try await event in self {
            switch event {
            case .text(let piece): text += piece
            case .done(let summary): return (text, summary)
            }
        }
        throw CancellationError()
    }
}
