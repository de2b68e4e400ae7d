/// One JSON object whose values are strings and whole numbers: all that lock files and lock objects hold. Members are
/// written in the order of their keys, as pgBackRest's readers need them.
struct FlatJSON: Equatable {
    enum Value: Equatable {
        case text(String)
        case number(UInt64)
    }

    private(set) var members: [String: Value] = [:]

    subscript(text key: String) -> String? {
        get { if case .text(let text)? = members[key] { text } else { nil } }
        set { members[key] = newValue.map { .text($0) } }
    }

    subscript(number key: String) -> UInt64? {
        get { if case .number(let number)? = members[key] { number } else { nil } }
        set { members[key] = newValue.map { .number($0) } }
    }

    init() {}

    /// nil for all that is no such object. What follows it is not looked at: a writer may just be shortening the file.
    init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        guard Self.take("{", &rest) else { return nil }
        if Self.take("}", &rest) { return }
        repeat {
            guard let key = Self.text(&rest), Self.take(":", &rest) else { return nil }
            if let text = Self.text(&rest) {
                members[key] = .text(text)
            } else if let number = Self.number(&rest) {
                members[key] = .number(number)
            } else {
                return nil
            }
        } while Self.take(",", &rest)
        guard Self.take("}", &rest) else { return nil }
    }

    var bytes: [UInt8] {
        let parts = members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map { key, value in
            switch value {
            case .text(let text): "\(Self.quoted(key)):\(Self.quoted(text))"
            case .number(let number): "\(Self.quoted(key)):\(number)"
            }
        }
        return Array("{\(parts.joined(separator: ","))}".utf8)
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            // Nothing of ours has control characters; a host name that does is still told apart from others.
            case "\0"..<" ": result += "?"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private static func take(_ character: Unicode.Scalar, _ rest: inout ArraySlice<UInt8>) -> Bool {
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0a || $0 == 0x0d }
        guard rest.first == UInt8(ascii: character) else { return false }
        rest = rest.dropFirst()
        return true
    }

    private static func text(_ rest: inout ArraySlice<UInt8>) -> String? {
        guard take("\"", &rest) else { return nil }
        var result: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return String(validating: result, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = rest.popFirst(), [0x22, 0x5c, 0x2f].contains(escaped) else { return nil }
                result.append(escaped)
            default: result.append(byte)
            }
        }
        return nil
    }

    private static func number(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        rest = rest.drop { $0 == 0x20 }
        let digits = rest.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        rest = rest.dropFirst(digits.count)
        return UInt64(String(decoding: digits, as: UTF8.self))
    }
}
