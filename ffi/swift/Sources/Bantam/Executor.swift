// Where sessions and embedders run: each on a queue of its own, so that no thread of Swift's own pool ever waits for C.
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
