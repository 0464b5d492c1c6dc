// Texts that become vectors, or scores.
import CBantam

/// How texts become vectors.
public enum Pooling: Int32, Sendable, CaseIterable {
    /// Every token has a vector of its own: see ``Embedder/tokenVectors(of:truncating:)``.
    case none = 1
    /// A text's vector is the mean of those of its tokens.
    case mean = 2
    /// It is that of the first token.
    case cls = 3
    /// It is that of the last token.
    case last = 4
    /// The model's head scores how well a document answers a query: see ``Embedder/scores(of:for:truncating:)``.
    case rank = 5
}

/// How to open an embedder.
public struct EmbedderOptions: Sendable {
    /// The most tokens of a text; nil is what the model reads, up to 2048.
    public var context: Int?
    /// How texts become vectors; nil is what the model's file says.
    public var pooling: Pooling?
    /// Brings vectors to length 1, so that the sum of the products of two is a cosine. Scores stay as they are.
    public var normalizes = true
    /// Threads of the embedder's own; nil is ``Library/defaultThreads``. Without meaning beside `pool`.
    public var threads: Int?
    /// Threads that it shares with others.
    public var pool: Pool?

    public init(context: Int? = nil, pooling: Pooling? = nil, threads: Int? = nil, pool: Pool? = nil) {
        self.context = context
        self.pooling = pooling
        self.threads = threads
        self.pool = pool
    }

    /// Lends the struct of C.
    func lend<Result>(_ body: (UnsafePointer<bantam_embedder_options>) throws -> Result) throws -> Result {
        var c = bantam_embedder_options.sized()
        c.context = try countedOrDefault("context", context)
        c.pooling = pooling?.rawValue ?? BANTAM_POOLING_DEFAULT
        c.keep_length = normalizes ? 0 : 1
        c.threads = try countedOrDefault("threads", threads)
        return try (pool?.handle).with { pool in
            c.pool = pool
            return try body(&c)
        }
    }
}

/// Makes vectors of texts: texts that mean the same get vectors that point the same way.
///
/// It is an actor on a queue of its own, as a ``Session`` is. Cancelling the task that called it stops it within milliseconds.
public actor Embedder: Stoppable {
    /// The model.
    public nonisolated let model: Model
    /// Values of a vector; with ``Pooling/rank`` how many labels the model's head scores.
    public nonisolated let dimension: Int
    /// The most tokens of a text.
    public nonisolated let context: Int
    /// How texts become vectors.
    public nonisolated let pooling: Pooling
    /// Bytes of memory.
    public nonisolated let totalBytes: Int
    let handle: Handle
    private let executor = QueueExecutor()

    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        executor.asUnownedSerialExecutor()
    }

    private init(_ handle: Handle, model: Model) throws {
        var c = bantam_embedder_info.sized()
        try handle.call { bantam_embedder_get_info($0, &c, $1) }
        self.handle = handle
        self.model = model
        dimension = c.dim
        context = c.context
        pooling = Pooling(rawValue: c.pooling) ?? .none
        totalBytes = c.total_bytes
    }

    /// Opens an embedder, and has all the memory that it computes in.
    public static func open(_ model: Model, options: EmbedderOptions = EmbedderOptions()) async throws -> Embedder {
        try await onThread {
            try options.lend { options in
                try model.handle.with { c in
                    let handle = try Handle(keeps: [model], free: { bantam_embedder_free($0) }) { bantam_embedder_open(c, options, $0, $1) }
                    return try Embedder(handle, model: model)
                }
            }
        }
    }

    /// Makes a vector of each text. Several texts go through the model at once, so many in one call are faster than as many calls. A text of more
    /// tokens than ``context`` is ``BantamError/Code/contextFull``, unless `truncating` cuts it off.
    public func embed(_ texts: [String], truncating: Bool = false) async throws -> [[Float]] {
        guard pooling != .none else {
            throw BantamError(code: .argument, message: "without pooling every token has a vector: call tokenVectors(of:)")
        }
        return try await vectors(of: texts.map { ($0, nil) }, truncating: truncating)
    }

    /// Makes a vector of one text.
    public func embed(_ text: String, truncating: Bool = false) async throws -> [Float] {
        try await embed([text], truncating: truncating)[0]
    }

    /// The vector of each token of a text, with ``Pooling/none``.
    public func tokenVectors(of text: String, truncating: Bool = false) async throws -> [[Float]] {
        guard pooling == .none else {
            throw BantamError(code: .argument, message: "tokens have vectors of their own with Pooling.none only: call embed(_:)")
        }
        return try await vectors(of: [(text, nil)], truncating: truncating)
    }

    /// How well each document answers a query, the more the better. A model with ``Pooling/rank`` reads them together, and its first label is the
    /// score; any other compares vectors, by the cosine.
    public func scores(of documents: [String], for query: String, truncating: Bool = false) async throws -> [Float] {
        if pooling == .rank {
            return try await vectors(of: documents.map { (query, $0) }, truncating: truncating).map { $0[0] }
        }
        var vectors = try await embed(documents + [query], truncating: truncating)
        let query = vectors.removeLast()
        return vectors.map { Embedder.similarity($0, query) }
    }

    /// The cosine of the angle between two vectors of one model: 1 for the same direction, 0 for none in common.
    public static func similarity(_ a: [Float], _ b: [Float]) -> Float {
        precondition(a.count == b.count, "the vectors are of two models")
        var (product, ofA, ofB) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            product += Double(x) * Double(y)
            ofA += Double(x) * Double(x)
            ofB += Double(y) * Double(y)
        }
        return ofA == 0 || ofB == 0 ? 0 : Float(product / (ofA * ofB).squareRoot())
    }

    /// Gives the memory that texts are read in back to the system, when an app goes into the background or is warned that memory is short. The next
    /// call takes it again, and makes the same vectors. Returns how many bytes were given back.
    @discardableResult
    public func trim() throws -> Int {
        var released = 0
        try handle.call { bantam_embedder_trim($0, &released, $1) }
        return released
    }

    private func vectors(of texts: [(text: String, document: String?)], truncating: Bool) async throws -> [[Float]] {
        let lent = Lent()
        let c = texts.map { text, document in
            var c = bantam_embed_text()
            (c.text, c.text_bytes) = lent.text(text)
            (c.document, c.document_bytes) = lent.text(document)
            return c
        }
        let flags = truncating ? UInt32(BANTAM_EMBED_TRUNCATE) : 0
        var values = [Float](repeating: 0, count: texts.count * dimension)
        var count = 0
        try await cancellable { embedder, error in
            withExtendedLifetime(lent) {
                func embed() -> bantam_status {
                    bantam_embedder_embed(embedder, c, c.count, flags, &values, values.count, &count, error)
                }
                let status = embed()
                if status != BANTAM_TOO_SMALL { return status }
                // Without pooling each token has a vector.
                values = [Float](repeating: 0, count: Int(error.pointee.detail))
                return embed()
            }
        }
        return stride(from: 0, to: count, by: dimension).map { Array(values[$0..<$0 + dimension]) }
    }

    static func setCancel(_ object: OpaquePointer, _ cancel: OpaquePointer?, _ error: UnsafeMutablePointer<bantam_error>?) -> bantam_status {
        bantam_embedder_set_cancel(object, cancel, error)
    }
}
