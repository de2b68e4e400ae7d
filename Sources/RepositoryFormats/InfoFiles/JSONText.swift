/// Writing JSON as pgBackRest does: compact, and only seven characters escaped.
extension [UInt8] {
    mutating func append(_ text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// `,"key":`, without the comma at the start of an object.
    mutating func appendKey(_ key: StaticString) {
        if last != UInt8(ascii: "{") { append(UInt8(ascii: ",")) }
        append(UInt8(ascii: "\""))
        append(key)
        append("\":")
    }

    mutating func appendKey(_ key: String) {
        if last != UInt8(ascii: "{") { append(UInt8(ascii: ",")) }
        appendJSON(key)
        append(UInt8(ascii: ":"))
    }

    mutating func appendJSON(_ text: String) {
        append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { appendEscaped(UnsafeRawBufferPointer($0)) }
        append(UInt8(ascii: "\""))
    }

    /// `false` for nil, as manifests write the owner that has no name.
    mutating func appendOwner(_ name: String?) {
        guard let name else { return append("false") }
        appendJSON(name)
    }

    mutating func appendJSON(_ value: Bool) { append(value ? "true" : "false") }

    mutating func appendDecimal(_ value: UInt64) {
        guard value >= 10 else { return append(UInt8(ascii: "0") + UInt8(value)) }
        let start = count
        var rest = value
        while rest > 0 {
            append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        }
        self[start...].reverse()
    }

    mutating func appendDecimal(_ value: Int64) {
        if value < 0 { append(UInt8(ascii: "-")) }
        appendDecimal(value.magnitude)
    }

    mutating func appendDecimal(_ value: Int) { appendDecimal(Int64(value)) }

    mutating func appendDecimal(_ value: UInt32) { appendDecimal(UInt64(value)) }

    /// Four octal digits between quotation marks.
    mutating func appendMode(_ mode: UInt16) {
        append(UInt8(ascii: "\""))
        for shift in [9, 6, 3, 0] as [UInt16] { append(UInt8(ascii: "0") + UInt8(mode >> shift & 7)) }
        append(UInt8(ascii: "\""))
    }

    mutating func appendJSON(_ values: [String: String]) {
        append("{")
        for (key, value) in values.sorted(by: { BytewiseOrder.precedes($0.key, $1.key) }) {
            appendKey(key)
            appendJSON(value)
        }
        append("}")
    }

    /// The characters of a JSON string. Other control characters and everything beyond ASCII stay as they are.
    mutating func appendEscaped(_ text: UnsafeRawBufferPointer) {
        var plainStart = 0
        for index in text.indices {
            let escape: UInt8
            switch text[index] {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): escape = text[index]
            case 0x0a: escape = UInt8(ascii: "n")
            case 0x0d: escape = UInt8(ascii: "r")
            case 0x09: escape = UInt8(ascii: "t")
            case 0x08: escape = UInt8(ascii: "b")
            case 0x0c: escape = UInt8(ascii: "f")
            default: continue
            }
            append(contentsOf: text[plainStart..<index])
            append(UInt8(ascii: "\\"))
            append(escape)
            plainStart = index + 1
        }
        append(contentsOf: text[plainStart...])
    }
}

/// The order of names in repository files: by bytes, where `String` compares by canonical equivalence.
enum BytewiseOrder {
    static func precedes(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }
}
