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

    func testAModelThatRanksScoresQueriesWithDocuments() async throws {
        _ = try await encoder()
        let weights = (0..<384).map { Float($0 * 7 % 11 - 5) / 5 }
        let file = try Data(contentsOf: repository.appendingPathComponent("models/all-MiniLM-L6-v2.F16.gguf"))
        let model = try await Model.open(data: ranking(file, weights))
        let embedder = try await Embedder.open(model)
        XCTAssertEqual(embedder.dimension, 1)
        XCTAssertEqual(embedder.pooling, .rank)
        let (query, documents) = ("what do chickens feed on", ["Hens eat corn.", "Shares fell.", "The recipe needs flour."])
        let scores = try await embedder.scores(of: documents, for: query)
        XCTAssertEqual(Set(scores).count, 3)
        for (document, score) in zip(documents, scores) {
            let alone = try await embedder.scores(of: [document], for: query)
            XCTAssertEqual(alone[0], score, accuracy: 1e-3)
        }
        // The head reads the first token of a text.
        var plain = EmbedderOptions(pooling: Pooling.none)
        plain.normalizes = false
        let first = try await Embedder.open(model, options: plain).tokenVectors(of: query)[0]
        let score = try await embedder.embed(query)[0]
        XCTAssertEqual(zip(weights, first).reduce(0) { $0 + $1.0 * $1.1 }, score, accuracy: 1e-2)
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

    /// As with sessions: were a thread of Swift's pool blocked, the small task would come last.
    func testNothingBlocksTheCooperativePool() async throws {
        let model = try await encoder()
        let sentences = try sentences()
        let many = Array(repeating: sentences, count: 200).flatMap { $0 }
        let pool = try Pool(threads: 2)
        var readers: [Task<Int, any Error>] = []
        for _ in 0...ProcessInfo.processInfo.activeProcessorCount {
            let embedder = try await Embedder.open(model, options: EmbedderOptions(pool: pool))
            readers.append(Task { try await embedder.embed(many).count })
        }
        for _ in 0..<1000 { await Task { await Task.yield() }.value }
        readers.forEach { $0.cancel() }
        for reader in readers {
            switch await reader.result {
            case .success: XCTFail("all of it was computed before the small task was done")
            case .failure(let error): XCTAssertTrue(error is CancellationError, "\(error)")
            }
        }
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
        // Memory is given back between two calls, which make the same vector.
        let released = try await last.trim()
        XCTAssertTrue((1...last.totalBytes).contains(released))
        let again = try await last.embed("🐓 and a\0b")
        XCTAssertEqual(again, vector)
    }
}

/// The float of 16 bits; not every platform's Swift has its own type for them.
private func float(ofHalf bits: UInt16) -> Float {
    let sign: Float = bits >> 15 == 0 ? 1 : -1
    let (exponent, fraction) = (Int(bits >> 10 & 31), Float(bits & 1023))
    return sign * (exponent == 0 ? Float(sign: .plus, exponent: -24, significand: fraction) : Float(sign: .plus, exponent: exponent - 25, significand: 1024 + fraction))
}

/// The GGUF file of a bert with a head that scores: one more tensor, and a kind of pooling that says so.
private func ranking(_ file: Data, _ weights: [Float]) -> Data {
    func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }
    func aligned(_ count: Int) -> Int { (count + 31) / 32 * 32 }
    let from = [UInt8](file)
    var at = 8
    func number<Number: FixedWidthInteger>(_ type: Number.Type) -> Number {
        defer { at += MemoryLayout<Number>.size }
        return (0..<MemoryLayout<Number>.size).reduce(0) { $0 | Number(truncatingIfNeeded: from[at + $1]) << ($1 * 8) }
    }
    func text() -> String {
        let count = Int(number(UInt64.self))
        defer { at += count }
        return String(decoding: from[at..<at + count], as: UTF8.self)
    }
    func skip(_ type: UInt32) {
        switch type {
        case 8: _ = text()
        case 9:
            let kind = number(UInt32.self)
            for _ in 0..<number(UInt64.self) { skip(kind) }
        default: at += [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][Int(type)]
        }
    }
    let (tensors, entries) = (number(UInt64.self), number(UInt64.self))
    var pooling = 0
    for _ in 0..<entries {
        let key = text()
        let type = number(UInt32.self)
        if key == "bert.pooling_type" { pooling = at }
        skip(type)
    }
    for _ in 0..<tensors {
        _ = text()
        // Dimensions, type and offset.
        at += 8 * Int(number(UInt32.self)) + 12
    }
    var to = Array(from[..<at])
    to.replaceSubrange(8..<16, with: bytes(tensors + 1))
    to.replaceSubrange(pooling..<pooling + 4, with: bytes(UInt32(4)))
    let (name, data) = ("cls.output.weight", Array(from[aligned(at)...]))
    to += bytes(UInt64(name.utf8.count)) + name.utf8 + bytes(UInt32(2)) + bytes(UInt64(weights.count)) + bytes(UInt64(1)) + bytes(UInt32(0))
    to += bytes(UInt64(aligned(data.count)))
    to += [UInt8](repeating: 0, count: aligned(to.count) - to.count) + data
    to += [UInt8](repeating: 0, count: aligned(data.count) - data.count)
    for weight in weights { to += bytes(weight.bitPattern) }
    return Data(to)
}
