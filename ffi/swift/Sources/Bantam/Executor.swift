// Where sessions and embedders run: each on a queue of its own, so that no thread of Swift's own pool ever waits for C.
import CBantam
import Dispatch

/// Runs the jobs of an actor one after another, on threads that may block.
final class QueueExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "bantam")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedSerialExecutor()
        queue.async { [self] in
            withExtendedLifetime(self) { job.runSynchronously(on: executor) }
        }
    }

    /// Waits for the job in progress, and lets no other run until ``release()``. It blocks no thread.
    func hold() async {
        await withCheckedContinuation { continuation in
            queue.async { [self] in
                // What is suspended from inside of a job is so from its end on.
                queue.suspend()
                continuation.resume()
            }
        }
    }

    func release() {
        queue.resume()
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }
}

/// An actor with an object of C that a switch can stop.
protocol Stoppable: Actor {
    nonisolated var handle: Handle { get }

    /// The function of C that lets a switch stop the object; NULL lets nothing.
    static func setCancel(_ object: OpaquePointer, _ cancel: OpaquePointer?, _ error: UnsafeMutablePointer<bantam_error>?) -> bantam_status
}

extension Stoppable {
    /// Makes a call that cancelling the task cancels.
    func cancellable(_ call: (OpaquePointer, UnsafeMutablePointer<bantam_error>) -> bantam_status) async throws {
        let cancel = try Cancel()
        try await withTaskCancellationHandler {
            // It runs here and not on Swift's pool, as it is the actor's own: what it captures says so.
            try self.handle.with { object in
                try cancel.handle.with { cancel in try check { Self.setCancel(object, cancel, $0) } }
                // What is left in the object when the task is gone must stop nothing else.
                defer { _ = Self.setCancel(object, nil, nil) }
                try check { call(object, $0) }
            }
        } onCancel: {
            cancel.set()
        }
    }
}
