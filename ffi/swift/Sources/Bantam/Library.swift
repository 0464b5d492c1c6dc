// What the library is that this package runs on.
import CBantam
import Dispatch

/// The library.
public enum Library {
    /// Its version, "0.1.0".
    public static var version: String { String(cString: bantam_version()) }

    /// The version of its ABI; it has to be that of this package.
    public static var abiVersion: UInt32 { bantam_abi_version() }

    /// The backends that this CPU can run, the best first: "neon_dotprod".
    public static var backends: [String] { names(bantam_backend_name) }

    /// What this CPU has of what backends ask for: "avx2", "dotprod".
    public static var cpuFeatures: [String] { names(bantam_cpu_feature) }

    private static func names(_ name: (Int) -> UnsafePointer<CChar>?) -> [String] {
        var names: [String] = []
        while let next = name(names.count) { names.append(String(cString: next)) }
        return names
    }

    /// The number of threads that suits this machine: that of its fast cores.
    public static var defaultThreads: Int { bantam_threads_default() }

    /// The bytes that it has of its own: sessions, not the pages of models.
    public static var memoryUsed: Int { bantam_memory_used() }

    /// The most bytes that it had at once.
    public static var memoryPeak: Int { bantam_memory_peak() }

    /// Whether it renders chat templates: see ``Chat``.
    public static var hasChat: Bool { bantam_features() & UInt32(BANTAM_FEATURE_CHAT) != 0 }

    /// Whether it can hold answers to a grammar: see ``Grammar``.
    public static var hasGrammars: Bool { bantam_features() & UInt32(BANTAM_FEATURE_CONSTRAIN) != 0 }

    /// Throws if package and library do not belong together.
    static func checkVersion() throws {
        if abiVersion != UInt32(BANTAM_ABI_VERSION) {
            throw BantamError(
                code: .structSize,
                message: "the package was built for ABI \(BANTAM_ABI_VERSION), and the library has \(abiVersion); install the library of the package's version",
                detail: Int64(abiVersion))
        }
    }
}

/// Runs work that may take long on a thread of its own, as Swift's own pool of threads must never wait.
func onThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async { continuation.resume(with: Swift.Result(catching: work)) }
    }
}

/// The same, and cancelling the task cancels the work, which looks at the object that it is given.
func onThread<Result: Sendable>(cancelling work: @escaping @Sendable (Cancel) throws -> Result) async throws -> Result {
    let cancel = try Cancel()
    return try await withTaskCancellationHandler {
        try await onThread { try work(cancel) }
    } onCancel: {
        cancel.set()
    }
}

/// A switch that stops work in C. It is made anew for each piece of work, so that it never has to be taken back.
final class Cancel: Sendable {
    let handle: Handle

    init() throws {
        handle = try Handle(free: { bantam_cancel_free($0) }) { bantam_cancel_new($0, $1) }
    }

    func set() {
        _ = handle.with { bantam_cancel_set($0) }
    }
}
