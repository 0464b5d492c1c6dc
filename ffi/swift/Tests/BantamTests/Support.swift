// The demo model, where the tests find it, and what they ask of it.
import Bantam
import Foundation
import XCTest

/// The root of the repository.
let repository: URL = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<5 { url.deleteLastPathComponent() }
    return url
}()

let modelPath =
    ProcessInfo.processInfo.environment["BANTAM_TEST_MODEL"]
    ?? repository.appendingPathComponent("models/SmolLM2-135M-Instruct.Q4_1.gguf").path

private let opened = Task { try await Model.open(path: modelPath) }

/// The demo model, opened once. Without it the test is skipped.
func demoModel() async throws -> Model {
    guard FileManager.default.fileExists(atPath: modelPath) else {
        throw XCTSkip("skipped: there is no \(modelPath); make model fetches it")
    }
    return try await opened.value
}

func demoSession(context: Int = 256) async throws -> Session {
    try await Session.open(try await demoModel(), options: SessionOptions(context: context, threads: 2))
}

let france = "The capital of France is"

/// The most likely tokens, so many.
func greedy(_ maxTokens: Int) -> AnswerOptions {
    AnswerOptions(sampler: .greedy, maxTokens: maxTokens)
}

/// A file that is gone after the test.
func temporaryFile(_ name: String = "session") -> URL {
    FileManager.default.temporaryDirectory.appendingPathComponent("bantam-\(UUID().uuidString).\(name)")
}

/// That an error of this code comes.
func XCTAssertThrows<Value>(
    _ code: BantamError.Code, file: StaticString = #filePath, line: UInt = #line, _ body: () async throws -> Value
) async {
    do {
        _ = try await body()
        XCTFail("nothing was thrown instead of \(code.name)", file: file, line: line)
    } catch {
        XCTAssertEqual((error as? BantamError)?.code, code, "\(error)", file: file, line: line)
    }
}

/// Something that a test waits for, however long it takes.
struct Signal: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func send() {
        continuation.yield()
    }

    func wait() async {
        for await _ in stream { return }
    }
}
