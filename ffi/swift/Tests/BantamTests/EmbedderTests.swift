// Embedders: vectors beside those of sentence-transformers, scores, and being stopped.
import Bantam
import Foundation
import XCTest

final class EmbedderTests: XCTestCase {
    /// all-MiniLM-L6-v2. Without it the test is skipped.
    private func encoder() async throws -> Model {
        let path = repository.appendingPathComponent("models/all-MiniLM-L6-v2.F16.gguf").path
        guard FileManager.default.fileExists(atPath: path) else {
            throw XCTSkip("skipped: there is no \(path); make minilm writes it")
        }
        return try await Model.open(path: path)
    }

    private func sentences() throws -> [String] {
        let file = repository.appendingPathComponent("tests/golden/embeddings/sentences.txt")
        return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    func testVectorsAreThoseOfSentenceTransformers() async throws {
        let model = try await encoder()
        let embedder = try await Embedder.open(model, options: EmbedderOptions(threads: 2))
        XCTAssertEqual(embedder.dimension, 384)
        XCTAssertEqual(embedder.pooling, .mean)
        XCTAssertEqual(embedder.totalBytes, try model.plan(EmbedderOptions(threads: 2)).totalBytes)
        let sentences = try sentences()
        let vectors = try await embedder.embed(sentences)
        XCTAssertEqual(vectors.count, 100)
        let halves = [UInt8](try Data(contentsOf: repository.appendingPathComponent("tests/golden/embeddings/minilm.f16")))
        for (i, vector) in vectors.enumerated() {
            let expected = (0..<384).map { float(ofHalf: UInt16(halves[2 * (384 * i + $0)]) | UInt16(halves[2 * (384 * i + $0) + 1]) << 8) }
            XCTAssertGreaterThan(Embedder.similarity(vector, expected), 0.9999, sentences[i])
            XCTAssertEqual(vector.reduce(0) { $0 + $1 * $1 }, 1, accuracy: 1e-3)
        }
        for i in [0, 13, 99] {
            let alone = try await embedder.embed(sentences[i])
            XCTAssertGreaterThan(Embedder.similarity(alone, vectors[i]), 0.99999)
        }
        let none = try await embedder.embed([])
        XCTAssertEqual(none, [])
        // What means the same is nearer.
        let scores = try await embedder.scores(of: Array(sentences.prefix(4)), for: "What does the hen do?")
        XCTAssertEqual(scores.count, 4)
        XCTAssertTrue(scores[0] > scores[2] && scores[1] > scores[3], "\(scores)")
    }

    func testTextsThatAreTooLongAreErrorsOrCutOff() async throws {
        let pool = try Pool(threads: 1)
        let embedder = try await Embedder.open(try await encoder(), options: EmbedderOptions(context: 16, pool: pool))
        let long = String(repeating: "a hen ", count: 100)
        await XCTAssertThrows(.contextFull) { try await embedder.embed(["short", long]) }
        let cut = try await embedder.embed(long, truncating: true)
        let shorter = try await embedder.embed(String(repeating: "a hen ", count: 50), truncating: true)
        XCTAssertEqual(cut, shorter)
        await XCTAssertThrows(.argument) { try await embedder.tokenVectors(of: "a") }
    }

    func testCancellingTheTaskStopsIt() async throws {
        let embedder = try await Embedder.open(try await encoder())
        let sentences = try sentences()
        let many = Array(repeating: sentences, count: 200).flatMap { $0 }
        let task = Task { try await embedder.embed(many) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        switch await task.result {
        case .success: XCTFail("all of it was computed")
        case .failure(let error): XCTAssertTrue(error is CancellationError, "\(error)")
        }
        let vectors = try await embedder.embed(Array(sentences.prefix(3)))
        XCTAssertEqual(vectors.count, 3)
    }

    func testAChatModelMakesVectorsIfItIsToldHow() async throws {
        let model = try await demoModel()
        await XCTAssertThrows(.unsupported) { try await Embedder.open(model) }
        await XCTAssertThrows(.argument) { try await Embedder.open(model, options: EmbedderOptions(pooling: .rank)) }
        var options = EmbedderOptions(context: 64, pooling: Pooling.none, threads: 1)
        options.normalizes = false
        let embedder = try await Embedder.open(model, options: options)
        let vectors = try await embedder.tokenVectors(of: "A hen sits on her eggs.")
        XCTAssertEqual(vectors.count, try model.tokenize("A hen sits on her eggs.").count)
        XCTAssertTrue(vectors.allSatisfy { $0.count == 576 && $0.reduce(0) { $0 + $1 * $1 } > 2 })
        await XCTAssertThrows(.argument) { try await embedder.embed("a") }
        let last = try await Embedder.open(model, options: EmbedderOptions(context: 64, pooling: .last, threads: 1))
        let vector = try await last.embed("🐓 and a\0b")
        XCTAssertEqual(vector.count, 576)
    }
}

/// The float of 16 bits; not every platform's Swift has its own type for them.
private func float(ofHalf bits: UInt16) -> Float {
    let sign: Float = bits >> 15 == 0 ? 1 : -1
    let (exponent, fraction) = (Int(bits >> 10 & 31), Float(bits & 1023))
    return sign * (exponent == 0 ? Float(sign: .plus, exponent: -24, significand: fraction) : Float(sign: .plus, exponent: exponent - 25, significand: 1024 + fraction))
}
