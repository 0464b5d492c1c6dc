// Adapters (LoRA): files that change a model by little.
import CBantam
import Foundation

/// An open adapter of a model, checked against it: ``Session/setAdapters(_:)`` has a session use it. Any number of tasks and sessions may share it.
public final class Adapter: Sendable {
    let handle: Handle
    /// Its greatest rank: what it counts for in ``SessionOptions/adapterRank``.
    public let rank: Int
    /// Matrices of the model that it adds to.
    public let matrices: Int
    /// Tells this adapter's file from another's.
    public let fingerprint: UInt64
    /// Multiplies what it adds, over the rank; nil if the file has none.
    public let alpha: Float?

    private init(_ handle: Handle) throws {
        var c = bantam_adapter_info.sized()
        try handle.call { bantam_adapter_get_info($0, &c, $1) }
        self.handle = handle
        rank = c.rank
        matrices = c.matrices
        fingerprint = c.fingerprint
        alpha = c.alpha == 0 ? nil : c.alpha
    }

    /// Opens the adapter at a path: a GGUF file, mapped in place. An error names the tensor that does not fit the model.
    public static func open(path: String, for model: Model, fileProtection: FileProtection = .refuse) async throws -> Adapter {
        try await open(for: model) { c, adapter, error in
            try fileProtection.check(path: path)
            return path.lend { bantam_adapter_open(c, $0, $1, adapter, error) }
        }
    }

    /// Opens the adapter at a URL.
    public static func open(at url: URL, for model: Model, fileProtection: FileProtection = .refuse) async throws -> Adapter {
        guard url.isFileURL else {
            throw BantamError(code: .argument, message: "the URL of an adapter has to be that of a file; download it first")
        }
        return try await open(path: url.path, for: model, fileProtection: fileProtection)
    }

    /// Opens `length` bytes of an open file from `offset` on, or all behind it. The descriptor may be closed afterwards.
    public static func open(fileDescriptor: Int32, offset: UInt64 = 0, length: UInt64 = 0, for model: Model) async throws -> Adapter {
        try await open(for: model) { bantam_adapter_open_fd($0, fileDescriptor, offset, length, $1, $2) }
    }

    /// Opens an adapter in memory, in place.
    public static func open(data: Data, for model: Model) async throws -> Adapter {
        let bytes = DataInMemory(data)
        let release = Release { withExtendedLifetime(bytes) {} }
        return try await open(for: model) { model, adapter, error in
            bantam_adapter_open_memory(model, bytes.pointer.baseAddress, bytes.pointer.count, Release.done, release.held(), adapter, error)
        }
    }

    private static func open(
        for model: Model,
        _ function: @escaping @Sendable (
            OpaquePointer, UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<bantam_error>
        ) throws -> bantam_status
    ) async throws -> Adapter {
        try await onThread {
            try model.handle.with { c in
                // What an adapter says in the log it says in its model's.
                try Adapter(Handle(keeps: [model], free: { bantam_adapter_free($0) }) { try function(c, $0, $1) })
            }
        }
    }
}

/// An adapter, and how much of it is added: 1 is what it was trained for, 0 nothing.
public struct ScaledAdapter: Sendable {
    public var adapter: Adapter
    public var scale: Float

    public init(_ adapter: Adapter, scale: Float = 1) {
        self.adapter = adapter
        self.scale = scale
    }
}
