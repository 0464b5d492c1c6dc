// A chat in a terminal: `swift run ChatExample MODEL`. It answers line by line until its input ends; Ctrl-C stops an answer.
import Bantam
import Dispatch
import Foundation

@main
struct ChatExample {
    static func main() async {
        guard CommandLine.arguments.count == 2 else {
            FileHandle.standardError.write(Data("usage: \(CommandLine.arguments[0]) MODEL\n".utf8))
            exit(2)
        }
        do {
            try await converse(with: CommandLine.arguments[1])
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
            exit(1)
        }
    }

    static func converse(with path: String) async throws {
        let model = try await Model.open(path: path)
        let chat = try await Chat.open(model, options: ChatOptions(system: "You answer in one sentence."))
        while let line = readLine() {
            let answer = Task {
                for try await event in chat.send(line) {
                    switch event {
                    case .text(let piece):
                        FileHandle.standardOutput.write(Data(piece.utf8))
                    case .done(let summary):
                        print("\n(\(summary.tokens) tokens, \(summary.confidence.meanLogprob) mean log-probability)")
                    }
                }
                // The stream of a task that was cancelled just ends.
                try Task.checkCancellation()
            }
            // Cancelling the task stops the model.
            let interrupt = DispatchSource.makeSignalSource(signal: SIGINT)
            signal(SIGINT, SIG_IGN)
            interrupt.setEventHandler { answer.cancel() }
            interrupt.resume()
            defer { interrupt.cancel() }
            do {
                try await answer.value
            } catch is CancellationError {
                print("\n(stopped)")
            }
        }
    }
}
