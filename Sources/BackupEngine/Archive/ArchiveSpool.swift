package import BackupModel
import Glibc
import PostgresFormats
import RepositoryStorage

/// `<spool-path>/archive/<stanza>/out` or `in`: where background processes leave what they did. Blocking.
///
/// Nothing here is needed: what is lost is done again.
package struct ArchiveSpool: Sendable {
    package enum Direction: String, Sendable {
        case push = "out"
        case get = "in"
    }

    package let directory: String

    package init(_ configuration: Configuration, _ direction: Direction) throws(BackupError) {
        guard let root = configuration.string(.spoolPath) else {
            throw BackupError(.optionRequired, "spool-path is required for archive-async")
        }
        self.init(directory: "\(root)/archive/\(try configuration.requiredStanza())/\(direction.rawValue)")
    }

    package init(directory: String) { self.directory = directory }

    /// Makes the directory.
    /// - Throws: when files cannot be made in it, as far as that can be told.
    package func prepare() throws(BackupError) {
        try LocalFile.makeDirectories(directory, mode: 0o750)
        guard access(directory, W_OK | X_OK) == 0 else {
            throw systemError(.fileOpen, "unable to write to spool directory '\(directory)'", errno)
        }
    }

    package func path(_ name: String) -> String { "\(directory)/\(name)" }

    package func names() throws(BackupError) -> [String] { try LocalFile.names(in: directory) }

    package func holds(_ name: String) throws(BackupError) -> Bool { try LocalDirectory.status(path(name)) != nil }

    /// What was said of `name`, or of all; nil when nothing was. That it is done counts before any error.
    package func status(of name: String) throws(BackupError) -> SpoolStatus? {
        for file in [
            name + SpoolStatus.doneSuffix, name + SpoolStatus.failedSuffix,
            SpoolStatus.global + SpoolStatus.failedSuffix,
        ] {
            do throws(BackupError) {
                let bytes = try LocalFile.readAll(path(file), limit: 1 << 20)
                return try SpoolStatus(fileName: file, bytes)
            } catch {
                if error.code != .fileMissing { throw error }
            }
        }
        return nil
    }

    /// Shows whole or not at all.
    package func write(_ status: SpoolStatus, for name: String) throws(BackupError) {
        let target = path(name + status.suffix)
        let bytes = status.bytes
        let temporary = bytes.isEmpty ? target : target + StoragePath.temporarySuffix
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw systemError(.fileOpen, "unable to open '\(temporary)' for writing", errno) }
        defer { close(descriptor) }
        guard !bytes.isEmpty else { return }
        do throws(BackupError) {
            try writeFully(descriptor, temporary, bytes)
            guard rename(temporary, target) == 0 else {
                throw systemError(.fileMove, "unable to rename '\(temporary)' to '\(target)'", errno)
            }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    package func remove(_ names: [String]) throws(BackupError) {
        for name in names { _ = try LocalFile.remove(path(name)) }
    }

    /// Errors of an earlier run.
    package func clearErrors(of name: String) throws(BackupError) {
        try remove([name + SpoolStatus.failedSuffix, SpoolStatus.global + SpoolStatus.failedSuffix])
    }

    /// Removes `<name>.ok` if `<name>.ready` is younger: it speaks of a file that had the name before, as after the data
    /// directory was put back to an earlier state. True when it did.
    package func removeOutdated(_ name: String, statusDirectory: String) throws(BackupError) -> Bool {
        let file = name + SpoolStatus.doneSuffix
        guard let done = FileTime(path(file)),
            let ready = FileTime("\(statusDirectory)/\(name)\(ArchivePushQueue.readySuffix)"), done < ready
        else { return false }
        try remove([file])
        return true
    }
}

/// When a file was last written.
struct FileTime: Comparable {
    var seconds: Int
    var nanoseconds: Int

    /// nil when there is no such file.
    init?(_ path: String) {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return nil }
        seconds = facts.st_mtim.tv_sec
        nanoseconds = facts.st_mtim.tv_nsec
    }

    static func < (left: FileTime, right: FileTime) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }
}
