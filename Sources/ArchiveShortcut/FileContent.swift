import Glibc

/// By what a file is known again where it has another device and number, as in another container: by what is in it.
/// Blocking.
package enum FileContent {
    /// Configuration files are smaller.
    private static let limit = 1 << 20

    /// Of a program its build id, which its linker made from all of it, and its size; of another file a digest; of a
    /// directory that of the names that count, which end in `.conf`. nil where there is no such file, or it cannot be told.
    package static func text(_ path: String) -> String? {
        var facts = stat()
        guard stat(path, &facts) == 0 else { return nil }
        switch facts.st_mode & S_IFMT {
        case S_IFDIR:
            guard let names = FileFacts.names(path) else { return nil }
            let listed = names.filter { $0.hasSuffix(".conf") }.sorted()
            return "names " + ContentDigest.text(listed.flatMap { Array($0.utf8) + [0] })
        case S_IFREG:
            if let id = BuildID.read(path) { return "build \(id) \(facts.st_size)" }
            return FileFacts.contents(path, limit: limit).map { "bytes " + ContentDigest.text($0) }
        default: return nil
        }
    }
}

/// The note of an ELF file that tells one build of a program from all others.
enum BuildID {
    /// In hexadecimal digits; nil when the file is no 64-bit ELF file of this machine's byte order, or has none.
    static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // elf(5): Elf64_Ehdr, then e_phnum program headers of 56 bytes.
        guard let head = bytes(descriptor, 0, 64), Array(head.prefix(5)) == [0x7f, 0x45, 0x4c, 0x46, 2],
            number(head, 54, UInt16.self) == 56, let table = Int(exactly: number(head, 32, UInt64.self)),
            let headers = bytes(descriptor, table, Int(number(head, 56, UInt16.self)) * 56)
        else { return nil }
        for start in stride(from: 0, to: headers.count, by: 56) where number(headers, start, UInt32.self) == 4 {
            guard let offset = Int(exactly: number(headers, start + 8, UInt64.self)),
                let size = Int(exactly: number(headers, start + 32, UInt64.self)), size < 1 << 16,
                let notes = bytes(descriptor, offset, size)
            else { continue }
            if let id = id(in: notes) { return id }
        }
        return nil
    }

    /// Each note: sizes of name and description, type, then both, padded to four bytes.
    private static func id(in notes: [UInt8]) -> String? {
        var start = 0
        while start + 12 <= notes.count {
            let nameSize = Int(number(notes, start, UInt32.self))
            let size = Int(number(notes, start + 4, UInt32.self))
            let text = start + 12 + (nameSize + 3) / 4 * 4
            guard text <= notes.count, size <= notes.count - text else { return nil }
            if number(notes, start + 8, UInt32.self) == 3, nameSize == 4, size > 0,
                Array(notes[(start + 12)..<(start + 16)]) == [0x47, 0x4e, 0x55, 0]
            {
                return notes[text..<(text + size)].map { byte in
                    (byte < 16 ? "0" : "") + String(byte, radix: 16)
                }.joined()
            }
            start = text + (size + 3) / 4 * 4
        }
        return nil
    }

    private static func bytes(_ descriptor: Int32, _ offset: Int, _ count: Int) -> [UInt8]? {
        guard offset >= 0, count > 0 else { return nil }
        var buffer = [UInt8](repeating: 0, count: count)
        return pread(descriptor, &buffer, count, offset) == count ? buffer : nil
    }

    private static func number<Value: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int, _ type: Value.Type) -> Value {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Value.self) }
    }
}
