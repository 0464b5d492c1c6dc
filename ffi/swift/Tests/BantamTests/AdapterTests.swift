// Adapters: opened from everywhere, set, listed and taken away.
import Bantam
import Foundation
import XCTest

final class AdapterTests: XCTestCase {
    private func logits(_ session: Session) async throws -> [Float] {
        try await session.prompt(france)
        return try await session.logits
    }

    func testASessionUsesAdaptersAtAScale() async throws {
        let model = try await demoModel()
        var options = SessionOptions(context: 64, threads: 2)
        options.adapterRank = 8
        let session = try await Session.open(model, options: options)
        let plain = try await logits(session)
        var adapter: Adapter? = try await Adapter.open(data: adapterFile(), for: model)
        let whole = ScaledAdapter(try XCTUnwrap(adapter))
        let half = ScaledAdapter(whole.adapter, scale: 0.5)
        XCTAssertEqual(whole.adapter.rank, 4)
        XCTAssertEqual(whole.adapter.matrices, 1)
        XCTAssertNil(whole.adapter.alpha)

        try await session.setAdapters([whole])
        let position = try await session.info.position
        XCTAssertEqual(position, 0)
        let with = try await logits(session)
        XCTAssertNotEqual(with, plain)
        try await session.setAdapters([half, half])
        let halves = try await logits(session)
        XCTAssertGreaterThan(Embedder.similarity(with, halves), 0.99)
        // What there is no room for changes nothing.
        await XCTAssertThrows(.argument) { try await session.setAdapters([half, half, half]) }
        let scales = await session.adapters.map(\.scale)
        XCTAssertEqual(scales, [0.5, 0.5])

        // Forks and copies have them as well.
        try await session.setAdapters([whole])
        _ = try await logits(session)
        let fork = try await session.fork()
        let copy = try await Session.open(model, options: options)
        try await copy.copy(from: session)
        adapter = nil
        for other in [fork, copy] {
            let theirs = try await other.logits
            XCTAssertEqual(theirs, with)
            let count = await other.adapters.count
            XCTAssertEqual(count, 1)
            try await other.rewind(to: 0)
            let again = try await logits(other)
            XCTAssertEqual(again, with)
        }
        try await session.setAdapters([])
        let without = try await logits(session)
        XCTAssertEqual(without, plain)
    }

    func testAnAdapterComesFromAnywhere() async throws {
        let model = try await demoModel()
        let file = temporaryFile("adapter")
        defer { try? FileManager.default.removeItem(at: file) }
        try adapterFile().write(to: file)
        let byURL = try await Adapter.open(at: file, for: model)
        try (Data(count: 4) + adapterFile()).write(to: file)
        let handle = try FileHandle(forReadingFrom: file)
        let byDescriptor = try await Adapter.open(fileDescriptor: handle.fileDescriptor, offset: 4, for: model)
        try handle.close()
        XCTAssertEqual(byURL.fingerprint, byDescriptor.fingerprint)
        await XCTAssertThrows(.notGGUF) { try await Adapter.open(at: file, for: model) }
        await XCTAssertThrows(.io) { try await Adapter.open(path: "no such file", for: model) }
        await XCTAssertThrows(.inconsistent) { try await Adapter.open(path: modelPath, for: model) }
        await XCTAssertThrows(.argument) { try await Adapter.open(at: try XCTUnwrap(URL(string: "https://example.org/a")), for: model) }
        let session = try await demoSession()
        await XCTAssertThrows(.argument) { try await session.setAdapters([ScaledAdapter(byURL)]) }
    }
}

/// An adapter of rank 4 for one matrix of the demo model.
private func adapterFile() -> Data {
    var data = Data("GGUF".utf8)
    func put<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { data.append(contentsOf: $0) }
    }
    func put(_ text: String) {
        put(UInt64(text.utf8.count))
        data.append(contentsOf: text.utf8)
    }
    put(UInt32(3))
    put(UInt64(2))
    put(UInt64(3))
    for (key, value) in [("general.type", "adapter"), ("general.architecture", "llama"), ("adapter.type", "lora")] {
        put(key)
        put(UInt32(8))
        put(value)
    }
    for (name, shape, offset) in [("lora_a", (576, 4), 0), ("lora_b", (4, 576), 4 * 4 * 576)] {
        put("blk.3.attn_q.weight." + name)
        put(UInt32(2))
        put(UInt64(shape.0))
        put(UInt64(shape.1))
        put(UInt32(0))
        put(UInt64(offset))
    }
    while data.count % 32 != 0 { data.append(0) }
    for i in 0..<2 * 4 * 576 { put((Float(i % 7) / 7 - 0.4).bitPattern) }
    return data
}
