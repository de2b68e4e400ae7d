import BackupModel
import Glibc

/// Reads the container of info files and manifests, fed in pieces of any size, line by line (sections B.2 and B.3 of
/// the reference).
struct InfoFileReader: ~Copyable {
    /// Bytes of the longest line: far above what a file of 1 GiB segments with errors on every other page takes.
    private static let lineLimit = 16 << 20

    private var facts = InfoFileFacts()
    private var lineNumber = 0
    /// The beginning of a line whose end has not come yet.
    private var partialLine: [UInt8] = []
    private var section: String?
    private var sum = InfoFileChecksum()
    private var hasFormat = false
    private var checksum: String?

    /// Throws `.format` for what is no info file of a format that we know, and whatever `sink` throws.
    mutating func feed<Sink: InfoFileSink>(_ bytes: RawSpan, into sink: inout Sink) throws(BackupError) {
        try bytes.withUnsafeBytes { bytes throws(BackupError) in try feed(bytes, into: &sink) }
    }

    /// Throws `.checksum` when the closing checksum is missing or wrong.
    mutating func finish<Sink: InfoFileSink>(into sink: inout Sink) throws(BackupError) -> InfoFileFacts {
        try endPartialLine(into: &sink)
        let computed = sum.finish()
        guard let checksum else {
            throw BackupError(.checksum, "the file has no checksum, so that its end is missing")
        }
        guard checksum == computed else {
            throw BackupError(
                .checksum,
                "checksum of the file does not match its content: '\(checksum)' in the file, '\(computed)' computed")
        }
        guard hasFormat else { throw BackupError(.format, "'\(InfoFileSyntax.formatKey)' is missing") }
        return facts
    }

    private mutating func feed<Sink: InfoFileSink>(
        _ bytes: UnsafeRawBufferPointer, into sink: inout Sink
    ) throws(BackupError) {
        guard let base = bytes.baseAddress else { return }
        var start = 0
        while start < bytes.count, let found = memchr(base + start, 0x0a, bytes.count - start) {
            let end = UnsafeRawPointer(found) - base
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            if partialLine.isEmpty {
                try line(rest, into: &sink)
            } else {
                partialLine.append(contentsOf: rest)
                try endPartialLine(into: &sink)
            }
            start = end + 1
        }
        partialLine.append(contentsOf: bytes[start...])
        guard partialLine.count <= Self.lineLimit else { throw problem("line of more than \(Self.lineLimit) bytes") }
    }

    private mutating func endPartialLine<Sink: InfoFileSink>(into sink: inout Sink) throws(BackupError) {
        var line: [UInt8] = []
        swap(&line, &partialLine)
        try line.span.bytes.withUnsafeBytes { bytes throws(BackupError) in try self.line(bytes, into: &sink) }
        line.removeAll(keepingCapacity: true)
        swap(&line, &partialLine)
    }

    private mutating func line<Sink: InfoFileSink>(
        _ line: UnsafeRawBufferPointer, into sink: inout Sink
    ) throws(BackupError) {
        lineNumber += 1
        guard let first = line.first, let last = line.last else { return }
        guard first != UInt8(ascii: "[") || last != UInt8(ascii: "]") else {
            guard line.count > 2 else { throw problem("section without a name") }
            guard let name = String(validating: line[1..<line.count - 1], as: UTF8.self) else {
                throw problem("name of a section is not UTF-8")
            }
            section = name
            if name != InfoFileSyntax.headerSection && name != InfoFileSyntax.cipherSection { sink.beginSection(name) }
            return
        }
        guard let section else {
            guard lineNumber > 1 || !line.starts(with: "Salted__".utf8) else {
                throw BackupError(
                    .crypto, "the file is encrypted",
                    hint: "set repo-cipher-type and repo-cipher-pass for this repository")
            }
            throw problem("a section was expected, not '\(line.excerpt)'")
        }
        let (key, value) = try split(line)
        var reader = JSONReader(value)
        do throws(BackupError) {
            switch section {
            case InfoFileSyntax.headerSection: try header(key, value, &reader)
            case InfoFileSyntax.cipherSection: try cipher(key, &reader)
            default: try sink.value(key, &reader)
            }
            try reader.finish()
        } catch {
            throw error.within("'\(excerpt(key))'").within("line \(lineNumber)")
        }
        guard section != InfoFileSyntax.headerSection || !(key == InfoFileSyntax.checksumKey) else { return }
        sum.add(key, value, of: section)
    }

    /// Keys may hold `=`: the value begins behind the first one that is followed by JSON up to the end of the line.
    private func split(
        _ line: UnsafeRawBufferPointer
    ) throws(BackupError) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        guard var equals = Self.equalsSign(in: line, from: 0) else {
            throw problem("'=' is missing in '\(excerpt(line))'")
        }
        // The value itself tells whether it is JSON when there is nothing to choose.
        while let next = Self.equalsSign(in: line, from: equals + 1) {
            var reader = JSONReader(UnsafeRawBufferPointer(rebasing: line[(equals + 1)...]))
            do throws(BackupError) {
                try reader.skip()
                try reader.finish()
                break
            } catch {
                equals = next
            }
        }
        guard equals > 0 else { throw problem("key without a name") }
        return (
            UnsafeRawBufferPointer(rebasing: line[..<equals]), UnsafeRawBufferPointer(rebasing: line[(equals + 1)...])
        )
    }

    private static func equalsSign(in line: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard let base = line.baseAddress, start < line.count else { return nil }
        guard let found = memchr(base + start, Int32(UInt8(ascii: "=")), line.count - start) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private mutating func header(
        _ key: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer, _ value: inout JSONReader
    ) throws(BackupError) {
        switch key {
        case _ where key == InfoFileSyntax.formatKey:
            guard text.decimal == UInt64(ProgramVersion.repositoryFormat) else {
                throw BackupError(
                    .format, "format \(ProgramVersion.repositoryFormat) expected, but '\(text.excerpt)' found")
            }
            hasFormat = true
            try value.skip()
        case _ where key == InfoFileSyntax.versionKey: facts.writerVersion = try value.string()
        case _ where key == InfoFileSyntax.checksumKey: checksum = try value.string()
        default: try value.skip()
        }
    }

    private mutating func cipher(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        guard key == InfoFileSyntax.cipherPassKey else { return try value.skip() }
        do throws(BackupError) {
            facts.cipherPass = Secret(try value.string())
        } catch {
            throw BackupError(error.code, "invalid passphrase")
        }
    }

    /// For messages, which must not show a passphrase.
    private func excerpt(_ bytes: UnsafeRawBufferPointer) -> String {
        section == InfoFileSyntax.cipherSection ? "[\(InfoFileSyntax.cipherSection)]" : bytes.excerpt
    }

    private func problem(_ text: String) -> BackupError { BackupError(.format, "line \(lineNumber): \(text)") }
}
