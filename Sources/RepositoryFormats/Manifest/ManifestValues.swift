import BackupModel
import Checksums
import Glibc

/// Names of files, paths and links, from which paths in repositories and on disks are made.
enum ManifestName {
    /// Bytes; no file system that we know takes more.
    private static let lengthLimit = 65_535

    /// Throws `.format` for what would lead out of the directory that it is relative to, or is no UTF-8.
    static func check(_ name: UnsafeRawBufferPointer) throws(BackupError) {
        guard name.count <= lengthLimit, let base = name.baseAddress, name.first != UInt8(ascii: "/"),
            memchr(base, 0, name.count) == nil, !leavesDirectory(name)
        else { throw BackupError(.format, "the name is no relative path") }
        guard isUTF8(name) else { throw BackupError(.format, "the name is not UTF-8") }
    }

    static func checked(_ name: UnsafeRawBufferPointer) throws(BackupError) -> String {
        try check(name)
        return String(decoding: name, as: UTF8.self)
    }

    static func text(_ name: UnsafeRawBufferPointer) throws(BackupError) -> String {
        guard let text = String(validating: name, as: UTF8.self) else {
            throw BackupError(.format, "the name is not UTF-8")
        }
        return text
    }

    /// Whether a component is `..`.
    private static func leavesDirectory(_ name: UnsafeRawBufferPointer) -> Bool {
        // Few names have a dot at all.
        guard let base = name.baseAddress, memchr(base, Int32(UInt8(ascii: ".")), name.count) != nil else {
            return false
        }
        return name.split(separator: UInt8(ascii: "/")).contains { $0.elementsEqual("..".utf8) }
    }

    private static func isUTF8(_ name: UnsafeRawBufferPointer) -> Bool {
        name.allSatisfy { $0 < 0x80 } || String(validating: name, as: UTF8.self) != nil
    }
}

extension JSONReader {
    mutating func digest() throws(BackupError) -> SHA1Digest {
        let text = try plainText()
        guard let digest = SHA1Digest(hexBytes: text.bytes) else { throw problem("a SHA-1 of 40 hex digits expected") }
        return digest
    }

    /// Permission bits from octal digits.
    mutating func mode() throws(BackupError) -> UInt16 {
        let text = try plainText()
        var mode: UInt16 = 0
        for byte in text {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "7"), mode <= 0o777 else {
                throw problem("a mode of octal digits expected")
            }
            mode = mode << 3 | UInt16(byte - UInt8(ascii: "0"))
        }
        guard !text.isEmpty else { throw problem("a mode of octal digits expected") }
        return mode
    }

    /// A name, or `false` where there was none.
    mutating func owner() throws(BackupError) -> ManifestFiles.OwnerName {
        if isText() { return .known(try string()) }
        if try null() { return .unknown }
        guard try !bool() else { throw problem("a name or false expected") }
        return .unknown
    }

    /// Page numbers and pairs of the first and last of a range.
    mutating func pages() throws(BackupError) -> [ClosedRange<UInt32>] {
        var pages: [ClosedRange<UInt32>] = []
        guard try !null() else { return pages }
        try beginArray()
        while try nextElement() {
            guard isArray() else {
                let page = try unsigned(UInt32.self)
                pages.append(page...page)
                continue
            }
            try beginArray()
            guard try nextElement() else { throw problem("two page numbers expected") }
            let first = try unsigned(UInt32.self)
            guard try nextElement() else { throw problem("two page numbers expected") }
            let last = try unsigned(UInt32.self)
            guard try !nextElement(), first <= last else { throw problem("two page numbers expected") }
            pages.append(first...last)
        }
        return pages
    }

    /// Bytes, from a number of ``BlockIncremental/sizeUnit``.
    mutating func blockSize() throws(BackupError) -> UInt32 {
        let (size, overflow) = try unsigned(UInt32.self).multipliedReportingOverflow(by: BlockIncremental.sizeUnit)
        guard !overflow else { throw problem("block size out of range") }
        return size
    }

    mutating func blockChecksumSize() throws(BackupError) -> UInt8 {
        let size = try unsigned(UInt8.self)
        guard (1...BlockIncremental.checksumSizeLimit).contains(size) else {
            throw problem("size of block checksums out of range")
        }
        return size
    }

    /// 32 bits, in which pgBackRest wraps negative levels.
    mutating func level() throws(BackupError) -> Int {
        let value = try integer()
        if let level = Int32(exactly: value) { return Int(level) }
        guard let level = UInt32(exactly: value) else { throw problem("level out of range") }
        return Int(Int32(bitPattern: level))
    }

    /// A boolean, or nil for `null`.
    mutating func nullableBool() throws(BackupError) -> Bool? { try null() ? nil : try bool() }
}
