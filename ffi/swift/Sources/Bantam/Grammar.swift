// What answers have to look like.
import CBantam

/// What an answer has to look like.
public enum Constraint: Sendable {
    /// Any JSON value.
    case json
    /// JSON that a JSON schema accepts.
    case jsonSchema(String)
    /// Text that a regular expression matches from its beginning to its end.
    case regex(String)
    /// A grammar in the language of Lark.
    case lark(String)
    /// A grammar in llama.cpp's GBNF.
    case gbnf(String)
    /// One that was compiled before, with ``Model/grammar(_:)``.
    case compiled(Grammar)
    /// An answer of a ``Chat`` that may call its tools, with arguments that their schemas accept.
    case tools(ToolChoice)
}

/// What a model may do with its tools.
public enum ToolChoice: Sendable, Hashable {
    /// Call them, or answer.
    case auto
    /// Call one.
    case required
    /// Answer.
    case none
    /// Call this one.
    case tool(String)

    /// The word of APIs in OpenAI's style.
    var word: String {
        switch self {
        case .auto: "auto"
        case .required: "required"
        case .none: "none"
        case .tool(let name): name
        }
    }
}

/// What answers may look like, compiled for the vocabulary of one model. Any number of answers may follow it.
public final class Grammar: Sendable {
    let handle: Handle

    init(_ handle: Handle) {
        self.handle = handle
    }
}

extension Model {
    /// Compiles a grammar, for answers that follow it again and again. The first of a model takes longer than those that follow.
    public func grammar(_ constraint: Constraint) async throws -> Grammar {
        try await onThread { try self.compile(constraint) }
    }

    /// Compiles a grammar on this thread.
    func compile(_ constraint: Constraint) throws -> Grammar {
        let (kind, source): (Int32, String)
        switch constraint {
        case .json: (kind, source) = (BANTAM_GRAMMAR_JSON, "")
        case .jsonSchema(let text): (kind, source) = (BANTAM_GRAMMAR_JSON_SCHEMA, text)
        case .regex(let text): (kind, source) = (BANTAM_GRAMMAR_REGEX, text)
        case .lark(let text): (kind, source) = (BANTAM_GRAMMAR_LARK, text)
        case .gbnf(let text): (kind, source) = (BANTAM_GRAMMAR_GBNF, text)
        case .compiled(let grammar): return grammar
        case .tools: throw BantamError(code: .argument, message: "tools are a chat's: give this constraint to Chat.send")
        }
        return try handle.with { model in
            Grammar(
                try Handle(keeps: [self], free: { bantam_grammar_free($0) }) { grammar, error in
                    source.lend { bantam_grammar_new(model, kind, $0, $1, grammar, error) }
                })
        }
    }
}
