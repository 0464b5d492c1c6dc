// Where sessions run: each on a queue of its own, so that no thread of Swift's own pool ever waits for C.
import Dispatch

/// Runs the jobs of an actor one after another, on threads that may block.
final class QueueExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "bantam.session")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedSerialExecutor()
        queue.async { [self] in
            withExtendedLifetime(self) { job.runSynchronously(on: executor) }
        }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }
}
