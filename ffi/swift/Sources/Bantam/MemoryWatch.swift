// Gives memory back when an app on iOS is warned, or goes into the background.
#if canImport(UIKit) && !os(watchOS)
import Foundation
import UIKit

/// Has a conversation give memory back: scratch memory at a warning, all of it when the app goes into the background, as the system ends large
/// apps there first. The next message takes it again.
///
/// Keep it as long as the conversation. An answer in progress goes on after a trim, so stop it if the app cannot go on in the background.
@MainActor
public final class MemoryWatch {
    private let observers: Observers

    /// Watches for `model`. In the background keys and values are written to `file`, by default one of its own among the app's temporary files.
    public init(_ model: any LanguageModel, spillingTo file: URL? = nil) {
        let file = file ?? FileManager.default.temporaryDirectory.appendingPathComponent("bantam-\(UUID().uuidString).session")
        let center = NotificationCenter.default
        let warned = center.addObserver(
            forName: UIApplication.didReceiveMemoryWarningNotification, object: nil, queue: .main
        ) { _ in
            Task { try? await model.trim(.scratch) }
        }
        let hidden = center.addObserver(forName: UIApplication.didEnterBackgroundNotification, object: nil, queue: .main) { _ in
            MainActor.assumeIsolated {
                // The system waits for the end of this, or ends the wait.
                let application = UIApplication.shared
                let work = Task { try? await model.trim(.all(spillingTo: file)) }
                let background = application.beginBackgroundTask { work.cancel() }
                Task {
                    _ = await work.value
                    application.endBackgroundTask(background)
                }
            }
        }
        observers = Observers([warned, hidden])
    }
}

/// What the notification centre knows of a watch: it is only kept, and handed back at the end.
private final class Observers: @unchecked Sendable {
    private let tokens: [any NSObjectProtocol]

    init(_ tokens: [any NSObjectProtocol]) {
        self.tokens = tokens
    }

    deinit {
        tokens.forEach { NotificationCenter.default.removeObserver($0) }
    }
}
#endif
