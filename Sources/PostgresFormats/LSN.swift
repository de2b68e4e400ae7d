/// A position in the WAL, in bytes.
package struct LSN: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// From `X/Y`, hexadecimal: one to eight digits each, in either case, as PostgreSQL's `pg_lsn` reads it.
    package init?(_ text: some StringProtocol) {
        self.init(utf8: text.utf8)
    }

    init?(utf8 text: some Collection<UInt8>) {
        guard let slash = text.firstIndex(of: UInt8(ascii: "/")),
            let high = Hexadecimal.value(text[..<slash], allowsLowerCase: true),
            let low = Hexadecimal.value(text[slash...].dropFirst(), allowsLowerCase: true)
        else { return nil }
        rawValue = UInt64(high) << 32 | UInt64(low)
    }

    /// `X/Y` as PostgreSQL writes it: upper case, without leading zeros.
    package var description: String {
        "\(String(rawValue >> 32, radix: 16, uppercase: true))/\(String(rawValue & 0xFFFF_FFFF, radix: 16, uppercase: true))"
    }

    package static func < (left: LSN, right: LSN) -> Bool { left.rawValue < right.rawValue }
}
