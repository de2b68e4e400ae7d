import HTTP

/// What YAML has within a line: quoted and plain scalars, `{…}` and `[…]`.
struct FlowReader {
    typealias Failure = YAMLReader.Failure

    static let early = "it ends too early"
    private static let deepest = 64

    private(set) var rest: ArraySlice<Unicode.Scalar>
    private let line: Int

    init(_ scalars: [Unicode.Scalar], _ line: Int) {
        rest = scalars[...]
        self.line = line
    }

    init(_ scalars: ArraySlice<Unicode.Scalar>, _ line: Int) {
        rest = scalars
        self.line = line
    }

    /// - Throws: when something but a comment follows.
    mutating func finish() throws(Failure) {
        let isSpaced = rest.first == " "
        skipSpace()
        guard rest.isEmpty || isSpaced && rest.first == "#" else {
            throw Failure(line: line, reason: "something follows the end of the value")
        }
    }

    private mutating func skipSpace() { rest = rest.drop { $0 == " " || $0 == "\t" } }

    mutating func value(depth: Int) throws(Failure) -> ServiceJSON {
        guard depth <= Self.deepest else { throw Failure(line: line, reason: "nested too deep") }
        skipSpace()
        switch rest.first {
        case nil: throw Failure(line: line, reason: Self.early)
        case "\"", "'": return .text(try quoted())
        case "{": return try object(depth)
        case "[": return try array(depth)
        case "&", "*", "!":
            throw Failure(line: line, reason: "anchors, aliases and tags are not supported")
        default:
            let text = plain()
            if rest.isEmpty, depth > 0 { throw Failure(line: line, reason: Self.early) }
            return Self.scalar(text)
        }
    }

    private mutating func plain() -> String {
        var text = String.UnicodeScalarView()
        while let scalar = rest.first, !"{}[],".unicodeScalars.contains(scalar) {
            if scalar == ":" {
                let after = rest.dropFirst().first
                if after == nil || after == " " || after == "," || after == "}" || after == "]" { break }
            }
            text.append(scalar)
            rest = rest.dropFirst()
        }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return String(text)
    }

    private mutating func object(_ depth: Int) throws(Failure) -> ServiceJSON {
        rest = rest.dropFirst()
        var members: [String: ServiceJSON] = [:]
        while true {
            skipSpace()
            if take("}") { return .object(members) }
            let key: String
            switch rest.first {
            case nil: throw Failure(line: line, reason: Self.early)
            case "\"", "'": key = try quoted()
            default: key = plain()
            }
            skipSpace()
            guard take(":") else {
                throw Failure(line: line, reason: rest.isEmpty ? Self.early : "a colon is missing")
            }
            skipSpace()
            let isEmpty = rest.first == "," || rest.first == "}"
            members[key] = isEmpty ? .null : try value(depth: depth + 1)
            try separator("}")
        }
    }

    private mutating func array(_ depth: Int) throws(Failure) -> ServiceJSON {
        rest = rest.dropFirst()
        var elements: [ServiceJSON] = []
        while true {
            skipSpace()
            if take("]") { return .array(elements) }
            guard rest.first != "," else { throw Failure(line: line, reason: "a comma too many") }
            elements.append(try value(depth: depth + 1))
            try separator("]")
        }
    }

    private mutating func separator(_ end: Unicode.Scalar) throws(Failure) {
        skipSpace()
        guard rest.first == end || take(",") else {
            throw Failure(line: line, reason: rest.isEmpty ? Self.early : "a comma is missing")
        }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard rest.first == scalar else { return false }
        rest = rest.dropFirst()
        return true
    }

    /// From one quotation mark to the other.
    mutating func quoted() throws(Failure) -> String {
        let mark = rest.removeFirst()
        var text = String.UnicodeScalarView()
        while let scalar = rest.popFirst() {
            if scalar == mark {
                guard mark == "'", take("'") else { return String(text) }
                text.append("'")
            } else if scalar == "\\", mark == "\"" {
                text.append(try escaped())
            } else {
                text.append(scalar)
            }
        }
        throw Failure(line: line, reason: Self.early)
    }

    private mutating func escaped() throws(Failure) -> Unicode.Scalar {
        guard let scalar = rest.popFirst() else { throw Failure(line: line, reason: Self.early) }
        switch scalar {
        case "\"", "\\", "/", " ": return scalar
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "0": return "\0"
        case "b": return "\u{8}"
        case "e": return "\u{1b}"
        case "x": return try hexadecimal(2)
        case "u": return try hexadecimal(4)
        case "U": return try hexadecimal(8)
        default: throw Failure(line: line, reason: "'\\\(scalar)' is not supported")
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(Failure) -> Unicode.Scalar {
        let digits = rest.prefix(count)
        rest = rest.dropFirst(count)
        guard digits.count == count, digits.allSatisfy(\.properties.isASCIIHexDigit),
            let value = UInt32(String(String.UnicodeScalarView(digits)), radix: 16),
            let scalar = Unicode.Scalar(value)
        else { throw Failure(line: line, reason: "no character has that number") }
        return scalar
    }

    /// A plain scalar: YAML 1.2's core schema.
    static func scalar(_ text: String) -> ServiceJSON {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .bool(true)
        case "false", "False", "FALSE": return .bool(false)
        default:
            var digits = text.utf8[...]
            if digits.first == UInt8(ascii: "-") { digits = digits.dropFirst() }
            let isNumber =
                digits.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2e }
                && digits.first != 0x2e && digits.last != 0x2e && !digits.isEmpty
                && digits.filter { $0 == 0x2e }.count <= 1 && !(digits.count > 1 && digits.starts(with: "0".utf8))
            return isNumber ? .number(text) : .text(text)
        }
    }
}
