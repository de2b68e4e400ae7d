import BackupModel
import Glibc

/// Reads one JSON value, left to right, as far as info files use JSON: no floats except in what is skipped.
///
/// Lives only inside a `withUnsafeBytes` of the bytes that it reads. Each access to them is behind ``peek()`` or a
/// comparison with the end, since raw buffers do not check bounds in release builds.
struct JSONReader {
    /// Of objects and arrays inside each other; info files need four.
    static let depthLimit = 32

    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    /// Whether the object or array just begun has had no element yet.
    private var isFirst = false

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    // MARK: Objects and arrays

    mutating func beginObject() throws(BackupError) {
        try expect(UInt8(ascii: "{"), "an object")
        isFirst = true
    }

    /// The text of the next key, escapes not resolved; nil at the end of the object, which it passes.
    mutating func nextKey() throws(BackupError) -> UnsafeRawBufferPointer? {
        guard try nextElement(end: UInt8(ascii: "}")) else { return nil }
        let key = try text().bytes
        try expect(UInt8(ascii: ":"), "':'")
        return key
    }

    /// The next key as text; nil at the end of the object, which it passes.
    mutating func nextText() throws(BackupError) -> String? {
        guard try nextElement(end: UInt8(ascii: "}")) else { return nil }
        let key = try string()
        try expect(UInt8(ascii: ":"), "':'")
        return key
    }

    mutating func beginArray() throws(BackupError) {
        try expect(UInt8(ascii: "["), "an array")
        isFirst = true
    }

    /// Whether an element follows; at the end of the array passes it.
    mutating func nextElement() throws(BackupError) -> Bool { try nextElement(end: UInt8(ascii: "]")) }

    private mutating func nextElement(end: UInt8) throws(BackupError) -> Bool {
        let first = isFirst
        isFirst = false
        let byte = peek()
        if byte == end {
            position += 1
            return false
        }
        guard !first else { return true }
        guard byte == UInt8(ascii: ",") else { throw problem("',' or the end of the list expected") }
        position += 1
        return true
    }

    // MARK: Values

    mutating func string() throws(BackupError) -> String {
        let (bytes, hasEscapes) = try text()
        guard !hasEscapes else { return try resolved(bytes) }
        return try utf8(bytes)
    }

    /// A string, or nil for `null`.
    mutating func nullableString() throws(BackupError) -> String? { try null() ? nil : try string() }

    /// The bytes of a string that needs no escapes, such as a digest or a label.
    mutating func plainText() throws(BackupError) -> UnsafeRawBufferPointer {
        let (bytes, hasEscapes) = try text()
        guard !hasEscapes else { throw problem("text without escapes expected") }
        return bytes
    }

    mutating func bool() throws(BackupError) -> Bool {
        if literal("true") { return true }
        if literal("false") { return false }
        throw problem("true or false expected")
    }

    /// Whether the value is `null`, which it then passes.
    mutating func null() throws(BackupError) -> Bool {
        guard peek() == UInt8(ascii: "n") else { return false }
        guard literal("null") else { throw problem("null expected") }
        return true
    }

    /// Whether the next value is a string.
    mutating func isText() -> Bool { peek() == UInt8(ascii: "\"") }

    /// Whether the next value is an array.
    mutating func isArray() -> Bool { peek() == UInt8(ascii: "[") }

    /// An integer of 0 or more.
    mutating func unsigned() throws(BackupError) -> UInt64 {
        _ = peek()
        let start = position
        var value: UInt64 = 0
        while position < bytes.count, let digit = Self.digit(bytes[position]) {
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(UInt64(digit))
            guard !overflow, !carry else { throw problem("number of more than 64 bits") }
            value = sum
            position += 1
        }
        guard position > start else { throw problem("integer of 0 or more expected") }
        return value
    }

    mutating func integer() throws(BackupError) -> Int64 {
        let isNegative = peek() == UInt8(ascii: "-")
        if isNegative { position += 1 }
        let magnitude = try unsigned()
        guard isNegative else {
            guard let value = Int64(exactly: magnitude) else { throw problem("number of more than 63 bits") }
            return value
        }
        guard magnitude <= Int64.min.magnitude else { throw problem("number of more than 63 bits") }
        return Int64(truncatingIfNeeded: 0 &- magnitude)
    }

    /// An integer from 0 to the greatest of a type.
    mutating func unsigned<Integer: FixedWidthInteger>(_: Integer.Type) throws(BackupError) -> Integer {
        let value = try unsigned()
        guard let narrow = Integer(exactly: value) else { throw problem("\(value) is out of range") }
        return narrow
    }

    /// Passes one value of any type.
    mutating func skip(depth: Int = 0) throws(BackupError) {
        guard depth < Self.depthLimit else { throw problem("more than \(Self.depthLimit) levels") }
        switch peek() {
        case UInt8(ascii: "{"):
            try beginObject()
            while try nextKey() != nil { try skip(depth: depth + 1) }
        case UInt8(ascii: "["):
            try beginArray()
            while try nextElement() { try skip(depth: depth + 1) }
        case UInt8(ascii: "\""): _ = try text()
        case UInt8(ascii: "t"), UInt8(ascii: "f"): _ = try bool()
        case UInt8(ascii: "n"): _ = try null()
        default: try skipNumber()
        }
    }

    /// Throws when something follows the value.
    mutating func finish() throws(BackupError) {
        guard peek() == nil else { throw problem("nothing more expected") }
    }

    func problem(_ text: String) -> BackupError {
        BackupError(.format, "invalid JSON at byte \(position + 1) of the value: \(text)")
    }

    // MARK: Tokens

    /// The next byte that is no space; nil at the end.
    private mutating func peek() -> UInt8? {
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x09 || byte == 0x0d else { return byte }
            position += 1
        }
        return nil
    }

    private mutating func expect(_ byte: UInt8, _ what: StaticString) throws(BackupError) {
        guard peek() == byte else { throw problem("\(what) expected") }
        position += 1
    }

    private mutating func literal(_ text: StaticString) -> Bool {
        guard peek() != nil, bytes.count - position >= text.utf8CodeUnitCount, let base = bytes.baseAddress,
            memcmp(base + position, text.utf8Start, text.utf8CodeUnitCount) == 0
        else { return false }
        position += text.utf8CodeUnitCount
        return true
    }

    /// What is between quotation marks.
    private mutating func text() throws(BackupError) -> (bytes: UnsafeRawBufferPointer, hasEscapes: Bool) {
        try expect(UInt8(ascii: "\""), "text")
        let start = position
        guard let base = bytes.baseAddress, let first = quotationMark(from: start) else {
            throw problem("text without end")
        }
        guard memchr(base + start, Int32(UInt8(ascii: "\\")), first - start) != nil else {
            position = first + 1
            return (UnsafeRawBufferPointer(rebasing: bytes[start..<first]), false)
        }
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard position < bytes.count else { throw problem("text without end") }
        position += 1
        return (UnsafeRawBufferPointer(rebasing: bytes[start..<position - 1]), true)
    }

    private func quotationMark(from start: Int) -> Int? {
        guard let base = bytes.baseAddress, start < bytes.count else { return nil }
        guard let found = memchr(base + start, Int32(UInt8(ascii: "\"")), bytes.count - start) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private func resolved(_ bytes: UnsafeRawBufferPointer) throws(BackupError) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "\\") else {
                text.append(bytes[index])
                index += 1
                continue
            }
            guard index + 1 < bytes.count else { throw problem("incomplete escape") }
            index += 2
            switch bytes[index - 1] {
            case UInt8(ascii: "n"): text.append(0x0a)
            case UInt8(ascii: "r"): text.append(0x0d)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0c)
            case let byte where byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "/"):
                text.append(byte)
            case UInt8(ascii: "u"):
                guard bytes.count - index >= 4 else { throw problem("incomplete escape") }
                let digits = String(decoding: bytes[index..<index + 4], as: UTF8.self)
                guard let code = UInt16(digits, radix: 16), let scalar = Unicode.Scalar(code) else {
                    throw problem("escape for no character")
                }
                text.append(contentsOf: String(scalar).utf8)
                index += 4
            default: throw problem("unknown escape")
            }
        }
        return try text.span.bytes.withUnsafeBytes { bytes throws(BackupError) in try utf8(bytes) }
    }

    private func utf8(_ bytes: UnsafeRawBufferPointer) throws(BackupError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw problem("text is not UTF-8") }
        return text
    }

    private mutating func skipNumber() throws(BackupError) {
        if peek() == UInt8(ascii: "-") { position += 1 }
        try skipDigits()
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            position += 1
            try skipDigits()
        }
        guard position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") else { return }
        position += 1
        if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") {
            position += 1
        }
        try skipDigits()
    }

    private mutating func skipDigits() throws(BackupError) {
        let start = position
        while position < bytes.count, Self.digit(bytes[position]) != nil { position += 1 }
        guard position > start else { throw problem("a value expected") }
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") ? byte - UInt8(ascii: "0") : nil
    }
}
