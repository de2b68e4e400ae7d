import Checksums

/// The checksum that closes an info file. It covers not the file but JSON made of the same sections, keys and values
/// (section B.3 of the reference).
struct InfoFileChecksum: ~Copyable {
    /// Bytes gathered before they are hashed.
    private static let step = 1 << 16

    private var sum = SHA1()
    private var text = Array("{".utf8)
    private var section: String?

    /// Adds an entry, in the order of the file. Sections stand for themselves only when they have one.
    mutating func add(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, of entrySection: String
    ) {
        if entrySection == section {
            text.append(",\"")
        } else {
            text.append(section == nil ? "\"" : "},\"")
            text.append(contentsOf: entrySection.utf8)
            text.append("\":{\"")
            section = entrySection
        }
        text.appendEscaped(key)
        text.append("\":")
        text.append(contentsOf: value)
        if text.count >= Self.step { hash() }
    }

    /// Ends the sum: 40 hex digits.
    mutating func finish() -> String {
        text.append("}}")
        hash()
        return sum.finish().hex
    }

    private mutating func hash() {
        var hashed: [UInt8] = []
        swap(&hashed, &text)
        sum.update(hashed.span.bytes)
        hashed.removeAll(keepingCapacity: true)
        swap(&hashed, &text)
    }
}
