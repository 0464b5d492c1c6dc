// A model that says what it was told to, for tests of apps.

/// A model that answers from a script, piece by piece, as a real one does. It runs no library and needs no file.
public actor ScriptedModel: LanguageModel {
    /// An answer of the script.
    public enum Line: Sendable, ExpressibleByStringLiteral {
        /// A text, in pieces of a word each.
        case text(String)
        /// Pieces, and what comes behind them.
        case pieces([String], Summary)
        /// Calls of tools.
        case toolCalls([ToolCall])
        /// An error, instead of an answer.
        case failure(BantamError)
        /// A text without an end: its last piece is followed by nothing until the task is cancelled.
        case hang(String)

        public init(stringLiteral text: String) {
            self = .text(text)
        }
    }

    /// The messages that came, and the answers that were given, in order.
    public private(set) var messages: [Message] = []
    /// The options that came with each message.
    public private(set) var options: [AnswerOptions] = []
    /// What was trimmed.
    public private(set) var trims: [Trim] = []
    private var script: [Line]
    private let delay: Duration

    /// Answers with these, one after another, and waits so long before each piece.
    public init(_ script: [Line], delay: Duration = .zero) {
        self.script = script
        self.delay = delay
    }

    public nonisolated func send(_ message: Message, options: AnswerOptions) -> Answer {
        .produced { hand in try await self.answer(message, options, hand) }
    }

    public func reset() {
        messages = []
    }

    public func trim(_ trim: Trim) -> Int {
        trims.append(trim)
        return 0
    }

    private func answer(_ message: Message, _ options: AnswerOptions, _ hand: @Sendable (Event) -> Void) async throws {
        guard !script.isEmpty else {
            throw BantamError(code: .state, message: "the script has no line left for this message")
        }
        let line = script.removeFirst()
        self.options.append(options)
        var summary = Summary()
        summary.stopReason = .end
        var pieces: [String]
        var calls: [ToolCall] = []
        switch line {
        case .failure(let error): throw error
        case .text(let text), .hang(let text): pieces = words(of: text)
        case .pieces(let given, let end): (pieces, summary) = (given, end)
        case .toolCalls(let given): (pieces, calls) = ([], given)
        }
        messages.append(message)
        for piece in pieces {
            try await Task.sleep(for: delay)
            hand(.text(piece))
        }
        if case .hang = line { try await Task.sleep(for: .seconds(1_000_000)) }
        var answer = Message.assistant(pieces.joined())
        answer.toolCalls = calls
        messages.append(answer)
        if summary.tokens == 0 { summary.tokens = pieces.count }
        summary.message = answer
        hand(.done(summary))
    }
}

/// A text in pieces that end with a word each, and are the text when put together.
private func words(of text: String) -> [String] {
    var pieces: [String] = []
    for character in text {
        if pieces.isEmpty || (character == " " && pieces.last != "") { pieces.append("") }
        pieces[pieces.count - 1].append(character)
    }
    return pieces
}
