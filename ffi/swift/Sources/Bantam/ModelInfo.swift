// What a model says of itself: its shape, metadata, tensors and vocabulary.
import CBantam

/// What a model is.
public struct ModelInfo: Sendable, Hashable {
    /// The architecture, "llama".
    public let architecture: String
    /// The backend that runs it.
    public let backend: String
    /// Bytes of the file, or of the part of it, or of the memory.
    public let fileBytes: UInt64
    /// Bytes that one token reads.
    public let bytesPerToken: UInt64
    /// Multiply-adds of one token with the weights.
    public let multiplyAddsPerToken: UInt64
    /// Tells this model's file from another's.
    public let fingerprint: UInt64
    /// Number of tokens.
    public let vocabularySize: Int
    /// The context that it was trained for, in tokens.
    public let contextLength: Int
    /// Number of layers.
    public let layers: Int
    /// Width of the residual stream.
    public let dimension: Int
    /// Width of the feed-forward hidden layer.
    public let feedForward: Int
    /// Query heads.
    public let heads: Int
    /// Key and value heads.
    public let kvHeads: Int
    /// Width of a head.
    public let headDimension: Int
    /// The token that begins a text.
    public let beginToken: UInt32?
    /// The token that ends one.
    public let endToken: UInt32?
    /// Whether it has a chat template.
    public let hasChatTemplate: Bool
    /// Whether its weights are pages of a file, which the system can drop and read again; else they are memory.
    public let isFileBacked: Bool
}

/// A value of the metadata.
public enum MetadataValue: Sendable, Hashable {
    case integer(Int64)
    case number(Double)
    case bool(Bool)
    case text(String)
    /// A list of so many values: see ``Model/metadata(_:at:)``.
    case array(count: Int)
}

/// A tensor of a model's file.
public struct TensorInfo: Sendable, Hashable {
    public let name: String
    /// The type by ggml's number.
    public let typeNumber: UInt32
    /// The extent of each dimension, the fastest first.
    public let shape: [UInt64]
    /// Where it begins, in bytes from the start of the file.
    public let offset: UInt64
    /// How many bytes it has.
    public let bytes: UInt64
    /// The backend whose kernels multiply with it: the model's, or one that this takes the format's from. Nil if no kernel reads the type.
    public let kernels: String?
}

/// A token of the vocabulary.
public struct TokenInfo: Sendable, Hashable {
    /// Its bytes, which may be a part of a character; for a control token its name.
    public let bytes: [UInt8]
    /// Whether it is no text: it steers the model, or is an unused place.
    public let isControl: Bool
    /// Whether an answer is over when it comes.
    public let isEnd: Bool
}

extension Model {
    /// What the model is.
    public var info: ModelInfo {
        get throws {
            var c = bantam_model_info.sized()
            return try handle.with { model in
                try check { bantam_model_get_info(model, &c, $0) }
                return ModelInfo(
                    architecture: String(c.architecture, bytes: c.architecture_bytes),
                    backend: String(cString: c.backend),
                    fileBytes: c.file_bytes,
                    bytesPerToken: c.bytes_per_token,
                    multiplyAddsPerToken: c.macs_per_token,
                    fingerprint: c.fingerprint,
                    vocabularySize: c.vocab_size,
                    contextLength: c.context_length,
                    layers: c.layers,
                    dimension: c.dim,
                    feedForward: c.ffn,
                    heads: c.heads,
                    kvHeads: c.kv_heads,
                    headDimension: c.head_dim,
                    beginToken: UInt32(exactly: c.bos),
                    endToken: UInt32(exactly: c.eos),
                    hasChatTemplate: c.has_chat_template == 1,
                    isFileBacked: c.is_file_backed == 1)
            }
        }
    }

    /// The keys of the metadata, in the order of the file.
    public var metadataKeys: [String] {
        get throws {
            var count = 0
            try handle.call { bantam_model_metadata_count($0, &count, $1) }
            return try (0..<count).map { i in
                var key: UnsafePointer<CChar>?
                var bytes = 0
                return try handle.with { model in
                    try check { bantam_model_metadata_at(model, i, &key, &bytes, nil, $0) }
                    return String(key, bytes: bytes)
                }
            }
        }
    }

    /// The value of a metadata key, "general.name".
    public func metadata(_ key: String) throws -> MetadataValue {
        try value { model, value, error in
            key.lend { bantam_model_metadata(model, $0, $1, value, error) }
        }
    }

    /// A value of the array under a metadata key.
    public func metadata(_ key: String, at index: Int) throws -> MetadataValue {
        guard index >= 0 else { throw BantamError(code: .argument, message: "there is no value \(index)") }
        return try value { model, value, error in
            key.lend { bantam_model_metadata_element(model, $0, $1, index, value, error) }
        }
    }

    private func value(
        _ function: (OpaquePointer, UnsafeMutablePointer<bantam_value>, UnsafeMutablePointer<bantam_error>) -> bantam_status
    ) throws -> MetadataValue {
        var value = bantam_value.sized()
        return try handle.with { model in
            try check { function(model, &value, $0) }
            return switch value.kind {
            case BANTAM_VALUE_INTEGER: .integer(value.integer)
            case BANTAM_VALUE_BOOL: .bool(value.integer == 1)
            case BANTAM_VALUE_TEXT: .text(String(value.text, bytes: value.text_bytes))
            case BANTAM_VALUE_ARRAY: .array(count: value.count)
            default: .number(value.number)
            }
        }
    }

    /// The tensors, in the order of the file.
    public var tensors: [TensorInfo] {
        get throws {
            var count = 0
            try handle.call { bantam_model_tensor_count($0, &count, $1) }
            return try (0..<count).map { i in
                var c = bantam_tensor.sized()
                return try handle.with { model in
                    try check { bantam_model_tensor_at(model, i, &c, $0) }
                    let shape = [c.shape.0, c.shape.1, c.shape.2, c.shape.3]
                    return TensorInfo(
                        name: String(c.name, bytes: c.name_bytes),
                        typeNumber: c.type_number,
                        shape: Array(shape.prefix(Int(c.dimensions))),
                        offset: c.offset,
                        bytes: c.bytes,
                        kernels: c.kernels.map { String(cString: $0) })
                }
            }
        }
    }

    /// Says what a token is.
    public func token(_ token: UInt32) throws -> TokenInfo {
        var c = bantam_token_info.sized()
        return try handle.with { model in
            try check { bantam_model_token(model, token, &c, $0) }
            let bytes = [UInt8](UnsafeRawBufferPointer(start: c.text, count: c.text_bytes))
            return TokenInfo(bytes: bytes, isControl: c.is_control == 1, isEnd: c.is_end == 1)
        }
    }
}
