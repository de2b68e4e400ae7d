/// Where a command prints what may be too large for one string.
package typealias OutputSink = (UnsafeRawBufferPointer) throws -> Void

/// Collects small pieces of text before they are printed.
struct TextOutput {
    private static let limit = 64 << 10

    private let sink: OutputSink
    private var pending: [UInt8] = []

    init(_ sink: @escaping OutputSink) { self.sink = sink }

    mutating func write(_ text: String) throws {
        pending += text.utf8
        if pending.count >= Self.limit { try flush() }
    }

    mutating func flush() throws {
        try pending.span.bytes.withUnsafeBytes { try sink($0) }
        pending.removeAll(keepingCapacity: true)
    }
}
