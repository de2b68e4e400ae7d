import BackupModel

/// Writes the container of info files and manifests: sections of `key=value` lines, and the checksum that closes them
/// (section B.2 of the reference).
struct InfoFileWriter: ~Copyable {
    private var sum = InfoFileChecksum()
    private var section = ""
    /// Whether the header of the section stands in the file: sections without a value are not written.
    private var hasHeader = false
    private var hasSections = false
    /// Where key and value of the line begin.
    private var keyStart = 0
    private var valueStart = 0

    mutating func beginSection(_ name: String) {
        section = name
        hasHeader = false
    }

    /// Begins a line; its value is to be appended to `bytes` before ``endValue(in:)``.
    mutating func beginValue(_ key: UnsafeRawBufferPointer, in bytes: inout [UInt8]) {
        if !hasHeader {
            if hasSections { bytes.append("\n") }
            bytes.append("[")
            bytes.append(contentsOf: section.utf8)
            bytes.append("]\n")
            hasHeader = true
            hasSections = true
        }
        keyStart = bytes.count
        bytes.append(contentsOf: key)
        bytes.append("=")
        valueStart = bytes.count
    }

    mutating func endValue(in bytes: inout [UInt8]) {
        bytes.withUnsafeBytes {
            sum.add(
                UnsafeRawBufferPointer(rebasing: $0[keyStart..<valueStart - 1]),
                UnsafeRawBufferPointer(rebasing: $0[valueStart...]), of: section)
        }
        bytes.append("\n")
    }

    mutating func value(_ key: String, in bytes: inout [UInt8], _ write: (inout [UInt8]) -> Void) {
        var key = key
        key.withUTF8 { beginValue(UnsafeRawBufferPointer($0), in: &bytes) }
        write(&bytes)
        endValue(in: &bytes)
    }

    mutating func value(_ key: String, _ text: String, in bytes: inout [UInt8]) {
        value(key, in: &bytes) { $0.appendJSON(text) }
    }

    mutating func value(_ key: String, _ flag: Bool, in bytes: inout [UInt8]) {
        value(key, in: &bytes) { $0.appendJSON(flag) }
    }

    mutating func value(_ key: String, _ number: UInt64, in bytes: inout [UInt8]) {
        value(key, in: &bytes) { $0.appendDecimal(number) }
    }

    /// The section that opens each file.
    mutating func header(writerVersion: String, in bytes: inout [UInt8]) {
        beginSection(InfoFileSyntax.headerSection)
        value(InfoFileSyntax.formatKey, UInt64(ProgramVersion.repositoryFormat), in: &bytes)
        value(InfoFileSyntax.versionKey, writerVersion, in: &bytes)
    }

    mutating func cipher(_ cipherPass: Secret<String>?, in bytes: inout [UInt8]) {
        guard let cipherPass else { return }
        beginSection(InfoFileSyntax.cipherSection)
        value(InfoFileSyntax.cipherPassKey, cipherPass.revealed, in: &bytes)
    }

    /// The section that closes each file.
    mutating func checksum(in bytes: inout [UInt8]) {
        let text = "\n[\(InfoFileSyntax.headerSection)]\n\(InfoFileSyntax.checksumKey)=\"\(sum.finish())\"\n"
        bytes.append(contentsOf: text.utf8)
    }
}
