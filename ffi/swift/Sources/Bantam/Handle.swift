// Objects of C, and calls to them: the only file that knows when something is freed.
import CBantam

/// An object of C, freed when nobody refers to it any more.
///
/// C checks each use itself: what two threads may not use at once is `BANTAM_BUSY` for one of them. So a handle may go anywhere.
final class Handle: @unchecked Sendable {
    fileprivate let pointer: OpaquePointer
    private let free: @Sendable (OpaquePointer) -> bantam_status
    /// What has to live as long as the object.
    private let keeps: [any Sendable]

    /// Takes over the object that `make` makes.
    init(
        keeps: [any Sendable] = [],
        free: @escaping @Sendable (OpaquePointer) -> bantam_status,
        make: (UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<bantam_error>) throws -> bantam_status
    ) throws {
        var made: OpaquePointer?
        try check { error in try make(&made, error) }
        guard let made else { throw BantamError(code: .handle, message: "there is nothing to take over") }
        pointer = made
        self.free = free
        self.keeps = keeps
    }

    /// Takes over an object that is there.
    init(_ pointer: OpaquePointer, keeps: [any Sendable] = [], free: @escaping @Sendable (OpaquePointer) -> bantam_status) {
        self.pointer = pointer
        self.free = free
        self.keeps = keeps
    }

    deinit {
        _ = free(pointer)
    }

    /// Lends the object for the time of a call.
    func with<Result>(_ body: (OpaquePointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(pointer) }
    }

    /// Calls a function of C with the object.
    func call(_ function: (OpaquePointer, UnsafeMutablePointer<bantam_error>) throws -> bantam_status) throws {
        try with { pointer in try check { error in try function(pointer, error) } }
    }
}

extension Optional where Wrapped == Handle {
    /// Lends the object, or NULL.
    func with<Result>(_ body: (OpaquePointer?) throws -> Result) rethrows -> Result {
        switch self {
        case .some(let handle): try handle.with { try body($0) }
        case .none: try body(nil)
        }
    }
}

extension [Handle] {
    /// Lends the objects for the time of a call.
    func with<Result>(_ body: ([OpaquePointer?]) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(map(\.pointer)) }
    }
}

/// Makes a call, and throws what C says of it: `CancellationError` if it was cancelled, else a ``BantamError``.
func check(_ call: (UnsafeMutablePointer<bantam_error>) throws -> bantam_status) throws {
    var error = bantam_error()
    let status = try call(&error)
    if status == BANTAM_OK { return }
    if status == BANTAM_CANCELLED { throw CancellationError() }
    throw BantamError(status, error)
}

/// A number as C takes it, to which a negative one would be a huge one.
func counted(_ what: String, _ value: Int, least: Int = 0) throws -> Int {
    guard value >= least else { throw BantamError(code: .argument, message: "\(what) is \(value); it must be \(least) or greater") }
    return value
}

/// The same, where nil is the default, which C writes as 0.
func countedOrDefault(_ what: String, _ value: Int?) throws -> Int {
    guard let value else { return 0 }
    guard value >= 1 else { throw BantamError(code: .argument, message: "\(what) is \(value); it must be 1 or greater, or nil") }
    return value
}

/// A struct of C that begins with its size.
protocol CStruct {
    init()
    var struct_size: Int { get set }
}

extension CStruct {
    /// A struct with its size, and zeros.
    static func sized() -> Self {
        var value = Self()
        value.struct_size = MemoryLayout<Self>.stride
        return value
    }
}

extension bantam_adapter_info: CStruct {}
extension bantam_answer_options: CStruct {}
extension bantam_chat_options: CStruct {}
extension bantam_choice: CStruct {}
extension bantam_embedder_info: CStruct {}
extension bantam_embedder_options: CStruct {}
extension bantam_model_info: CStruct {}
extension bantam_model_options: CStruct {}
extension bantam_piece: CStruct {}
extension bantam_plan: CStruct {}
extension bantam_pool_options: CStruct {}
extension bantam_sampler_options: CStruct {}
extension bantam_session_info: CStruct {}
extension bantam_session_options: CStruct {}
extension bantam_summary: CStruct {}
extension bantam_tensor: CStruct {}
extension bantam_token_info: CStruct {}
extension bantam_value: CStruct {}

/// Memory that structs of C point to, for the time of one call.
final class Lent {
    private var memory: [UnsafeMutableRawPointer] = []

    deinit {
        memory.forEach { $0.deallocate() }
    }

    /// A copy of some values; nil if there are none.
    func array<Element>(_ values: [Element]) -> UnsafeMutablePointer<Element>? {
        if values.isEmpty { return nil }
        let copy = UnsafeMutablePointer<Element>.allocate(capacity: values.count)
        copy.initialize(from: values, count: values.count)
        memory.append(UnsafeMutableRawPointer(copy))
        return copy
    }

    /// A copy of a text, with a 0 behind it, and its bytes without that.
    func text(_ text: String?) -> (UnsafePointer<CChar>?, Int) {
        guard let text else { return (nil, 0) }
        return (UnsafePointer(array(Array(text.utf8CString))), text.utf8.count)
    }

    /// Copies of several texts.
    func texts(_ texts: [String]) -> UnsafePointer<bantam_text>? {
        UnsafePointer(
            array(
                texts.map { string in
                    let (start, bytes) = text(string)
                    return bantam_text(text: start, bytes: bytes)
                }))
    }
}

extension String {
    /// A text of C's, by where it begins and how many bytes it has.
    init(_ start: UnsafePointer<CChar>?, bytes: Int) {
        self = String(decoding: UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : bytes), as: UTF8.self)
    }

    /// Lends the text to C: where it begins, and how many bytes it has.
    func lend<Result>(_ body: (UnsafePointer<CChar>, Int) throws -> Result) rethrows -> Result {
        try withCString { try body($0, utf8.count) }
    }
}
