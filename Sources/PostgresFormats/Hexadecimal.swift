/// Hexadecimal numbers in names and texts of PostgreSQL.
enum Hexadecimal {
    /// The value of 1 to 8 digits, else nil. Names have upper-case digits only; the text of an LSN may have both.
    static func value(_ digits: some Collection<UInt8>, allowsLowerCase: Bool = false) -> UInt32? {
        var result: UInt32 = 0
        var count = 0
        for digit in digits {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
            case UInt8(ascii: "a")...UInt8(ascii: "f") where allowsLowerCase: value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            count += 1
            if count > 8 { return nil }
            result = result << 4 | UInt32(value)
        }
        return count == 0 ? nil : result
    }

    /// Eight upper-case digits for each value, without separator.
    static func fixedWidth(_ values: UInt32...) -> String {
        String(unsafeUninitializedCapacity: values.count * 8) { buffer in
            for (index, value) in values.enumerated() {
                for place in 0..<8 {
                    let digit = UInt8(truncatingIfNeeded: value >> (28 - 4 * UInt32(place)) & 0xF)
                    buffer[index * 8 + place] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") + digit - 10
                }
            }
            return values.count * 8
        }
    }
}
