// Sessions: answers streamed and pulled, cancelled, kept and taken back.
import Bantam
import CBantam
import Foundation
import XCTest

final class SessionTests: XCTestCase {
    func testAnswersAreStreamed() async throws {
        let session = try await demoSession()
        var text = ""
        var summary: Summary?
        for try await event in session.answer(to: france, greedy(12)) {
            XCTAssertNil(summary, "nothing comes behind the end")
            switch event {
            case .text(let piece): text += piece
            case .done(let end): summary = end
            }
        }
        XCTAssertTrue(text.contains("Paris"), text)
        let end = try XCTUnwrap(summary)
        XCTAssertEqual(end.stopReason, .budget)
        XCTAssertEqual(end.tokens, 12)
        XCTAssertEqual(end.promptTokens, 5)
        XCTAssertNil(end.isComplete)
        XCTAssertGreaterThan(end.promptTime, .zero)
        XCTAssertLessThan(end.confidence.meanLogprob, 0)
        XCTAssertLessThanOrEqual(end.confidence.minLogprob, end.confidence.logprobQ10)

        // The same prompt costs nothing but its last token.
        let read = try await session.prompt(france)
        XCTAssertEqual(read, 1)
        var options = greedy(12)
        options.stop = ["no such text", "."]
        let (stopped, why) = try await session.answer(options).collected()
        XCTAssertEqual(why.stopReason, .stopString)
        XCTAssertEqual(why.stopIndex, 1)
        XCTAssertTrue(text.hasPrefix(stopped) && !stopped.contains("."))
    }

    func testAnswersArePulled() async throws {
        let session = try await demoSession()
        await XCTAssertThrows(.state) { try await session.begin() }
        await XCTAssertThrows(.state) { try await session.next() }
        try await session.prompt(france)
        try await session.begin(greedy(4))
        var pieces: [Piece] = []
        repeat { pieces.append(try await session.next()) } while pieces.last?.stopReason == nil
        XCTAssertEqual(pieces.count, 4)
        XCTAssertTrue(pieces.map(\.text).joined().contains("Paris"))
        XCTAssertTrue(pieces.allSatisfy { $0.token != nil && $0.logprob <= 0 })
        await XCTAssertThrows(.state) { try await session.next() }
    }

    func testCancellingTheTaskStopsTheAnswer() async throws {
        let session = try await demoSession(context: 2048)
        var endless = greedy(2000)
        endless.ignoresEnd = true
        let options = endless
        let began = Signal()
        let task = Task {
            for try await _ in session.answer(to: france, options) { began.send() }
        }
        await began.wait()
        task.cancel()
        _ = await task.result
        // What was answered is held, and the session goes on.
        while try await session.summary.stopReason == nil { await Task.yield() }
        let reason = try await session.summary.stopReason
        XCTAssertEqual(reason, .cancelled)
        let (text, _) = try await session.answer(to: france, greedy(4)).collected()
        XCTAssertTrue(text.contains("Paris"), text)
    }

    func testWhoStopsReadingStopsTheAnswer() async throws {
        let session = try await demoSession(context: 2048)
        var options = greedy(2000)
        options.ignoresEnd = true
        for try await _ in session.answer(to: france, options) { break }
        while try await session.summary.stopReason == nil { await Task.yield() }
        let summary = try await session.summary
        XCTAssertEqual(summary.stopReason, .cancelled)
        XCTAssertLessThan(summary.tokens, 2000)
    }

    func testATaskThatIsCancelledAlreadyReadsNothing() async throws {
        let session = try await demoSession()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await session.prompt(france)
        }
        do {
            _ = try await task.value
            XCTFail("it was read")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
        let position = try await session.info.position
        XCTAssertEqual(position, 0)
        let read = try await session.prompt(france)
        XCTAssertEqual(read, 5)
    }

    func testAnAnswerThatIsTakenOverSaysSo() async throws {
        let session = try await demoSession(context: 2048)
        var options = greedy(2000)
        options.ignoresEnd = true
        let began = Signal()
        let stream = session.answer(to: france, options)
        let task = Task {
            for try await _ in stream { began.send() }
        }
        await began.wait()
        try await session.prompt("Something else")
        try await session.begin(greedy(1))
        await XCTAssertThrows(.state) { try await task.value }
        let piece = try await session.next()
        XCTAssertEqual(piece.stopReason, .budget)
    }

    /// More sessions read at once than Swift's pool has threads; were one of those blocked, the small task would come last.
    func testNothingBlocksTheCooperativePool() async throws {
        let model = try await demoModel()
        let text = String(repeating: "One thing leads to another. ", count: 300)
        let count = ProcessInfo.processInfo.activeProcessorCount + 1
        let pool = try Pool(threads: 2)
        var options = SessionOptions(context: 2000, pool: pool)
        options.batch = 32
        var readers: [Task<Int, any Error>] = []
        for _ in 0..<count {
            let session = try await Session.open(model, options: options)
            readers.append(Task { try await session.prompt(text) })
        }
        for _ in 0..<1000 { await Task { await Task.yield() }.value }
        readers.forEach { $0.cancel() }
        for reader in readers {
            switch await reader.result {
            case .success: XCTFail("the prompt was read before the small task was done")
            case .failure(let error): XCTAssertTrue(error is CancellationError, "\(error)")
            }
        }
    }

    func testSessionsAreKeptAndTakenBack() async throws {
        let session = try await demoSession()
        try await session.prompt(france)
        let info = try await session.info
        XCTAssertEqual(info.position, 5)
        XCTAssertTrue(info.hasLogits)
        let fork = try await session.fork()
        let data = try await session.saved()
        XCTAssertEqual(data.count, info.savedBytes)
        let file = temporaryFile()
        defer { try? FileManager.default.removeItem(at: file) }
        try await session.save(to: file)

        let (text, _) = try await session.answer(greedy(8)).collected()
        let (forked, _) = try await fork.answer(greedy(8)).collected()
        XCTAssertEqual(forked, text)
        try await session.restore(from: data)
        let (restored, _) = try await session.answer(greedy(8)).collected()
        XCTAssertEqual(restored, text)
        try await session.restore(from: file)
        let (again, _) = try await session.answer(greedy(8)).collected()
        XCTAssertEqual(again, text)

        var damaged = data
        damaged[damaged.count / 2] ^= 1
        let wrong = damaged
        await XCTAssertThrows(.saved) { try await session.restore(from: wrong) }
        await XCTAssertThrows(.saved) { try await session.restore(from: Data()) }

        try await session.prompt(france)
        try await session.rewind(to: 3)
        let tokens = try await session.tokens
        XCTAssertEqual(tokens.count, 3)
        try await session.prefill(Array(try session.model.tokenize(france)[3...]))
        let (rewound, _) = try await session.answer(greedy(8)).collected()
        XCTAssertEqual(rewound, text)
        await XCTAssertThrows(.argument) { try await session.rewind(to: 100) }
        await XCTAssertThrows(.contextFull) { try await session.prompt(String(repeating: "word ", count: 300)) }
    }

    func testMemoryIsGivenBackInTheMiddleOfAnAnswer() async throws {
        let session = try await demoSession()
        let (text, _) = try await session.answer(to: france, greedy(8)).collected()
        let file = temporaryFile()
        for trim in [Trim.scratch, .all(spillingTo: file)] {
            try await session.prompt(france)
            try await session.begin(greedy(8))
            var answer = ""
            for _ in 0..<4 { answer += try await session.next().text }
            let released = try await session.trim(trim)
            XCTAssertGreaterThan(released, 0)
            let isTrimmed = try await session.info.isTrimmed
            XCTAssertEqual(isTrimmed, trim != .scratch)
            for _ in 0..<4 { answer += try await session.next().text }
            XCTAssertEqual(answer, text)
        }
        XCTAssertFalse(FileManager.default.fileExists(atPath: file.path))
    }

    func testTokensAreChosenByHand() async throws {
        let session = try await demoSession()
        try await session.prompt(france)
        var options = SamplerOptions.greedy
        options.topLogprobs = 5
        let sampler = try Sampler(for: session.model, options)
        let choice = try await session.sample(sampler)
        let top = try await session.topLogprobs()
        XCTAssertEqual(top.count, 5)
        XCTAssertEqual(top[0].token, choice.token)
        let logits = try await session.logits
        XCTAssertEqual(logits.count, 49152)
        XCTAssertEqual(logits[Int(choice.token)], logits.max())
        options.logitBias = [choice.token: -.infinity]
        let other = try await session.sample(try Sampler(for: session.model, options))
        XCTAssertNotEqual(other.token, choice.token)
        try await session.decode(choice.token)
        let tokens = try await session.tokens
        XCTAssertEqual(tokens.last, choice.token)
        try await session.shift(keep: 1, discard: 2)
        try sampler.reset()
    }

    func testSeveralSessionsDecodeAtOnce() async throws {
        let model = try await demoModel()
        var options = SessionOptions(context: 64, threads: 2)
        options.togetherMax = 3
        options.rewindMax = 32
        let sampler = try Sampler(for: model, .greedy)
        var alone: [[UInt32]] = []
        var sessions: [Session] = []
        for prompt in [france, "The capital of Italy is", "Two and two make"] {
            let session = try await Session.open(model, options: options)
            try await session.prompt(prompt)
            let fork = try await session.fork()
            var tokens: [UInt32] = []
            for _ in 0..<6 {
                tokens.append(try await fork.sample(sampler).token)
                try await fork.decode(try XCTUnwrap(tokens.last))
            }
            alone.append(tokens)
            sessions.append(session)
        }
        var together = alone.map { _ in [UInt32]() }
        for _ in 0..<6 {
            var step: [(session: Session, token: UInt32)] = []
            for (i, session) in sessions.enumerated() {
                let token = try await session.sample(sampler).token
                together[i].append(token)
                step.append((session, token))
            }
            try await Session.decodeTogether(step)
        }
        XCTAssertEqual(together, alone)
        try await Session.decodeTogether([])
        await XCTAssertThrows(.busy) { try await Session.decodeTogether([(sessions[0], 1), (sessions[0], 2)]) }
        let all = sessions
        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await Session.decodeTogether(all.map { ($0, 1) })
        }
        switch await cancelled.result {
        case .success: XCTFail("it was read")
        case .failure(let error): XCTAssertTrue(error is CancellationError, "\(error)")
        }
        // Whoever works with several at once waits for the others, in whatever order they are named.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for i in 0..<30 {
                group.addTask { try await Session.decodeTogether((i % 2 == 0 ? all : all.reversed()).prefix(2).map { ($0, 1) }) }
                group.addTask { try await all[1].copy(from: all[2]) }
                group.addTask { _ = try await all[i % 3].info }
            }
            try await group.waitForAll()
        }
    }

    func testThreadsAreShared() async throws {
        let pool = try Pool(threads: 2)
        let model = try await demoModel()
        let options = SessionOptions(context: 64, kvFormat: .q8, pool: pool)
        let sessions = [try await Session.open(model, options: options), try await Session.open(model, options: options)]
        let texts = try await withThrowingTaskGroup(of: String.self) { group in
            for session in sessions { group.addTask { try await session.answer(to: france, greedy(6)).collected().text } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        XCTAssertEqual(texts[0], texts[1])
        XCTAssertTrue(texts[0].contains("Paris"), texts[0])
        try pool.setThreads(1)
        try await sessions[0].setThreads(2)
        await XCTAssertThrows(.argument) { try pool.setThreads(3) }
    }

    func testANegativeNumberIsAnErrorThatSaysWhich() async throws {
        let model = try await demoModel()
        func wrong(_ what: String, line: UInt = #line, _ body: () async throws -> Void) async {
            do {
                try await body()
                XCTFail("nothing was thrown", line: line)
            } catch {
                let error = error as? BantamError
                XCTAssertEqual(error?.code, .argument, "\(String(describing: error))", line: line)
                XCTAssertTrue(error?.message.hasPrefix("\(what) is ") ?? false, error?.message ?? "", line: line)
            }
        }
        for (what, change) in [
            ("context", { $0.context = -1 }), ("context", { $0.context = 0 }), ("batch", { $0.batch = -1 }), ("draftMax", { $0.draftMax = -1 }),
            ("threads", { $0.threads = -1 }), ("togetherMax", { $0.togetherMax = -1 }), ("adapterRank", { $0.adapterRank = -1 }),
            ("rewindMax", { $0.rewindMax = -1 }),
        ] as [(String, (inout SessionOptions) -> Void)] {
            var options = SessionOptions()
            change(&options)
            let changed = options
            await wrong(what) { _ = try model.plan(changed) }
            await wrong(what) { _ = try await Session.open(model, options: changed) }
        }
        await wrong("context") { _ = try model.plan(EmbedderOptions(context: -1)) }
        await wrong("threads") { _ = try Pool(threads: -1) }
        let session = try await demoSession()
        try await session.prompt(france)
        await wrong("maxTokens") { try await session.begin(greedy(-1)) }
        // A budget that is used up is not the same as none.
        await wrong("maxTokens") { try await session.begin(greedy(0)) }
        await wrong("position") { try await session.rewind(to: -1) }
        await wrong("keep") { try await session.shift(keep: -1, discard: 1) }
        await wrong("discard") { try await session.shift(keep: 1, discard: -1) }
        await wrong("threads") { try await session.setThreads(-1) }
        let position = try await session.info.position
        XCTAssertEqual(position, 5)
        let chat = try await Chat.make(in: session)
        await wrong("count") { try await chat.truncate(to: -1) }
    }

    func testAnswersHoldToGrammars() async throws {
        let session = try await demoSession()
        var options = greedy(20)
        options.constraint = .regex("(Rome|Berlin), [0-9]{4}")
        let (text, summary) = try await session.answer(to: france, options).collected()
        XCTAssertNotNil(text.wholeMatch(of: /(Rome|Berlin), [0-9]{4}/), text)
        XCTAssertEqual(summary.isComplete, true)
        options.constraint = .compiled(try await session.model.grammar(.json))
        let (json, _) = try await session.answer(to: "JSON: ", options).collected()
        XCTAssertFalse(json.isEmpty)
        await XCTAssertThrows(.grammar) { try await session.model.grammar(.jsonSchema("{")) }
        await XCTAssertThrows(.grammar) { try await session.model.grammar(.regex("(")) }
        await XCTAssertThrows(.argument) { try await session.model.grammar(.tools(.auto)) }
    }

    func testSessionsAreOpenedAndClosed() async throws {
        let model = try await demoModel()
        func use() async throws {
            let chat = try await Chat.open(model, session: SessionOptions(context: 64, threads: 1))
            _ = try await chat.send("Hello", options: greedy(1)).collected()
            _ = try await chat.session.fork().saved()
        }
        try await use()
        let used = bantam_memory_used()
        for _ in 0..<50 { try await use() }
        // The last jobs of an actor may end behind its last call.
        for _ in 0..<10_000 where bantam_memory_used() > used { await Task.yield() }
        XCTAssertLessThanOrEqual(bantam_memory_used(), used)
        await XCTAssertThrows(.memory) { try await Session.open(model, options: SessionOptions(context: 1 << 40)) }
    }
}
