import BackupModel
import Glibc
import HTTP
import Telemetry

/// What the log of a job tells of its end: the last error, the label of a new backup, and the exit code, for which
/// there may be nobody else to ask.
struct JobLogFacts: Equatable, Sendable {
    var errorCode: Int32?
    /// With its hint, as the log has it.
    var errorText: String?
    var label: String?
    /// What a restore has restored.
    var restored: ServiceJSON?
    /// Of the program's last line.
    var exitCode: Int32?
    /// The last that is no line of the log: what a runtime writes about a process that crashes.
    var other = ""

    private static let otherLimit = 500
    private static let errorMark: StaticString = "\"level\":\"error\""
    private static let labelMark: StaticString = "new backup label = "
    private static let restoredMark: StaticString = "\"restored\":{"
    private static let endMark: StaticString = " command end: "

    /// One line, without its end.
    mutating func take(_ line: UnsafeRawBufferPointer) {
        guard line.first == UInt8(ascii: "{") else {
            let text = String(decoding: line.prefix(Self.otherLimit), as: UTF8.self)
            if !text.isEmpty { other = text }
            return
        }
        // Most lines are none of these, and there may be one for each file of a cluster.
        guard
            Self.contains(line, Self.errorMark) || Self.contains(line, Self.labelMark)
                || Self.contains(line, Self.restoredMark) || Self.contains(line, Self.endMark),
            let json = ServiceJSON(Array(line)),
            let message = json["msg"]?.string
        else { return }
        let code = json[LogFact.code]?.string.flatMap { Int32($0) }
        if message.hasPrefix("\(Self.labelMark)") {
            label = String(message.dropFirst(Self.labelMark.utf8CodeUnitCount))
        } else if message.contains("\(Self.endMark)") {
            exitCode = code
        } else if let facts = json[LogFact.restored] {
            restored = facts
        } else if json["level"]?.string == "error" {
            errorText = message
            errorCode = code
        }
    }

    /// The error of a command that ended with `code`.
    func error(_ code: ErrorCode, otherwise message: String) -> BackupError {
        guard let text = errorText else {
            return BackupError(code, other.isEmpty ? message : "\(message): \(other)")
        }
        let parts = Self.split(text)
        return BackupError(errorCode.map { ErrorCode(rawValue: $0) } ?? code, parts.message, hint: parts.hint)
    }

    private static func split(_ text: String) -> (message: String, hint: String?) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let hint = lines.firstIndex(where: { $0.hasPrefix("HINT: ") }) else { return (text, nil) }
        return (
            lines[..<hint].joined(separator: "\n"), lines[hint...].joined(separator: "\n").dropFirst(6).description
        )
    }

    private static func contains(_ line: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        var rest = line
        while rest.count >= length, let base = rest.baseAddress,
            let found = memchr(base, Int32(text.utf8Start[0]), rest.count - length + 1)
        {
            if memcmp(found, text.utf8Start, length) == 0 { return true }
            rest = UnsafeRawBufferPointer(rebasing: rest[(UnsafeRawPointer(found) - base + 1)...])
        }
        return false
    }
}

extension JobLogFacts {
    /// Longer ones are not ours: they are passed over.
    private static let lineLimit = 1 << 20

    /// All that the file at `path` tells; nothing where it cannot be read. Blocks.
    static func read(_ path: String) -> JobLogFacts {
        var facts = JobLogFacts()
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return facts }
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: lineLimit, alignment: 16)
        defer { buffer.deallocate() }
        var filled = 0
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            filled += count
            var start = 0
            while let base = buffer.baseAddress, let end = memchr(base + start, 0x0a, filled - start) {
                let length = UnsafeRawPointer(end) - UnsafeRawPointer(base + start)
                facts.take(UnsafeRawBufferPointer(start: base + start, count: length))
                start += length + 1
            }
            if start == 0, filled == buffer.count { start = filled }
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<filled]))
            filled -= start
        }
        facts.take(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
        return facts
    }
}
