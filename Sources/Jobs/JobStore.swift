package import BackupModel
import CLinux
import Glibc
import HTTP
import RepositoryStorage
import Synchronization

/// Where jobs are kept: a directory for each, which outlives whoever started it. All calls block.
///
/// | file | what | written |
/// | --- | --- | --- |
/// | `request` | who asked for what, ``JobRecord`` | first; a directory without it is no job |
/// | `log` | what the program logs, a line of JSON each | by the program, which holds a lock on it until it has ended |
/// | `output` | what it prints | by the program |
/// | `process` | which process it is, so that it can be told to end | when it runs |
/// | `cancelled` | that it was told to | after the signal |
/// | `result` | ``JobResult`` | last; one without it that does not run any more was lost |
package final class JobStore: Sendable {
    package let path: String
    /// Of the file `lock`, -1 when it was given up: two that watch the same jobs would write two results.
    private let lock: Mutex<Int32>

    /// What files of a job hold at most; results have the tablespaces of a backup in them.
    private static let fileLimit = 16 << 20

    /// Makes the directory if need be.
    /// - Throws: `.lockAcquire` while another process keeps its jobs there, after a second.
    package init(path: String) throws(BackupError) {
        self.path = path
        try LocalFile.makeDirectories(path, mode: 0o750)
        let descriptor = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw Self.failure(.fileOpen, "unable to open '\(path)/lock'", errno) }
        // A process that is just being started has a copy of all descriptors of its parent, for an instant.
        var tries = 100
        while linux_flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let number = errno
            if number == EINTR { continue }
            tries -= 1
            if number == EWOULDBLOCK, tries > 0 {
                usleep(10_000)
                continue
            }
            close(descriptor)
            guard number == EWOULDBLOCK else {
                throw Self.failure(.lockAcquire, "unable to lock '\(path)/lock'", number)
            }
            throw BackupError(
                .lockAcquire, "another process keeps its jobs in '\(path)'",
                hint: "two agents or repository hosts on one machine need a spool-path each")
        }
        lock = Mutex(descriptor)
    }

    deinit { release() }

    /// Lets another process watch the jobs.
    package func release() {
        lock.withLock { lock in
            if lock >= 0 { close(lock) }
            lock = -1
        }
    }

    // MARK: A job's files

    func directory(_ id: JobID) -> String { "\(path)/\(id)" }
    func logPath(_ id: JobID) -> String { "\(path)/\(id)/log" }
    func outputPath(_ id: JobID) -> String { "\(path)/\(id)/output" }
    func infoPath(_ id: JobID) -> String { "\(path)/\(id)/info" }

    /// Durable on return.
    func create(_ record: JobRecord) throws(BackupError) {
        try LocalFile.makeDirectories(directory(record.id), mode: 0o750)
        try write(record.id, "request", record.json)
    }

    func writeProcess(_ id: JobID, _ process: ProcessIdentity) throws(BackupError) {
        try write(
            id, "process",
            .object([
                "boot": .text(process.boot), "host": .text(process.host), "namespace": .text(process.namespace),
                "pid": .number(String(process.processID)), "start": .number(String(process.startTime)),
            ]))
    }

    /// nil when it is not known.
    func process(_ id: JobID) -> ProcessIdentity? {
        guard let json = read(id, "process"), let host = json["host"]?.string, let boot = json["boot"]?.string,
            let namespace = json["namespace"]?.string, let processID = json["pid"]?.string.flatMap({ Int32($0) }),
            let start = json["start"]?.string.flatMap({ UInt64($0) })
        else { return nil }
        return ProcessIdentity(
            host: host, boot: boot, namespace: namespace, processID: processID, startTime: start)
    }

    func markCancelled(_ id: JobID, by client: String) throws(BackupError) {
        try write(id, "cancelled", .object(["client": .text(client)]))
    }

    func isCancelled(_ id: JobID) -> Bool { access("\(directory(id))/cancelled", F_OK) == 0 }

    func writeResult(_ result: JobResult) throws(BackupError) { try write(result.id, "result", result.json) }

    /// nil when there is none, or none that can be read.
    func result(_ id: JobID) -> JobResult? { read(id, "result").flatMap { JobResult($0) } }

    /// A new file that only the program writes to, for appending, and which nobody who is started later inherits.
    func openForProgram(_ path: String) throws(BackupError) -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw Self.failure(.fileOpen, "unable to create '\(path)'", errno) }
        return descriptor
    }

    /// Locks a job's log for as long as any process has this very descriptor, or an inherited copy of it.
    func holdLog(_ descriptor: Int32) throws(BackupError) {
        guard linux_flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw Self.failure(.lockAcquire, "unable to lock the log of a job in '\(path)'", errno)
        }
    }

    /// Whether a process has the log of the job open to write to it. This, and no number of a process, tells whether a
    /// job runs: a container that is started again shares neither its numbers nor its name space with the one before.
    func isRunning(_ id: JobID) -> Bool {
        let descriptor = open(logPath(id), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return linux_flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    // MARK: All jobs

    /// All that are there, oldest first; sweeps up what is left of those that were being made or removed.
    /// - Returns: also what could not be read, in words.
    func load() throws(BackupError) -> (jobs: [JobRecord], problems: [String]) {
        var jobs: [JobRecord] = []
        var problems: [String] = []
        for name in try LocalFile.names(in: path) {
            guard let id = JobID(name) else { continue }
            do throws(BackupError) {
                let bytes = try LocalFile.readAll("\(directory(id))/request", limit: Self.fileLimit)
                let record = try JobRecord(bytes)
                guard record.id == id else { throw BackupError(.format, "it is that of another job") }
                // Without a log it was never started, and nobody was told of it.
                if access(logPath(id), F_OK) == 0 { jobs.append(record) } else { try? remove(id) }
            } catch {
                if error.code == .fileMissing {
                    try? remove(id)
                } else {
                    problems.append("job '\(id)' in '\(path)' is passed over: \(error.message)")
                }
            }
        }
        return (jobs, problems)
    }

    /// `request` goes first: what is left by a crash is no job any more.
    func remove(_ id: JobID) throws(BackupError) {
        let directory = directory(id)
        _ = try LocalFile.remove("\(directory)/request")
        for name in Self.names(in: directory) { _ = try LocalFile.remove("\(directory)/\(name)") }
        if rmdir(directory) != 0, errno != ENOENT {
            throw Self.failure(.pathRemove, "unable to remove directory '\(directory)'", errno)
        }
    }

    /// With those that a write which was cut short has left.
    private static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            guard let name = linux_entry_name(entry).map({ String(cString: $0) }) else { continue }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    private func write(_ id: JobID, _ name: String, _ json: ServiceJSON) throws(BackupError) {
        try LocalFile.writeDurably("\(directory(id))/\(name)", Array("\(json)\n".utf8))
    }

    private func read(_ id: JobID, _ name: String) -> ServiceJSON? {
        (try? LocalFile.readAll("\(directory(id))/\(name)", limit: Self.fileLimit)).flatMap { ServiceJSON($0) }
    }

    private static func failure(_ code: ErrorCode, _ attempt: String, _ number: Int32) -> BackupError {
        BackupError(code, "\(attempt): \(String(cString: strerror(number)).lowercased())")
    }
}
