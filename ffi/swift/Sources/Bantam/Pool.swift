// Threads that sessions share.
import CBantam

/// How important threads are to the system.
public enum Priority: Int32, Sendable, CaseIterable {
    /// After everything else.
    case low = -1
    /// As others.
    case normal = 0
    /// Before others.
    case medium = 1
    /// Long before others.
    case high = 2
}

/// Threads that several sessions take turns with. A session that is given none has its own.
public final class Pool: Sendable {
    let handle: Handle

    /// Starts threads: so many in all, the one that calls included; nil is ``Library/defaultThreads``.
    public init(threads: Int? = nil) throws {
        try Library.checkVersion()
        var options = bantam_pool_options.sized()
        options.threads = try countedOrDefault("threads", threads)
        handle = try Handle(free: { bantam_pool_free($0) }) { bantam_pool_new(&options, $0, $1) }
    }

    /// Uses so many threads from here on, at most as many as there are. Nothing that is computed changes.
    public func setThreads(_ threads: Int) throws {
        try handle.call { bantam_pool_set_threads($0, try counted("threads", threads, least: 1), $1) }
    }

    /// Changes how important the threads are, at once. Where threads have no priorities, that is ``BantamError/Code/unsupported``.
    public func setPriority(_ priority: Priority) throws {
        try handle.call { bantam_pool_set_priority($0, priority.rawValue, $1) }
    }
}
