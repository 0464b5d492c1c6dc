// Models: opened from everywhere, and what they tell of themselves.
import Bantam
import Foundation
import XCTest

final class ModelTests: XCTestCase {
    func testAModelTellsOfItself() async throws {
        let model = try await demoModel()
        let info = try model.info
        XCTAssertEqual(info.architecture, "llama")
        XCTAssertEqual(info.layers, 30)
        XCTAssertEqual(info.dimension, 576)
        XCTAssertEqual(info.vocabularySize, 49152)
        XCTAssertTrue(info.isFileBacked && info.hasChatTemplate)
        XCTAssertTrue(Library.backends.contains(info.backend))

        let keys = try model.metadataKeys
        XCTAssertTrue(keys.contains("general.architecture"))
        XCTAssertEqual(try model.metadata("general.architecture"), .text("llama"))
        XCTAssertEqual(try model.metadata("llama.block_count"), .integer(30))
        XCTAssertEqual(try model.metadata("tokenizer.ggml.tokens"), .array(count: 49152))
        XCTAssertEqual(try model.metadata("tokenizer.ggml.tokens", at: 0), .text("<|endoftext|>"))
        await XCTAssertThrows(.argument) { try model.metadata("no.such.key") }
        await XCTAssertThrows(.argument) { try model.metadata("tokenizer.ggml.tokens", at: -1) }

        let tensors = try model.tensors
        XCTAssertEqual(tensors.count, 272)
        XCTAssertTrue(tensors.allSatisfy { Library.backends.contains($0.kernels ?? "") })
        XCTAssertEqual(tensors.first { $0.name == "token_embd.weight" }?.shape, [576, 49152])

        let plan = try model.plan(SessionOptions(context: 128, threads: 1))
        XCTAssertEqual(plan.kvBytes, 2 * 30 * 3 * 64 * 128 * 2)
        XCTAssertEqual(plan.totalBytes, plan.kvBytes + plan.scratchBytes)

        try await model.warm()
        XCTAssertEqual(try model.residentBytes(), info.fileBytes)
    }

    func testTextGoesToTokensAndBack() async throws {
        let model = try await demoModel()
        for text in ["Größe 🐓 1234", "", "a\0b", "👩‍👩‍👧‍👦 e\u{301}"] {
            XCTAssertEqual(try model.detokenize(try model.tokenize(text)), text)
        }
        // What only looks like a control token is text, unless it is asked for.
        XCTAssertGreaterThan(try model.tokenize("<|im_end|>").count, 1)
        let end = try model.tokenize("<|im_end|>", parsingSpecial: true)
        XCTAssertEqual(end.count, 1)
        XCTAssertEqual(try model.detokenize(end), "")
        XCTAssertEqual(try model.detokenize(end, showingSpecial: true), "<|im_end|>")
        let token = try model.token(end[0])
        XCTAssertTrue(token.isControl && token.isEnd)
        XCTAssertEqual(token.bytes, Array("<|im_end|>".utf8))
        // More text than was reckoned with.
        let long = [UInt32](repeating: try XCTUnwrap(try longestToken(of: model)), count: 50)
        XCTAssertGreaterThan(try model.detokenize(long).utf8.count, 50 * 16 + 16)
    }

    private func longestToken(of model: Model) throws -> UInt32? {
        try (0..<UInt32(try model.info.vocabularySize)).first { token in
            let info = try model.token(token)
            return !info.isControl && info.bytes.count > 24
        }
    }

    func testAModelComesFromAnywhere() async throws {
        let fingerprint = try await demoModel().info.fingerprint
        let url = URL(fileURLWithPath: modelPath)
        let byURL = try await Model.open(at: url)
        XCTAssertEqual(try byURL.info.fingerprint, fingerprint)

        // Inside of a larger file, at an offset that no page begins at; the descriptor is closed behind it.
        let archive = temporaryFile("archive")
        defer { try? FileManager.default.removeItem(at: archive) }
        let data = try Data(contentsOf: url, options: .alwaysMapped)
        try (Data(count: 4100) + data + Data(count: 100)).write(to: archive)
        let file = try FileHandle(forReadingFrom: archive)
        let byDescriptor = try await Model.open(fileDescriptor: file.fileDescriptor, offset: 4100, length: UInt64(data.count))
        try file.close()
        XCTAssertEqual(try byDescriptor.info.fingerprint, fingerprint)

        let byData = try await Model.open(data: data)
        XCTAssertEqual(try byData.info.fingerprint, fingerprint)
        XCTAssertFalse(try byData.info.isFileBacked)
        let session = try await Session.open(byData, options: SessionOptions(context: 64, threads: 2))
        let (text, _) = try await session.answer(to: france, greedy(4)).collected()
        XCTAssertTrue(text.contains("Paris"), text)
    }

    func testOpeningAndWarmingTellHowFarTheyAre() async throws {
        let url = URL(fileURLWithPath: modelPath)
        let all = try XCTUnwrap(try url.resourceValues(forKeys: [.fileSizeKey]).fileSize)
        let (steps, told) = AsyncStream<[UInt64]>.makeStream()
        var options = ModelOptions()
        options.progress = { told.yield([$0, $1]) }
        let model = try await Model.open(parts: [.path(modelPath)], options: options)
        let fingerprint = try await demoModel().info.fingerprint
        XCTAssertEqual(try model.info.fingerprint, fingerprint)
        try await model.warm { told.yield([$0, $1]) }
        told.finish()
        var seen: [[UInt64]] = []
        for await step in steps { seen.append(step) }
        XCTAssertEqual(seen.first, [0, UInt64(all)])
        XCTAssertEqual(seen.filter { $0 == [UInt64(all), UInt64(all)] }.count, 2, "\(seen)")

        let file = try FileHandle(forReadingFrom: url)
        let byDescriptor = try await Model.open(parts: [.descriptor(file.fileDescriptor)])
        try file.close()
        XCTAssertEqual(try byDescriptor.info.fingerprint, fingerprint)
        // It is whole in one part.
        await XCTAssertThrows(.unsupported) { try await Model.open(parts: [.path(modelPath), .path(modelPath)]) }
        await XCTAssertThrows(.argument) { try await Model.open(parts: []) }
    }

    func testBytesAreReleasedWhenNobodyUsesThem() async throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: modelPath))
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: data.count, alignment: 64)
        defer { bytes.deallocate() }
        data.copyBytes(to: bytes)
        let released = Signal()
        var model: Model? = try await Model.open(bytes: UnsafeRawBufferPointer(bytes)) { released.send() }
        var session: Session? = try await Session.open(try XCTUnwrap(model), options: SessionOptions(context: 16, threads: 1))
        model = nil
        try await session?.prompt("still there")
        session = nil
        await released.wait()

        let refused = Signal()
        await XCTAssertThrows(.notGGUF) {
            try await Model.open(bytes: UnsafeRawBufferPointer(rebasing: bytes[4..<4096])) { refused.send() }
        }
        await refused.wait()
    }

    func testErrorsSayWhatIsWrong() async throws {
        await XCTAssertThrows(.io) { try await Model.open(path: "no such file") }
        await XCTAssertThrows(.notAFile) { try await Model.open(path: "/dev/null") }
        await XCTAssertThrows(.notGGUF) { try await Model.open(path: #filePath) }
        await XCTAssertThrows(.notGGUF) { try await Model.open(data: Data("no model at all, but long enough".utf8)) }
        await XCTAssertThrows(.argument) { try await Model.open(at: try XCTUnwrap(URL(string: "https://example.org/m.gguf"))) }
        await XCTAssertThrows(.argument) { try await Model.open(path: modelPath, options: ModelOptions(backend: "none")) }
        do {
            _ = try await Model.open(path: "no such file")
        } catch {
            XCTAssertTrue("\(error)".hasPrefix("BANTAM_IO: "), "\(error)")
        }
    }

    func testOpeningAndWarmingAreCancelled() async throws {
        let model = try await demoModel()
        for work: @Sendable () async throws -> Void in [
            { _ = try await Model.open(path: modelPath) },
            { try await model.warm() },
            { _ = try await Session.open(model) },
        ] {
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                try await work()
            }
            do {
                try await task.value
            } catch {
                XCTAssertTrue(error is CancellationError, "\(error)")
            }
        }
    }

    func testTheLogIsTheCallers() async throws {
        let model = try await Model.open(path: modelPath, options: ModelOptions { _ in })
        let session = try await Session.open(model, options: SessionOptions(context: 16, threads: 1))
        try await session.prompt(france)
    }
}
