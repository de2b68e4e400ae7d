import BackupModel
import Glibc

/// An object whose bytes come from elsewhere in parts, in any order and from any thread. Nothing of it shows before
/// ``complete(size:_:)``, whatever its mode.
///
/// It is known by its name alone, so that a process that is started again goes on with it.
package struct PosixUpload: Sendable {
    private let store: PosixStore
    private let path: String
    private let temporary: String

    /// Begins one.
    package init(_ store: PosixStore, _ path: String) throws(StorageError) {
        try self.init(store, path, id: String(UInt64.random(in: .min ... .max), radix: 36))
        try store.storage { () throws(SystemFailure) in
            try store.creatingParents(of: store.systemPath(path), durable: false) { () throws(SystemFailure) in
                let descriptor = try SystemFile.open(
                    temporary, O_WRONLY | O_CREAT | O_EXCL, mode: store.fileMode, .create)
                defer { _ = Glibc.close(descriptor) }
                if store.mustSetFileMode { try SystemFile.setMode(descriptor, store.fileMode, path: temporary) }
            }
        }
    }

    /// The one that was begun with this id. Whether it is there, its first call tells.
    package init(_ store: PosixStore, _ path: String, id: String) throws(StorageError) {
        try StoragePath.validate(path)
        guard !id.isEmpty, id.utf8.count <= 16,
            id.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) })
        else { throw StorageError(BackupError(.parameterInvalid, "'\(id)' is no id of an upload")) }
        self.store = store
        self.path = path
        self.id = id
        temporary = store.temporaryName(for: store.systemPath(path), unique: id)
    }

    /// Lower-case letters and digits.
    package let id: String

    /// Where its bytes are for now, in the store: a name that no list shows.
    package var temporaryPath: String {
        let directory = StoragePath.parent(of: path)
        let name = temporary.split(separator: "/").last.map(String.init) ?? ""
        return directory.isEmpty ? name : "\(directory)/\(name)"
    }

    /// Opens it to write from `offset`. Of two that write the same place the later counts.
    package func writer(at offset: UInt64) throws(StorageError) -> Part {
        guard offset < 1 << 62 else {
            throw StorageError(BackupError(.parameterInvalid, "byte \(offset) is beyond the end of all files"))
        }
        let descriptor = try store.storage { () throws(SystemFailure) in
            try SystemFile.open(temporary, O_WRONLY | O_NOFOLLOW)
        }
        return Part(store, temporary, descriptor, offset)
    }

    /// Puts it in its place, durably but for the name of an `.inPlace` object.
    /// - Parameter size: of all that was written, bytes.
    package func complete(size: UInt64, _ mode: WriteMode) throws(StorageError) {
        try store.storage { () throws(SystemFailure) in
            let descriptor = try SystemFile.open(temporary, O_WRONLY | O_NOFOLLOW)
            defer { _ = Glibc.close(descriptor) }
            var facts = stat()
            if fstat(descriptor, &facts) != 0 { throw SystemFailure(.info, temporary) }
            // A part is missing, or belongs to something else.
            guard UInt64(clamping: facts.st_size) == size else { throw SystemFailure(.write, path, number: EINVAL) }
            try SystemFile.sync(descriptor, path: temporary)
            let file = store.systemPath(path)
            switch mode {
            case .create: try SystemFile.renameIfAbsent(temporary, to: file)
            case .atomic, .inPlace: try SystemFile.rename(temporary, to: file)
            }
            if case .inPlace = mode { return }
            try store.syncName(of: file)
        }
    }

    package func abort() { _ = unlink(temporary) }

    /// A part on its way, for one task.
    package final class Part {
        private let store: PosixStore
        private let path: String
        private let descriptor: Int32
        private var offset: UInt64

        fileprivate init(_ store: PosixStore, _ path: String, _ descriptor: Int32, _ offset: UInt64) {
            self.store = store
            self.path = path
            self.descriptor = descriptor
            self.offset = offset
        }

        deinit { _ = Glibc.close(descriptor) }

        package func append(_ bytes: RawSpan) throws(StorageError) {
            let start = offset
            offset = try store.storage { () throws(SystemFailure) in
                try SystemFile.writeAll(descriptor, bytes, at: start, path: path)
                return start + UInt64(bytes.byteCount)
            }
        }
    }
}
