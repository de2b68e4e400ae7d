/// A value that has been checked.
enum OptionValue: Equatable, Sendable {
    case bool(Bool)
    /// Numbers as such, sizes in bytes, times in milliseconds.
    case number(Int64)
    case text(String)
    /// Of options that are secrets.
    case secret(Secret<String>)
    case list([String])
    case pairs([Pair])

    struct Pair: Equatable, Sendable {
        let key: String
        var value: String
    }

    /// Scalars only; nil when `text` is not one of the type.
    static func scalar(_ text: String, type: OptionDefinition.ValueType) -> OptionValue? {
        switch type {
        case .bool: text == "y" ? .bool(true) : text == "n" ? .bool(false) : nil
        case .integer: Int64(text).map { .number($0) }
        case .size: bytes(text).map { .number($0) }
        case .time: milliseconds(text).map { .number($0) }
        case .string, .enumeration, .path: .text(text)
        case .list, .hash, .keys: nil
        }
    }

    /// `16MiB`, `16mb` or `16m`: 2^24. nil when malformed or above 2^63 - 1.
    static func bytes(_ text: String) -> Int64? {
        let digits = text.utf8.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard let count = Int64(String(decoding: digits, as: UTF8.self)) else { return nil }
        let exponent: Int64
        switch String(decoding: text.utf8.dropFirst(digits.count), as: UTF8.self).lowercased() {
        case "", "b": exponent = 0
        case "k", "kb", "kib": exponent = 1
        case "m", "mb", "mib": exponent = 2
        case "g", "gb", "gib": exponent = 3
        case "t", "tb", "tib": exponent = 4
        case "p", "pb", "pib": exponent = 5
        default: return nil
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: 1 << (10 * exponent))
        return overflow ? nil : product
    }

    /// `90`, `90s` and `90000ms` are 90 000. nil when malformed or above 2^63 - 1.
    static func milliseconds(_ text: String) -> Int64? {
        let lowercased = text.lowercased()
        let units: [(suffix: String, factor: Int64)] = [
            ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000),
        ]
        let unit = units.first { lowercased.hasSuffix($0.suffix) }
        guard let count = Int64(lowercased.dropLast(unit?.suffix.count ?? 0)) else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit?.factor ?? 1000)
        return overflow ? nil : product
    }
}

/// What one run uses for one option.
struct ResolvedOption: Sendable {
    /// nil when unset, or negated without being a bool.
    var value: OptionValue?
    /// As it was given, apart from a path's last `/`; nil for a secret.
    var text: String?
    var source = Configuration.Source.defaultValue
    var isNegated = false
    var isReset = false
}
