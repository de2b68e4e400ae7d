import BackupModel
import Glibc

/// What was being done to a file when a system call failed: the verb for the message and the code for the exit status.
struct FileAttempt: Sendable {
    let verb: String
    let code: ErrorCode
    /// The code when the thing is not there.
    let missing: ErrorCode

    init(_ verb: String, _ code: ErrorCode, missing: ErrorCode = .fileMissing) {
        self.verb = verb
        self.code = code
        self.missing = missing
    }

    static let open = FileAttempt("open", .fileOpen)
    static let create = FileAttempt("create", .fileOpen, missing: .pathMissing)
    static let read = FileAttempt("read", .fileRead)
    static let write = FileAttempt("write", .fileWrite)
    static let sync = FileAttempt("sync", .fileSync)
    static let close = FileAttempt("close", .fileClose)
    static let setMode = FileAttempt("set the mode of", .fileMode)
    static let rename = FileAttempt("put in place", .fileMove)
    static let link = FileAttempt("create the link", .fileOpen, missing: .pathMissing)
    static let remove = FileAttempt("remove", .fileRemove)
    static let info = FileAttempt("get information on", .fileInfo)
    static let openDirectory = FileAttempt("open directory", .pathOpen, missing: .pathMissing)
    static let listDirectory = FileAttempt("list directory", .pathOpen, missing: .pathMissing)
    static let makeDirectory = FileAttempt("create directory", .pathCreate, missing: .pathMissing)
    static let syncDirectory = FileAttempt("sync directory", .pathSync, missing: .pathMissing)
    static let removeDirectory = FileAttempt("remove directory", .pathRemove, missing: .pathMissing)
}

/// A system call that failed: what the caller knows of it, before it becomes an error for people.
struct SystemFailure: Error {
    var number: Int32
    var attempt: FileAttempt
    var path: String
    /// Bytes that did not fit any more, when known.
    var unwritten = 0

    /// Reads `errno`: make it right after the call.
    init(_ attempt: FileAttempt, _ path: String, number: Int32 = errno, unwritten: Int = 0) {
        self.number = number
        self.attempt = attempt
        self.path = path
        self.unwritten = unwritten
    }

    var isMissing: Bool { number == ENOENT || number == ENOTDIR }
    var isDenied: Bool { number == EACCES || number == EPERM }
    var isFull: Bool { number == ENOSPC || number == EDQUOT }

    /// Network file systems answer so while their server restarts or the file was replaced under an open handle.
    var isRetryable: Bool { number == ESTALE || number == ETIMEDOUT }

    /// The error for people; `place` names the repository that `path` lies in.
    func error(in place: String? = nil) -> BackupError {
        let what = "unable to \(attempt.verb) '\(path)'" + (place.map { " in repository '\($0)'" } ?? "")
        let reason = String(cString: strerror(number)).lowercased()
        switch number {
        case ENOENT where attempt.missing != attempt.code:
            return BackupError(attempt.missing, "\(what): \(reason)")
        case ENOSPC, EDQUOT:
            return full(what, isRepository: place != nil)
        case EACCES, EPERM:
            return BackupError(
                attempt.code, "\(what): \(reason)",
                hint: "user \(geteuid()) who runs this needs permission on it and on the directories above it")
        case EROFS:
            return BackupError(
                attempt.code, "\(what): the file system is mounted read-only",
                hint:
                    "name a place that may be written, or mount it read-write; after an I/O error the kernel remounts a disk so"
            )
        case EIO:
            return BackupError(
                attempt.code, "\(what): the disk reported an input/output error",
                hint: "see the kernel's log (dmesg); what was being written is not durable")
        default:
            return BackupError(attempt.code, "\(what): \(reason)")
        }
    }

    private func full(_ what: String, isRepository: Bool) -> BackupError {
        var message = what + (number == EDQUOT ? ": the quota is used up" : ": no space left")
        if isRepository { message += ", the repository is full" }
        var facts = statvfs()
        // The file itself may be gone by now; its directory is on the same file system.
        if number == ENOSPC, statvfs(path, &facts) == 0 || statvfs(StoragePath.parent(of: path), &facts) == 0 {
            if facts.f_files > 0, facts.f_favail == 0 {
                message += " (no inodes are free)"
            } else {
                let free = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize)).partialValue
                message += " (\(free) bytes are free)"
            }
        }
        if unwritten > 0 { message += ", at least \(unwritten) more bytes are needed" }
        return BackupError(
            .fileWrite, message,
            hint: isRepository
                ? "enlarge the volume, or expire backups: lower repo-retention-full and run expire"
                : "free space on this file system")
    }
}
