package import BackupModel
import Glibc

/// Files of this host outside repositories: configuration, log, spool, lock, keys. All calls block.
package enum LocalFile {
    /// All bytes of a file.
    /// - Throws: `.fileMissing` when it is not there, `.fileInvalid` when it has more than `limit` bytes.
    package static func readAll(_ path: String, limit: Int = 16 << 20) throws(BackupError) -> [UInt8] {
        let bytes = try described { () throws(SystemFailure) in try SystemFile.contents(path, limit: limit) }
        guard let bytes else { throw BackupError(.fileInvalid, "'\(path)' is larger than \(limit) bytes") }
        return bytes
    }

    /// Writes a file so that, whatever happens, either the old or the new content is there; durable on return. Its
    /// directory must exist.
    /// - Parameter isNew: throws `.fileExists` when the file is there; of several concurrent callers one succeeds.
    package static func writeDurably(
        _ path: String, _ bytes: [UInt8], mode: UInt32 = 0o640, isNew: Bool = false
    ) throws(BackupError) {
        var isThere = false
        try described { () throws(SystemFailure) in
            let temporary =
                path + "." + String(UInt64.random(in: .min ... .max), radix: 36) + StoragePath.temporarySuffix
            let descriptor = try SystemFile.open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode, .create)
            do throws(SystemFailure) {
                defer { _ = Glibc.close(descriptor) }
                try SystemFile.setMode(descriptor, mode, path: temporary)
                try SystemFile.writeAll(descriptor, bytes.span.bytes, path: temporary)
                try SystemFile.sync(descriptor, path: temporary)
                if isNew {
                    try SystemFile.renameIfAbsent(temporary, to: path)
                } else {
                    try SystemFile.rename(temporary, to: path)
                }
            } catch {
                _ = unlink(temporary)
                isThere = isNew && error.number == EEXIST
                if isThere { return }
                throw error
            }
            try SystemDirectory.sync(SystemDirectory.parent(of: path))
        }
        if isThere { throw BackupError(.fileExists, "'\(path)' is there already") }
    }

    /// Makes a directory with its parents, durably, with exactly `mode`. One that exists is left as it is.
    package static func makeDirectories(_ path: String, mode: UInt32 = 0o770) throws(BackupError) {
        try described { () throws(SystemFailure) in
            for changed in try SystemDirectory.make(path, mode: mode, exactMode: true) {
                try SystemDirectory.sync(changed)
            }
        }
    }

    /// Removes a file; false when there was none.
    package static func remove(_ path: String) throws(BackupError) -> Bool {
        try described { () throws(SystemFailure) in try SystemFile.remove(path) }
    }

    /// The names in a directory, bytewise; none when it is not there.
    package static func names(in directory: String) throws(BackupError) -> [String] {
        try described { () throws(SystemFailure) in try PosixListing.entries(of: directory, prefix: "").map(\.name) }
    }

    private static func described<Value>(_ body: () throws(SystemFailure) -> Value) throws(BackupError) -> Value {
        do throws(SystemFailure) {
            return try body()
        } catch {
            throw error.error()
        }
    }
}
