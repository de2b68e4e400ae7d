import Glibc
package import HTTP
package import Telemetry

/// A line of a job's log.
package struct JobLogLine: Sendable, Equatable {
    /// As it came, without its end.
    package var text: String
    /// nil for what is no line of the program's log: what a runtime writes about a process that crashes.
    package var level: LogLevel?
    package var message: String
    /// With its number of bytes, percent and the like.
    package var facts: [String: ServiceJSON] = [:]

    package init(_ bytes: [UInt8]) {
        text = String(decoding: bytes, as: UTF8.self)
        message = text
        guard bytes.first == UInt8(ascii: "{"), case .object(let members)? = ServiceJSON(bytes),
            let message = members["msg"]?.string
        else { return }
        level = members["level"]?.string.flatMap { LogLevel(rawValue: $0) }
        self.message = message
        facts = members
    }
}

/// Makes lines of what comes piece by piece.
struct LineSplitter {
    private var rest: [UInt8] = []
    /// Longer ones are cut in two.
    private static let limit = 1 << 20

    mutating func take(_ bytes: UnsafeRawBufferPointer) -> [JobLogLine] {
        var lines: [JobLogLine] = []
        var left = bytes
        while let base = left.baseAddress, let end = memchr(base, 0x0a, left.count) {
            let length = UnsafeRawPointer(end) - base
            rest += left[..<length]
            lines += finish(evenEmpty: true)
            left = UnsafeRawBufferPointer(rebasing: left[(length + 1)...])
        }
        rest += left
        if rest.count >= Self.limit { lines += finish() }
        return lines
    }

    /// What has no end.
    mutating func finish(evenEmpty: Bool = false) -> [JobLogLine] {
        defer { rest.removeAll(keepingCapacity: true) }
        return rest.isEmpty && !evenEmpty ? [] : [JobLogLine(rest)]
    }
}
