import BackupModel
import CLinux
import Glibc
import RepositoryStorage

/// What pgBackRest locks: `archive` and `backup` in all versions, `restore` since 2.56.
package enum LockType: String, CaseIterable, Sendable {
    case archive, backup, restore
}

/// Who holds a lock file, as far as the file tells.
package struct LockHolder: Sendable, Equatable {
    package var processID: Int32?
    package var executionID: String?
    /// Of what the command works on, in 1/100 %: 10000 is all.
    package var progress: UInt64?
    /// Bytes; pgBackRest tells them since 2.53.
    package var size: UInt64?
    package var sizeDone: UInt64?
}

/// One of pgBackRest's lock files, locked by flock(2).
struct LockFile {
    let path: String
    /// Of the file that older versions lock for all repositories at once. Ours share it: they keep those versions out
    /// but not each other, which work on repositories of their own.
    let isShared: Bool
    let isArchive: Bool
    let descriptor: Int32

    /// The files of one type: `<stanza>-backup.lock` up to pgBackRest 2.52, `<stanza>-backup-1.lock` since 2.53. No
    /// version that locks restores uses the first form.
    static func names(_ type: LockType, stanza: String, repositoryKeys: [Int]) -> [(name: String, isShared: Bool)] {
        let common = "\(stanza)-\(type.rawValue)"
        return (type == .restore ? [] : [("\(common).lock", true)])
            + repositoryKeys.sorted().map { ("\(common)-\($0).lock", false) }
    }

    /// nil when a process of the same run holds it.
    static func lock(
        _ path: String, isShared: Bool, isArchive: Bool, executionID: String
    ) throws(BackupError) -> LockFile? {
        // Whoever asks for the state of a lock takes it for an instant: try again after one.
        var tries = 3
        while true {
            let descriptor = try openCreating(path)
            if linux_flock(descriptor, (isShared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 {
                if isCurrent(descriptor, path) {
                    return LockFile(path: path, isShared: isShared, isArchive: isArchive, descriptor: descriptor)
                }
                // Its holder removed the file between our open and our lock.
                close(descriptor)
                continue
            }
            let number = errno
            let holder = contents(descriptor)
            close(descriptor)
            if number == EINTR { continue }
            guard number == EWOULDBLOCK else {
                throw BackupError(.lockAcquire, "unable to acquire lock on file '\(path)': \(reason(number))")
            }
            if let other = holder?.executionID, other == executionID { return nil }
            tries -= 1
            if tries == 0 { throw busy(path, holder) }
            usleep(10_000)
        }
    }

    /// Who holds the file at `path`; nil when nobody does, or only those who share it.
    static func holder(_ path: String) -> LockHolder? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0 { return nil }
        defer { close(descriptor) }
        if linux_flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return nil }
        return contents(descriptor) ?? LockHolder()
    }

    /// The new text goes over the old before the file is cut to length: a reader sees an object at any moment.
    func write(_ body: FlatJSON) throws(BackupError) {
        let bytes = body.bytes
        guard pwrite(descriptor, bytes, bytes.count, 0) == bytes.count, ftruncate(descriptor, bytes.count) == 0 else {
            throw BackupError(.fileWrite, "unable to write lock file '\(path)': \(Self.reason(errno))")
        }
    }

    /// Removes the file while it is locked, so that nobody's lock is on a file without a name.
    func release() {
        let isLast = !isShared || linux_flock(descriptor, LOCK_EX | LOCK_NB) == 0
        if isLast, Self.isCurrent(descriptor, path) { unlink(path) }
        close(descriptor)
    }

    private static func openCreating(_ path: String) throws(BackupError) -> Int32 {
        var madeDirectory = false
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
            if descriptor >= 0 { return descriptor }
            switch errno {
            case EINTR: continue
            case ENOENT where !madeDirectory:
                let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) ?? path.startIndex
                try LocalFile.makeDirectories(String(path[..<slash]), mode: 0o770)
                madeDirectory = true
            case let number:
                throw BackupError(
                    .lockAcquire, "unable to acquire lock on file '\(path)': \(reason(number))",
                    hint: number == EACCES
                        ? "the file belongs to another user than \(geteuid()) who runs this: run all commands of a stanza as "
                            + "the same user, usually postgres" : nil)
            }
        }
    }

    private static func isCurrent(_ descriptor: Int32, _ path: String) -> Bool {
        var locked = stat()
        var named = stat()
        return fstat(descriptor, &locked) == 0 && lstat(path, &named) == 0 && locked.st_ino == named.st_ino
            && locked.st_dev == named.st_dev
    }

    private static func contents(_ descriptor: Int32) -> LockHolder? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0, let body = FlatJSON(Array(bytes[..<count])) else { return nil }
        return LockHolder(
            processID: body[number: "pid"].flatMap { Int32(exactly: $0) }, executionID: body[text: "execId"],
            progress: body[number: "pctCplt"], size: body[number: "sz"], sizeDone: body[number: "szCplt"])
    }

    private static func busy(_ path: String, _ holder: LockHolder?) -> BackupError {
        let who = holder?.processID.map { "process \($0) holds it" } ?? "another process holds it"
        return BackupError(
            .lockAcquire, "unable to acquire lock on file '\(path)': \(who)",
            hint: "a command of Permafrost or pgBackRest runs for the same stanza: wait until it is done"
                + (holder?.processID.map { ", 'ps -fp \($0)' shows which" } ?? ""))
    }

    private static func reason(_ number: Int32) -> String { String(cString: strerror(number)).lowercased() }
}
