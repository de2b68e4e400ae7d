import BackupModel
import Glibc

/// Names that all info files and manifests share (section B.2 of the reference).
enum InfoFileSyntax {
    static let headerSection = "backrest"
    static let formatKey = "backrest-format"
    static let versionKey = "backrest-version"
    static let checksumKey = "backrest-checksum"
    static let cipherSection = "cipher"
    static let cipherPassKey = "cipher-pass"
}

/// Takes what ``InfoFileReader`` finds, apart from what it takes care of itself.
protocol InfoFileSink {
    mutating func beginSection(_ name: String)
    /// Only within a section. Must read the value to its end.
    mutating func value(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError)
}

/// What a file says of itself.
struct InfoFileFacts {
    var writerVersion = ""
    var cipherPass: Secret<String>?
}

extension UnsafeRawBufferPointer {
    /// For keys, which are ASCII where they mean something.
    static func == (bytes: UnsafeRawBufferPointer, text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount, let base = bytes.baseAddress else {
            return bytes.count == text.utf8CodeUnitCount
        }
        return memcmp(base, text.utf8Start, bytes.count) == 0
    }

    static func == (bytes: UnsafeRawBufferPointer, text: String) -> Bool {
        bytes.count == text.utf8.count && bytes.elementsEqual(text.utf8)
    }

    /// The text, for messages: damaged characters replaced, and no longer than a line.
    var excerpt: String {
        let limit = 100
        let text = String(decoding: prefix(limit), as: UTF8.self)
        return count > limit ? text + "…" : text
    }

    /// The number that the bytes spell in decimal digits; nil for everything else.
    var decimal: UInt64? {
        guard !isEmpty, allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) else { return nil }
        return UInt64(String(decoding: self, as: UTF8.self))
    }
}
