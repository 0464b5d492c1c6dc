// Messages of conversations, and tools, in the shape of APIs in OpenAI's style.
import CBantam
import Foundation

/// Who says something.
public enum Role: String, Sendable, Hashable, Codable, CaseIterable {
    /// Who set the conversation up: how to answer.
    case system
    /// Who asks.
    case user
    /// The model.
    case assistant
    /// What the model called.
    case tool
}

/// A call of a tool.
public struct ToolCall: Sendable, Hashable {
    /// Tells calls of one message apart; nil if the model gave none.
    public var id: String?
    /// The name of the tool.
    public var name: String
    /// What it is called with: JSON.
    public var arguments: String

    public init(id: String? = nil, name: String, arguments: String) {
        self.id = id
        self.name = name
        self.arguments = arguments
    }

    /// What the tool is called with, decoded.
    public func arguments<Value: Decodable>(as type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(arguments.utf8))
    }
}

/// A message of a conversation.
public struct Message: Sendable, Hashable {
    public var role: Role
    /// What is said.
    public var content: String
    /// What the model thought before it said that.
    public var reasoning: String?
    /// What the model called.
    public var toolCalls: [ToolCall] = []
    /// In a tool's message: the call that it answers.
    public var toolCallID: String?

    public init(_ role: Role, _ content: String) {
        self.role = role
        self.content = content
    }

    public static func system(_ content: String) -> Message { Message(.system, content) }
    public static func user(_ content: String) -> Message { Message(.user, content) }
    public static func assistant(_ content: String) -> Message { Message(.assistant, content) }

    /// What a tool says.
    public static func tool(_ content: String, for call: ToolCall? = nil) -> Message {
        var message = Message(.tool, content)
        message.toolCallID = call?.id
        return message
    }
}

extension ToolCall: Codable {
    private enum Keys: String, CodingKey { case id, type, function }
    private struct Function: Codable {
        var name: String
        var arguments: String
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Keys.self)
        let function = try values.decode(Function.self, forKey: .function)
        self.init(id: try values.decodeIfPresent(String.self, forKey: .id), name: function.name, arguments: function.arguments)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Keys.self)
        try values.encodeIfPresent(id, forKey: .id)
        try values.encode("function", forKey: .type)
        try values.encode(Function(name: name, arguments: arguments), forKey: .function)
    }
}

extension Message: Codable {
    private enum Keys: String, CodingKey {
        case role, content
        case reasoning = "reasoning_content"
        case toolCalls = "tool_calls"
        case toolCallID = "tool_call_id"
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Keys.self)
        self.init(
            try values.decode(Role.self, forKey: .role), try values.decodeIfPresent(String.self, forKey: .content) ?? "")
        reasoning = try values.decodeIfPresent(String.self, forKey: .reasoning)
        toolCalls = try values.decodeIfPresent([ToolCall].self, forKey: .toolCalls) ?? []
        toolCallID = try values.decodeIfPresent(String.self, forKey: .toolCallID)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Keys.self)
        try values.encode(role, forKey: .role)
        try values.encode(content, forKey: .content)
        try values.encodeIfPresent(reasoning, forKey: .reasoning)
        if !toolCalls.isEmpty { try values.encode(toolCalls, forKey: .toolCalls) }
        try values.encodeIfPresent(toolCallID, forKey: .toolCallID)
    }
}

/// Something that a model may call.
public struct Tool: Sendable, Hashable {
    /// Its name, by which the model calls it.
    public var name: String
    /// What it does, in words for the model.
    public var description: String
    /// What it is called with: a JSON schema of an object.
    public var parameters: String

    public init(name: String, description: String, parameters: String) {
        self.name = name
        self.description = description
        self.parameters = parameters
    }

    /// Tools as the JSON array that C takes.
    static func json(_ tools: [Tool]) throws -> String {
        let list = try tools.map { tool in
            guard let schema = try? JSONSerialization.jsonObject(with: Data(tool.parameters.utf8)) else {
                throw BantamError(code: .argument, message: "the parameters of the tool \(tool.name) are no JSON schema")
            }
            return ["type": "function", "function": ["name": tool.name, "description": tool.description, "parameters": schema]]
                as [String: Any]
        }
        return String(decoding: try JSONSerialization.data(withJSONObject: list, options: .sortedKeys), as: UTF8.self)
    }
}
