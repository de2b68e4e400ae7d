import BackupModel
import Glibc
import Logging
import PostgresFormats

/// Has a server of its own recover a restored directory, and shuts it down when recovery has ended: then the directory
/// starts like any other, with no settings of recovery left in it.
///
/// It serves nobody: nothing connects to it, it runs no workers and no subscriptions, and it keeps all WAL that is to be
/// archived, so that nothing of it is seen outside until somebody decides to use it.
struct RecoveryServer: Sendable {
    var program: String
    var dataDirectory: String
    var version: PostgresVersion
    /// `shared_preload_libraries`, for WAL that only a library can replay.
    var libraries: String
    var recovery: RecoverySettings
    /// The label of what is recovered, and the target, for messages.
    var set: String
    var target: String?
    /// What the settings must not fall below: those of the backup, and of the server as it was at last.
    var controls: [ServerControl]
    var logger: Logger

    private static let interval = Duration.milliseconds(100)
    /// Between two lines that tell how far it is.
    private static let progressInterval = Duration.seconds(30)
    /// For processes to write what they must when they are told to end at once.
    private static let quitLimit = Duration.seconds(30)
    private static let namePrefix = "/tmp/permafrost-recovery-"

    /// - Throws: ``TargetNotReached``, `.backupSetInvalid` for a target that is too early, `.fileMissing` when WAL is missing that makes the
    ///   backup consistent, `.execute` for other words of PostgreSQL, `.terminated`.
    func run() async throws -> RestoreReport.Recovery {
        do {
            return try await run(libraries)
        } catch let failure as LibraryMissing {
            logger.warning("\(failure.reason): recovery goes on without shared_preload_libraries")
            return try await run("")
        }
    }

    private struct LibraryMissing: Error { var reason: String }

    /// All WAL was replayed, and the target did not come.
    struct TargetNotReached: Error {
        /// The start of the last record.
        var redoEnd: LSN?
        var error: BackupError
    }

    private func run(_ libraries: String) async throws -> RestoreReport.Recovery {
        let directory = try Self.makeDirectory()
        defer { try? LocalDisk.removeTree(directory) }
        try LocalDisk.replace("\(directory)/postgresql.conf", with: [], mode: 0o600, owner: nil)
        try LocalDisk.replace("\(directory)/pg_ident.conf", with: [], mode: 0o600, owner: nil)
        let nobody = Array("local all all reject\n".utf8)
        try LocalDisk.replace("\(directory)/pg_hba.conf", with: nobody, mode: 0o600, owner: nil)
        try LocalDisk.replace("\(dataDirectory)/recovery.signal", with: [], mode: 0o600, owner: nil)
        try LocalDisk.sync(directory: dataDirectory)

        let settings = settings(directory, libraries)
        let words = ["-D", dataDirectory] + settings.flatMap { ["-c", "\($0.name)=\($0.value)"] }
        let logPath = "\(directory)/log"
        let descriptor = open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw LocalDisk.failure(.fileOpen, "create file", logPath) }
        defer { close(descriptor) }
        let process = try ServerProcess(program, words, output: descriptor, error: descriptor)
        logger.notice("recover backup set \(set)\(target.map { " to \($0)" } ?? "")")
        var follower = LogFollower(logPath, logger)
        var isReaped = false
        // However this ends, the server must not go on in a directory that is about to be moved or removed.
        defer { if !isReaped { Self.quit(process) } }

        let end = try await attend(process, &follower)
        isReaped = true
        try follower.read()
        if follower.log.lacksLibrary, !libraries.isEmpty, let reason = follower.log.failures.first {
            throw LibraryMissing(reason: reason)
        }
        let control = try ClusterDirectory.controlBytes(dataDirectory)
        guard follower.log.failures.isEmpty, end == .exited(0), follower.log.isReady,
            try ServerControl(parsing: control.span.bytes).state == .shutDown
        else {
            let error = follower.log.failure(of: set, target: target, end: end.description)
            if follower.log.endedBeforeTarget { throw TargetNotReached(redoEnd: follower.log.redoEnd, error: error) }
            throw error
        }
        return try result(PostgresControl(parsing: control.span.bytes).timeline, follower.log)
    }

    /// Until it has ended by itself, or has recovered and was told to end.
    private func attend(_ process: ServerProcess, _ follower: inout LogFollower) async throws -> ServerProcess.End {
        var isTold = false
        var nextProgress = ContinuousClock.now + Self.progressInterval
        while true {
            let end = process.end()
            if let end { return end }
            try follower.read()
            if follower.log.isReady, !isTold {
                isTold = true
                logger.notice("recovery has ended; PostgreSQL writes what it has recovered")
                process.signal(SIGINT)
            }
            if !isTold, ContinuousClock.now >= nextProgress {
                nextProgress = ContinuousClock.now + Self.progressInterval
                logger.notice("recovering\(follower.log.lastFile.map { ": PostgreSQL is at \($0)" } ?? "")")
            }
            try await Task.sleep(for: Self.interval)
        }
    }

    private static func quit(_ process: ServerProcess) {
        process.signal(SIGQUIT)
        let deadline = ContinuousClock.now + quitLimit
        while process.end() == nil {
            if ContinuousClock.now >= deadline {
                // It leads its session; what it has started goes with it as soon as it looks.
                process.signal(SIGKILL)
                _ = process.wait()
                return
            }
            usleep(20_000)
        }
    }

    private func result(_ timeline: UInt32, _ log: RecoveryLog) throws(BackupError) -> RestoreReport.Recovery {
        var recovery = RestoreReport.Recovery(timeline: timeline, time: log.lastTransaction)
        let name = RestoreTimeline.historyFile(timeline)
        if let bytes = try LocalDisk.read("\(dataDirectory)/\(version.walDirectory)/\(name)") {
            recovery.lsn = try TimelineHistory(timeline: timeline, parsing: bytes.span.bytes).switches.last?.end
                .description
        }
        return recovery
    }

    private static func makeDirectory() throws(BackupError) -> String {
        // A socket's path has 107 bytes at most, which that of a data directory may come close to.
        var template = Array((namePrefix + "XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw LocalDisk.failure(.pathCreate, "create directory", namePrefix + "XXXXXX")
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// - Parameter directory: its own, for what must not come from the restored directory.
    func settings(_ directory: String, _ libraries: String) -> [(name: String, value: String)] {
        func highest(_ setting: (ServerControl) -> UInt32) -> String { "\(controls.map(setting).max() ?? 0)" }
        func flag(_ setting: (ServerControl) -> Bool) -> String { controls.contains(where: setting) ? "on" : "off" }
        let isLogical = controls.contains { $0.walLevel == "logical" }
        var settings: [(name: String, value: String)] = [
            ("config_file", "\(directory)/postgresql.conf"), ("hba_file", "\(directory)/pg_hba.conf"),
            ("ident_file", "\(directory)/pg_ident.conf"), ("external_pid_file", ""),
            ("listen_addresses", ""), ("port", "5432"), ("unix_socket_directories", directory), ("ssl", "off"),
            // What WAL is for later is kept: an empty command archives nothing and fails nothing.
            ("archive_mode", "on"), ("archive_command", ""),
            // Without readers its limits may be lower than those of the server that wrote WAL. Locks and places of
            // prepared transactions are needed all the same.
            ("hot_standby", "off"), ("max_connections", highest(\.maxConnections)),
            ("max_wal_senders", highest(\.maxWALSenders)),
            ("max_prepared_transactions", highest(\.maxPreparedTransactions)),
            ("max_locks_per_transaction", highest(\.maxLocksPerTransaction)),
            // Else what they keep would be thrown away at the end of recovery.
            ("track_commit_timestamp", flag(\.tracksCommitTimestamps)), ("wal_log_hints", flag(\.logsHints)),
            ("wal_level", isLogical ? "logical" : "replica"),
            // Nobody's jobs and subscriptions run here.
            ("max_worker_processes", "0"), ("max_logical_replication_workers", "0"), ("autovacuum", "off"),
            ("shared_preload_libraries", libraries),
            ("shared_buffers", "128MB"), ("huge_pages", "off"), ("dynamic_shared_memory_type", "mmap"),
            ("fsync", "on"), ("full_page_writes", "on"), ("restart_after_crash", "off"),
            ("logging_collector", "off"), ("log_destination", "stderr"), ("log_line_prefix", ""),
            ("log_min_messages", "warning"), ("log_error_verbosity", "default"), ("lc_messages", "C"),
            ("log_timezone", "UTC"), ("timezone", "UTC"),
            ("primary_conninfo", ""), ("primary_slot_name", ""), ("recovery_min_apply_delay", "0"),
            ("archive_cleanup_command", ""), ("recovery_end_command", ""),
        ]
        if version >= PostgresVersion(number: 150_000) { settings.append(("archive_library", "")) }
        // The later of two wins.
        return settings + recovery.settings.map { (name: $0.name, value: $0.value) }
    }

    // MARK: One that a killed run has left

    /// Ends a server that an earlier run started in this directory and that has outlived it.
    static func end(in dataDirectory: String, _ logger: Logger) async throws {
        let path = "\(dataDirectory)/postmaster.pid"
        guard let bytes = try LocalDisk.read(path) else { return }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        if let id = lines.first.flatMap({ pid_t($0.trimmed) }), id > 1, isServer(id, in: dataDirectory) {
            logger.notice("end the server that an earlier run has left in '\(dataDirectory)'")
            kill(id, SIGQUIT)
            let deadline = ContinuousClock.now + quitLimit
            while isServer(id, in: dataDirectory) {
                guard ContinuousClock.now < deadline else {
                    throw BackupError(
                        .postgresRunning, "process \(id), a server in '\(dataDirectory)', does not end",
                        hint: "end it and run the same command again")
                }
                try await Task.sleep(for: interval)
            }
        }
        try LocalDisk.removeFile(path)
        // Its own directory, which is one of the lines.
        for line in lines where line.hasPrefix(namePrefix) && !line.dropFirst(namePrefix.count).contains("/") {
            try? LocalDisk.removeTree(String(line))
        }
    }

    /// A server has its data directory as working directory; numbers are used again.
    private static func isServer(_ id: pid_t, in dataDirectory: String) -> Bool {
        guard let directory = try? LocalDisk.linkDestination("/proc/\(id)/cwd") else { return false }
        return directory == dataDirectory || directory == LocalDisk.realPath(dataDirectory)
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return text
    }
}

/// Reads a server's log while it is written, and passes on what it says.
private struct LogFollower {
    private let path: String
    private let logger: Logger
    private var position = 0
    private var rest: [UInt8] = []
    var log = RecoveryLog()

    init(_ path: String, _ logger: Logger) {
        self.path = path
        self.logger = logger
    }

    mutating func read() throws(BackupError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw LocalDisk.failure(.fileOpen, "open file", path) }
        defer { close(descriptor) }
        var chunk = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = pread(descriptor, &chunk, chunk.count, off_t(position))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            position += count
            rest += chunk[..<count]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: rest[..<end], as: UTF8.self)
                rest.removeSubrange(...end)
                let tells = log.take(line)
                logger.log(level: tells ? .notice : RestoreExecution.detail, "PostgreSQL: \(line)")
            }
        }
    }
}
