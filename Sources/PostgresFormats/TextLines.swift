/// Small texts of PostgreSQL, line by line.
enum TextLines {
    /// Lines without their end (`\n` or `\r\n`); blank ones are kept, but for the one after the last line end.
    static func split(_ text: RawSpan) -> [ArraySlice<UInt8>] {
        let bytes = text.withUnsafeBytes { Array($0) }
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map { $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0 }
    }

    /// For a message: at most 80 bytes, whatever they are.
    static func quotable(_ line: ArraySlice<UInt8>) -> String {
        String(decoding: line.prefix(80).map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
    }
}

extension UInt32 {
    /// From decimal digits only: no sign, no space.
    init?(decimal digits: some Collection<UInt8>) {
        if digits.isEmpty { return nil }
        self = 0
        for digit in digits {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            let (product, isTooLarge) = multipliedReportingOverflow(by: 10)
            let (sum, isSumTooLarge) = product.addingReportingOverflow(UInt32(digit - UInt8(ascii: "0")))
            if isTooLarge || isSumTooLarge { return nil }
            self = sum
        }
    }
}
