// The package says what bantam.h says.
import CBantam
import XCTest

@testable import Bantam

final class HeaderTests: XCTestCase {
    /// The numbers of the header: `#define BANTAM_NAME 7`.
    private func numbers() throws -> [String: Int32] {
        let header = try String(contentsOf: repository.appendingPathComponent("include/bantam.h"), encoding: .utf8)
        var numbers: [String: Int32] = [:]
        for line in header.split(separator: "\n") where line.hasPrefix("#define BANTAM_") {
            let words = line.split(separator: " ")
            if words.count == 3, let number = Int32(words[2]) { numbers[String(words[1])] = number }
        }
        return numbers
    }

    func testPackageAndLibraryBelongTogether() throws {
        try Library.checkVersion()
        XCTAssertEqual(Library.abiVersion, UInt32(try XCTUnwrap(try numbers()["BANTAM_ABI_VERSION"])))
        XCTAssertFalse(Library.version.isEmpty)
        XCTAssertGreaterThan(Library.defaultThreads, 0)
        XCTAssertTrue(Library.backends.contains("scalar"), "\(Library.backends)")
        XCTAssertTrue(!Library.backends.contains("avx2") || Library.cpuFeatures.contains("avx2"), "\(Library.cpuFeatures)")
    }

    func testEveryStatusHasItsCode() throws {
        let codes: [String: BantamError.Code] = [
            "BANTAM_CANCELLED": .cancelled, "BANTAM_ARGUMENT": .argument, "BANTAM_IO": .io, "BANTAM_NOT_A_FILE": .notAFile,
            "BANTAM_NOT_GGUF": .notGGUF, "BANTAM_MALFORMED": .malformed, "BANTAM_INCONSISTENT": .inconsistent,
            "BANTAM_UNSUPPORTED": .unsupported, "BANTAM_CHANGED": .changed, "BANTAM_MEMORY": .memory,
            "BANTAM_CONTEXT_FULL": .contextFull, "BANTAM_SAVED": .saved, "BANTAM_GRAMMAR": .grammar,
            "BANTAM_TEMPLATE": .template, "BANTAM_HANDLE": .handle, "BANTAM_BUSY": .busy, "BANTAM_PANIC": .panic,
            "BANTAM_TOO_SMALL": .tooSmall, "BANTAM_STRUCT": .structSize, "BANTAM_STATE": .state,
        ]
        // A status is what the library has a name for.
        let statuses = try numbers().filter { name, number in String(cString: bantam_status_name(number)) == name }
        XCTAssertEqual(statuses.count, codes.count + 1)
        for (name, number) in statuses where name != "BANTAM_OK" {
            XCTAssertEqual(codes[name]?.rawValue, number, name)
            XCTAssertEqual(BantamError.Code(rawValue: number).name, name)
        }
        XCTAssertEqual(BantamError.Code(rawValue: 12345).name, "BANTAM_?")
    }

    func testEveryEnumerationHasTheNumbersOfTheHeader() throws {
        let stages: [String: Int32] = [
            "PENALTIES": 1, "DRY": 2, "TOP_N_SIGMA": 3, "TOP_K": 4, "TYPICAL_P": 5, "TOP_P": 6, "MIN_P": 7, "XTC": 8, "TEMPERATURE": 9,
        ]
        let expected: [String: [Int32]] = [
            "BANTAM_STOP_": [
                0, StopReason.end.rawValue, StopReason.stopToken.rawValue, StopReason.stopString.rawValue, StopReason.budget.rawValue,
                StopReason.complete.rawValue, StopReason.contextFull.rawValue, StopReason.cancelled.rawValue,
            ],
            "BANTAM_STAGE_": SamplerOptions.Stage.allCases.map { Int32($0.rawValue) },
            "BANTAM_KV_": KVFormat.allCases.map(\.rawValue),
            "BANTAM_PRIORITY_": Priority.allCases.map(\.rawValue),
            "BANTAM_POOLING_": [0] + Pooling.allCases.map(\.rawValue),
            "BANTAM_TRIM_": [1, 2],
            "BANTAM_GRAMMAR_": [1, 2, 3, 4, 5],
        ]
        let numbers = try numbers()
        for (prefix, values) in expected {
            XCTAssertEqual(numbers.filter { $0.key.hasPrefix(prefix) }.map(\.value).sorted(), values.sorted(), prefix)
        }
        for (name, number) in stages { XCTAssertEqual(numbers["BANTAM_STAGE_" + name], number, name) }
        XCTAssertEqual(Pooling.cls.rawValue, BANTAM_POOLING_CLS)
        XCTAssertEqual(Pooling.rank.rawValue, BANTAM_POOLING_RANK)
        XCTAssertEqual(KVFormat.q8.rawValue, BANTAM_KV_Q8_0)
        XCTAssertEqual(KVFormat.q4.rawValue, BANTAM_KV_Q4_0)
    }

    func testNumbersThatSwitchOffAreTold() throws {
        let lent = Lent()
        defer { withExtendedLifetime(lent) {} }
        let defaults = SamplerOptions().c(lent)
        XCTAssertEqual(defaults.temperature, 0)
        XCTAssertEqual(defaults.top_k, 0)
        XCTAssertNil(defaults.dry_breakers)
        var options = SamplerOptions(temperature: 0, topP: 0, topK: 0, minP: 0)
        options.dryAllowedLength = 0
        options.dryBreakers = []
        options.logitBias = [7: -1, 3: 2]
        options.stages = [.topK, .temperature]
        let c = options.c(lent)
        XCTAssertEqual(c.temperature, -1)
        XCTAssertEqual(c.top_k, -1)
        XCTAssertEqual(c.min_p, -1)
        XCTAssertGreaterThan(c.top_p, 0)
        XCTAssertEqual(c.dry_allowed_length, -1)
        // What looks back at no tokens does nothing; 0 is another number in C.
        for (last, penalty) in [(nil, 2), (-1, 2), (5, 2), (0, 0)] as [(Int?, Float)] {
            var options = SamplerOptions()
            (options.repeatLastN, options.dryLastN) = (last, last)
            (options.repeatPenalty, options.presencePenalty, options.frequencyPenalty, options.dryMultiplier) = (2, 2, 2, 2)
            let c = options.c(lent)
            XCTAssertEqual([c.repeat_penalty, c.presence_penalty, c.frequency_penalty, c.dry_multiplier], [penalty, penalty, penalty, penalty])
        }
        XCTAssertNotNil(c.dry_breakers)
        XCTAssertEqual(c.dry_breaker_count, 0)
        XCTAssertEqual(c.logit_bias[0].token, 3)
        XCTAssertEqual(c.stages[1], UInt32(BANTAM_STAGE_TEMPERATURE))
    }

    func testThePrivacyManifestComesWithThePackage() throws {
        let manifest = repository.appendingPathComponent("ffi/swift/Sources/Bantam/Resources/PrivacyInfo.xcprivacy")
        let list = try PropertyListSerialization.propertyList(from: Data(contentsOf: manifest), format: nil)
        let privacy = try XCTUnwrap(list as? [String: Any])
        XCTAssertEqual(privacy["NSPrivacyTracking"] as? Bool, false)
        XCTAssertEqual((privacy["NSPrivacyAccessedAPITypes"] as? [[String: Any]])?.count, 1)
    }
}
