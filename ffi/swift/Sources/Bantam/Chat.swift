// Conversations: a session, and the messages that it holds.
import CBantam
import Foundation

/// How to make a chat.
public struct ChatOptions: Sendable {
    /// How to answer: the first message, if there is any.
    public var system: String?
    /// A template, in Jinja; nil is that of the model's metadata.
    public var template: String?
    /// What the model may call. ``Constraint/tools(_:)`` holds answers to it.
    public var tools: [Tool] = []
    /// More variables of the template: a JSON object, `{"enable_thinking": false}`.
    public var variables: String?

    public init(system: String? = nil, tools: [Tool] = [], template: String? = nil, variables: String? = nil) {
        self.system = system
        self.tools = tools
        self.template = template
        self.variables = variables
    }
}

/// A conversation with a model: its messages, the model's template for them, and a session that holds them.
///
/// Turns wait for each other. A turn that is cancelled while it is answered leaves the answer so far; one that fails or is cancelled before leaves
/// nothing, not even its message.
public actor Chat: LanguageModel {
    /// Where it is read and answered. While a chat uses it, nobody else should.
    public nonisolated let session: Session
    private let handle: Handle
    private let first: Int
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// It runs where its session does.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        session.unownedExecutor
    }

    private init(_ session: Session, _ handle: Handle, first: Int) {
        self.session = session
        self.handle = handle
        self.first = first
    }

    /// Opens a session for a conversation.
    public static func open(
        _ model: Model, options: ChatOptions = ChatOptions(), session: SessionOptions = SessionOptions()
    ) async throws -> Chat {
        try await make(in: try await Session.open(model, options: session), options: options)
    }

    /// Makes a conversation in a session that is there, such as one that was restored.
    public static func make(in session: Session, options: ChatOptions = ChatOptions()) async throws -> Chat {
        try await onThread {
            let lent = Lent()
            var c = bantam_chat_options.sized()
            (c.template_source, c.template_bytes) = lent.text(options.template)
            (c.tools, c.tools_bytes) = lent.text(options.tools.isEmpty ? nil : try Tool.json(options.tools))
            (c.variables, c.variables_bytes) = lent.text(options.variables)
            let model = session.model
            let handle = try withExtendedLifetime(lent) {
                try model.handle.with { c_model in
                    try Handle(keeps: [model], free: { bantam_chat_free($0) }) { bantam_chat_new(c_model, &c, $0, $1) }
                }
            }
            if let system = options.system { try handle.add(.system(system)) }
            return Chat(session, handle, first: options.system == nil ? 0 : 1)
        }
    }

    /// Adds a message, and streams the answer, which becomes a part of the conversation as well.
    public nonisolated func send(_ message: Message, options: AnswerOptions = AnswerOptions()) -> Answer {
        send([message], options: options)
    }

    /// The same with several messages, such as the answers of several tools.
    public nonisolated func send(_ messages: [Message], options: AnswerOptions = AnswerOptions()) -> Answer {
        .produced { hand in try await self.turn(messages, options, hand) }
    }

    private func turn(_ messages: [Message], _ options: AnswerOptions, _ hand: @Sendable (Event) -> Void) async throws {
        await enter()
        defer { leave() }
        let before = try count
        let number: Int
        do {
            for message in messages { try handle.add(message) }
            try await session.prompt(handle)
            let grammar = try options.constraint.flatMap { try compile($0) }
            number = try await session.begin(options, grammar)
        } catch {
            try truncate(to: before)
            throw error
        }
        var text = ""
        do {
            while true {
                let piece = try await session.next(of: number)
                text += piece.text
                if !piece.text.isEmpty { hand(.text(piece.text)) }
                if piece.stopReason != nil { break }
                // Others have their turn.
                await Task.yield()
            }
        } catch {
            _ = try? addAnswer(text, isComplete: false)
            throw error
        }
        var summary = try await session.summary
        let ends: [StopReason] = [.end, .complete, .stopToken, .stopString]
        summary.message = try addAnswer(text, isComplete: summary.stopReason.map(ends.contains) ?? false)
        hand(.done(summary))
    }

    /// The grammar of a constraint; nil if it lets anything go.
    private func compile(_ constraint: Constraint) throws -> Grammar? {
        guard case .tools(let choice) = constraint else { return try session.model.compile(constraint) }
        return try handle.grammar(choice, for: session.model)
    }

    private func addAnswer(_ text: String, isComplete: Bool) throws -> Message {
        var start: UnsafePointer<CChar>?
        var bytes = 0
        return try handle.with { chat in
            try check { error in
                text.lend { bantam_chat_add_answer(chat, $0, $1, isComplete ? 1 : 0, &start, &bytes, error) }
            }
            return try JSONDecoder().decode(Message.self, from: Data(String(start, bytes: bytes).utf8))
        }
    }

    /// Adds messages without asking for an answer: a conversation of before.
    public func add(_ messages: [Message]) async throws {
        await enter()
        defer { leave() }
        for message in messages { try handle.add(message) }
    }

    /// How many messages there are, that of ``ChatOptions/system`` included.
    public var count: Int {
        get throws {
            var count = 0
            try handle.call { bantam_chat_count($0, &count, nil, $1) }
            return count
        }
    }

    /// How many of them are left out, the oldest ones, as the context has no room for them.
    public var leftOut: Int {
        get throws {
            var leftOut = 0
            try handle.call { bantam_chat_count($0, nil, &leftOut, $1) }
            return leftOut
        }
    }

    /// Takes back all messages behind the first `count`.
    public func truncate(to count: Int) throws {
        try handle.call { bantam_chat_truncate($0, try counted("count", count), $1) }
    }

    public func reset() async throws {
        await enter()
        defer { leave() }
        try truncate(to: first)
    }

    /// The conversation as the template writes it down, up to where the answer begins: to be shown.
    public func rendered() throws -> String {
        var start: UnsafePointer<CChar>?
        var bytes = 0
        return try handle.with { chat in
            try check { bantam_chat_render(chat, &start, &bytes, $0) }
            return String(start, bytes: bytes)
        }
    }

    @discardableResult
    public func trim(_ trim: Trim) async throws -> Int {
        try await session.trim(trim)
    }

    /// Waits until no other turn is in progress.
    private func enter() async {
        if !isBusy {
            isBusy = true
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    private func leave() {
        if waiting.isEmpty {
            isBusy = false
        } else {
            waiting.removeFirst().resume()
        }
    }
}

extension Handle {
    /// Adds a message to a chat.
    fileprivate func add(_ message: Message) throws {
        let json = String(decoding: try JSONEncoder().encode([message]), as: UTF8.self)
        try call { chat, error in json.lend { bantam_chat_add_json(chat, $0, $1, error) } }
    }

    /// The grammar of answers that may call a chat's tools; nil if anything goes.
    fileprivate func grammar(_ choice: ToolChoice, for model: Model) throws -> Grammar? {
        var grammar: OpaquePointer?
        try model.handle.with { model in
            try call { chat, error in
                choice.word.lend { bantam_chat_grammar(chat, model, $0, $1, &grammar, error) }
            }
        }
        return grammar.map { Grammar(Handle($0, keeps: [model], free: { bantam_grammar_free($0) })) }
    }
}
