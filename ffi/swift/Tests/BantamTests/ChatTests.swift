// Chats: turns, what becomes of those that fail, decoded answers, tools; and the scripted model in their place.
import Bantam
import Foundation
import XCTest

final class ChatTests: XCTestCase {
    private func demoChat(_ options: ChatOptions = ChatOptions(), context: Int = 1024) async throws -> Chat {
        try await Chat.open(
            try await demoModel(), options: options, session: SessionOptions(context: context, threads: 2))
    }

    func testAConversationGoesOn() async throws {
        let chat = try await demoChat(ChatOptions(system: "You answer in one sentence."))
        let (text, summary) = try await chat.send("What is the capital of France?", options: greedy(60)).collected()
        XCTAssertTrue(text.contains("Paris"), text)
        XCTAssertEqual(summary.stopReason, .end)
        XCTAssertEqual(summary.message, .assistant(text))
        let (_, second) = try await chat.send("And of Italy?", options: greedy(60)).collected()
        // What is held already is not read again.
        XCTAssertLessThan(second.promptTokens, summary.promptTokens)
        let count = try await chat.count
        XCTAssertEqual(count, 5)
        let rendered = try await chat.rendered()
        XCTAssertTrue(rendered.contains("one sentence") && rendered.contains("And of Italy?"))

        try await chat.reset()
        let (again, _) = try await chat.send("What is the capital of France?", options: greedy(60)).collected()
        XCTAssertEqual(again, text)
        let released = try await chat.trim(.scratch)
        XCTAssertGreaterThan(released, 0)
    }

    func testTurnsWaitForEachOther() async throws {
        let chat = try await demoChat()
        let streams = (0..<3).map { chat.send("Say the number \($0).", options: greedy(8)) }
        for stream in streams { _ = try await stream.collected() }
        let count = try await chat.count
        XCTAssertEqual(count, 6)
    }

    func testAnAnswerThatIsStoppedStays() async throws {
        let chat = try await demoChat()
        var options = greedy(900)
        options.ignoresEnd = true
        for try await event in chat.send("Count to a hundred.", options: options) {
            if case .text = event { break }
        }
        // The next turn comes behind it.
        let (text, _) = try await chat.send("What is the capital of France?", options: greedy(40)).collected()
        XCTAssertTrue(text.contains("Paris"), text)
        let count = try await chat.count
        XCTAssertEqual(count, 4)
    }

    func testATurnThatFailsLeavesNothing() async throws {
        let chat = try await demoChat(context: 64)
        let long = String(repeating: "word ", count: 100)
        await XCTAssertThrows(.contextFull) { try await chat.send(long).collected() }
        var options = greedy(4)
        options.constraint = .regex("(")
        let wrong = options
        await XCTAssertThrows(.grammar) { try await chat.send("Hello", options: wrong).collected() }
        let count = try await chat.count
        XCTAssertEqual(count, 0)
        await XCTAssertThrows(.template) { try await self.demoChat(ChatOptions(template: "{% if %}")) }
    }

    private struct River: Decodable {
        let name: String
        let length: Int
    }
    private let river = """
        {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "length": {"type": "integer", "minimum": 1,
        "maximum": 9999}}, "required": ["name", "length"], "additionalProperties": false}
        """

    func testAnswersAreDecoded() async throws {
        let chat = try await demoChat()
        let found = try await chat.send("Name a river and its length in km.", as: River.self, schema: river, options: greedy(80))
        XCTAssertFalse(found.name.isEmpty)
        XCTAssertTrue((1...9999).contains(found.length))
        do {
            _ = try await chat.send("Another one.", as: River.self, schema: river, options: greedy(3))
            XCTFail("three tokens are no river")
        } catch let error as IncompleteAnswer {
            XCTAssertEqual(error.summary.stopReason, .budget)
        }
    }

    func testToolsAreCalled() async throws {
        let weather = Tool(
            name: "weather", description: "The weather of a city",
            parameters: #"{"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}"#)
        let chat = try await demoChat(ChatOptions(tools: [weather]))
        var options = greedy(80)
        options.constraint = .tools(.required)
        let (_, summary) = try await chat.send("How is the weather in Rome?", options: options).collected()
        let call = try XCTUnwrap(summary.message?.toolCalls.first)
        XCTAssertEqual(call.name, "weather")
        let city = try XCTUnwrap(try call.arguments(as: [String: String].self)["city"])
        XCTAssertTrue(["Rome", "Oslo"].contains(city))
        let (answer, _) = try await chat.send(.tool(#"{"sky": "sunny"}"#, for: call), options: greedy(40)).collected()
        XCTAssertFalse(answer.isEmpty)
        let wrong = Tool(name: "wrong", description: "", parameters: "{")
        await XCTAssertThrows(.argument) { try await self.demoChat(ChatOptions(tools: [wrong])) }
    }

    func testMessagesAreThoseOfTheAPI() throws {
        var message = Message.assistant("said")
        message.reasoning = "thought"
        message.toolCalls = [ToolCall(id: "1", name: "f", arguments: "{\"a\":1}")]
        XCTAssertEqual(try JSONDecoder().decode(Message.self, from: JSONEncoder().encode(message)), message)
        let plain = try JSONDecoder().decode(Message.self, from: Data(#"{"role": "tool", "content": null, "tool_call_id": "1"}"#.utf8))
        XCTAssertEqual(plain, .tool("", for: message.toolCalls[0]))
    }
}

final class ScriptedModelTests: XCTestCase {
    func testItSaysItsLines() async throws {
        let call = ToolCall(id: "1", name: "clock", arguments: "{}")
        let model = ScriptedModel([
            "Good morning to you", .toolCalls([call]), .failure(BantamError(code: .contextFull)), .text(#"{"hour": 7}"#),
        ])
        var pieces: [String] = []
        for try await event in model.send("Hello") {
            if case .text(let piece) = event { pieces.append(piece) }
        }
        XCTAssertEqual(pieces, ["Good", " morning", " to", " you"])
        let (_, summary) = try await model.send("What time is it?").collected()
        XCTAssertEqual(summary.message?.toolCalls, [call])
        await XCTAssertThrows(.contextFull) { try await model.send("too long").collected() }
        let hour = try await model.send("And now?", as: [String: Int].self, schema: "{}")
        XCTAssertEqual(hour, ["hour": 7])
        await XCTAssertThrows(.state) { try await model.send("more").collected() }
        let messages = await model.messages
        XCTAssertEqual(messages.map(\.role), [.user, .assistant, .user, .assistant, .user, .assistant])
    }

    func testItIsStopped() async throws {
        let model: any LanguageModel = ScriptedModel([.hang("It goes on and"), "Then?"])
        // Cancelled before it began, it would take no line of the script.
        let begun = Signal()
        let task = Task {
            for try await _ in model.send("Tell me") { begun.send() }
            try Task.checkCancellation()
        }
        await begun.wait()
        task.cancel()
        do {
            try await task.value
            XCTFail("it ended")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
        let (text, _) = try await model.send("And").collected()
        XCTAssertEqual(text, "Then?")
        _ = try await model.trim(.scratch)
        try await model.reset()
    }
}
