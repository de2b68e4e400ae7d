/// A value of JSON as services answer with it and are asked with: small, and kept in memory as a whole.
package enum ServiceJSON: Sendable, Equatable, CustomStringConvertible {
    case text(String)
    /// As it was written.
    case number(String)
    case bool(Bool)
    case null
    case array([ServiceJSON])
    /// Of members with one name, the last.
    case object([String: ServiceJSON])

    /// nil for what is no JSON, is followed by something, or is nested deeper than `deepest`.
    package init?(_ bytes: [UInt8], deepest: Int = 32) {
        self.init(Reader(rest: bytes[...], deepest: deepest, isCutting: false))
    }

    /// Where others may nest what they like: what is deeper than `deepest` is null.
    package init?(cutting bytes: [UInt8], deepest: Int) {
        self.init(Reader(rest: bytes[...], deepest: deepest, isCutting: true))
    }

    private init?(_ reader: Reader) {
        var reader = reader
        guard let value = reader.value(depth: 0), reader.isAtEnd else { return nil }
        self = value
    }

    /// A member of an object. Setting makes an object of anything else; nil removes.
    package subscript(key: String) -> ServiceJSON? {
        get { if case .object(let members) = self { members[key] } else { nil } }
        set {
            guard case .object(var members) = self else {
                if let newValue { self = .object([key: newValue]) }
                return
            }
            // Not held twice while it is changed.
            self = .null
            members[key] = newValue
            self = .object(members)
        }
    }

    /// Text, or a number as it was written: services quote numbers of 64 bits.
    package var string: String? {
        switch self {
        case .text(let text), .number(let text): text
        default: nil
        }
    }

    /// The elements of an array; none of anything else.
    package var elements: [ServiceJSON] {
        if case .array(let elements) = self { elements } else { [] }
    }

    /// Compact, members by key; without line feeds.
    package var description: String {
        switch self {
        case .text(let text): Self.quoted(text)
        case .number(let number): number
        case .bool(let value): value ? "true" : "false"
        case .null: "null"
        case .array(let elements): "[" + elements.map(\.description).joined(separator: ",") + "]"
        case .object(let members):
            "{"
                + members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
                .map { "\(Self.quoted($0.key)):\($0.value)" }.joined(separator: ",") + "}"
        }
    }

    package static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\0"..<" ":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>
        let deepest: Int
        /// What is too deep is left out, or fails all of it.
        let isCutting: Bool

        var isAtEnd: Bool { rest.allSatisfy(Self.isSpace) }

        private static func isSpace(_ byte: UInt8) -> Bool {
            byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            while let byte = rest.first, Self.isSpace(byte) { rest = rest.dropFirst() }
            guard rest.first == UInt8(ascii: character) else { return false }
            rest = rest.dropFirst()
            return true
        }

        /// nil when malformed.
        mutating func value(depth: Int) -> ServiceJSON? {
            guard depth <= deepest else { return isCutting && skip() ? .null : nil }
            if take("\"") { return text().map(ServiceJSON.text) }
            if take("{") { return object(depth) }
            if take("[") { return array(depth) }
            let word = rest.prefix { UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || "+-.0123456789E".utf8.contains($0) }
            rest = rest.dropFirst(word.count)
            switch String(decoding: word, as: UTF8.self) {
            case "true": return .bool(true)
            case "false": return .bool(false)
            case "null": return .null
            case let number:
                // The value itself is the reader's: what is no number fails there.
                guard let first = number.utf8.first, first == UInt8(ascii: "-") || (0x30...0x39).contains(first) else {
                    return nil
                }
                return .number(number)
            }
        }

        /// Goes past a value, however deep it is: on the stack there is room for a few hundred levels.
        private mutating func skip() -> Bool {
            var open = 0
            repeat {
                while let byte = rest.first, Self.isSpace(byte) { rest = rest.dropFirst() }
                switch rest.popFirst() {
                case UInt8(ascii: "\""): guard text() != nil else { return false }
                case UInt8(ascii: "{"), UInt8(ascii: "["): open += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    open -= 1
                    // The value itself is missing.
                    if open < 0 { return false }
                case UInt8(ascii: ","), UInt8(ascii: ":"): if open == 0 { return false }
                case nil: return false
                default:
                    let word = rest.prefix { !Self.isSpace($0) && !",:{}[]\"".utf8.contains($0) }
                    rest = rest.dropFirst(word.count)
                }
            } while open > 0
            return true
        }

        private mutating func object(_ depth: Int) -> ServiceJSON? {
            var members: [String: ServiceJSON] = [:]
            if take("}") { return .object(members) }
            repeat {
                guard take("\""), let key = text(), take(":"), let value = value(depth: depth + 1) else { return nil }
                members[key] = value
            } while take(",")
            return take("}") ? .object(members) : nil
        }

        private mutating func array(_ depth: Int) -> ServiceJSON? {
            var elements: [ServiceJSON] = []
            if take("]") { return .array(elements) }
            repeat {
                guard let value = value(depth: depth + 1) else { return nil }
                elements.append(value)
            } while take(",")
            return take("]") ? .array(elements) : nil
        }

        /// What follows the first quotation mark, with the second.
        private mutating func text() -> String? {
            var result: [UInt8] = []
            while let byte = rest.popFirst() {
                switch byte {
                case UInt8(ascii: "\""): return String(validating: result, as: UTF8.self)
                case UInt8(ascii: "\\"):
                    guard let character = escaped() else { return nil }
                    result += Array(String(character).utf8)
                default: result.append(byte)
                }
            }
            return nil
        }

        private mutating func escaped() -> Unicode.Scalar? {
            switch rest.popFirst() {
            case UInt8(ascii: "\""): return "\""
            case UInt8(ascii: "\\"): return "\\"
            case UInt8(ascii: "/"): return "/"
            case UInt8(ascii: "b"): return "\u{8}"
            case UInt8(ascii: "f"): return "\u{c}"
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "r"): return "\r"
            case UInt8(ascii: "t"): return "\t"
            case UInt8(ascii: "u"):
                guard let high = hexadecimal() else { return nil }
                guard (0xd800...0xdbff).contains(high) else { return Unicode.Scalar(high) }
                guard rest.popFirst() == UInt8(ascii: "\\"), rest.popFirst() == UInt8(ascii: "u"),
                    let low = hexadecimal(), (0xdc00...0xdfff).contains(low)
                else { return nil }
                return Unicode.Scalar(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00))
            default: return nil
            }
        }

        private mutating func hexadecimal() -> UInt32? {
            guard rest.count >= 4 else { return nil }
            defer { rest = rest.dropFirst(4) }
            guard rest.prefix(4).allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else { return nil }
            return UInt32(String(decoding: rest.prefix(4), as: UTF8.self), radix: 16)
        }
    }
}
