// What apps need of a model, so that their own tests need none.
import Foundation

/// Something that a conversation can be had with: a ``Chat``, or a ``ScriptedModel`` in tests.
public protocol LanguageModel: Sendable {
    /// Adds a message to the conversation, and streams the answer, which becomes a part of it as well.
    func send(_ message: Message, options: AnswerOptions) -> Answer

    /// Begins the conversation anew.
    func reset() async throws

    /// Gives memory back; returns how many bytes.
    @discardableResult
    func trim(_ trim: Trim) async throws -> Int
}

extension LanguageModel {
    /// Asks, and streams the answer.
    public func send(_ text: String, options: AnswerOptions = AnswerOptions()) -> Answer {
        send(.user(text), options: options)
    }

    /// Asks for an answer that a JSON schema accepts, and decodes it. An answer that was cut off throws ``IncompleteAnswer``.
    public func send<Value: Decodable>(
        _ text: String, as type: Value.Type, schema: String, options: AnswerOptions = AnswerOptions()
    ) async throws -> Value {
        var options = options
        options.constraint = .jsonSchema(schema)
        let (text, summary) = try await send(.user(text), options: options).collected()
        guard summary.isComplete != false else { throw IncompleteAnswer(summary: summary) }
        return try JSONDecoder().decode(type, from: Data(text.utf8))
    }
}
