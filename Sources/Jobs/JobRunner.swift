package import BackupModel
import Glibc
package import Logging
import RepositoryStorage
import Synchronization
import Telemetry

/// Starts jobs as processes of the program, watches them, and keeps what became of them.
///
/// A job's process needs nobody: when this one is killed it goes on, and the next runner over the same store goes on
/// watching. Two jobs of one stanza keep each other out by the program's own locks.
package final class JobRunner: Sendable {
    package struct Options: Sendable {
        /// The absolute path of the program.
        package var program: String
        /// What each job is told beside what the client asks for: `--config=…`. Must hold no option that a client may
        /// give, no stanza and nothing of the log.
        package var words: [String] = []
        /// Of jobs that run at once; more are refused.
        package var runningLimit = 32
        /// What has ended is kept for so long, and no more of it than ``endedLimit``.
        package var keptFor = Duration.seconds(30 * 86400)
        package var endedLimit = 1000
        /// After so long, one that was told to end is killed.
        package var patience = Duration.seconds(120)
        /// Asking for the facts of a new backup may take so long.
        package var infoLimit = Duration.seconds(120)

        package init(program: String) { self.program = program }
    }

    /// A job and what it is at.
    package struct Job: Sendable {
        package var record: JobRecord
        /// nil while it runs.
        package var end: JobEnd?
        /// When it ended, in seconds since 1970.
        package var stop: Int64?
        package var isCancelled = false
        /// Bytes of its log and of what it has printed.
        package var logSize: UInt64 = 0
        package var outputSize: UInt64 = 0
        package var result: JobResult?
    }

    package let store: JobStore
    let options: Options
    let logger: Logger
    private let onEnd: @Sendable (JobResult) -> Void
    private let state = Mutex(State())
    /// One start at a time, so that of two with one key the second finds the first.
    private let starting = Mutex(())

    struct Entry {
        var record: JobRecord
        var process: (any JobProcess)?
        var isCancelled = false
        /// How and when (seconds since 1970) it ended.
        var ended: (how: JobEnd, at: Int64)?
        /// One that the disk did not take yet.
        var unwritten: JobResult?
    }

    private struct State {
        var entries: [JobID: Entry] = [:]
        var keys: [ClientKey: JobID] = [:]
        var isStopping = false
        /// The jobs are another's to watch.
        var isReleased = false
    }

    private struct ClientKey: Hashable {
        var client: String
        var key: String

        init?(_ record: JobRecord) {
            guard let key = record.request.key else { return nil }
            self.init(client: record.client, key: key)
        }
        init(client: String, key: String) {
            self.client = client
            self.key = key
        }
    }

    /// - Parameter onEnd: is told of each job that ends, once its result is written.
    package init(
        _ store: JobStore, _ options: Options, logger: Logger, onEnd: @escaping @Sendable (JobResult) -> Void = { _ in }
    ) {
        self.store = store
        self.options = options
        self.logger = logger
        self.onEnd = onEnd
    }

    // MARK: Starting

    /// Finds the jobs that an earlier runner has left: those that run are watched on, those that ended get a result.
    package func recover() async throws(BackupError) {
        let found = await OwnThread.run { [store] in
            Result { () throws(BackupError) in
                let (records, problems) = try store.load()
                return (records.map { ($0, store.result($0.id), store.isCancelled($0.id)) }, problems)
            }
        }
        let (jobs, problems) = try found.get()
        for problem in problems { logger.warning("\(problem)") }
        for (record, result, isCancelled) in jobs {
            var entry = Entry(record: record, isCancelled: isCancelled)
            if let result {
                entry.ended = (result.end, result.stop)
            } else {
                entry.process = AdoptedProcess(store: store, id: record.id)
            }
            insert(entry)
            guard let process = entry.process else { continue }
            logger.notice(
                "job \(record.id) (\(record.request.command.command.rawValue)) of an earlier run is watched on")
            watch(record, process)
            if isCancelled { killLater(record.id, process) }
        }
        await prune()
    }

    /// Starts a job; the one that is there when `client` made the same request with the same key before.
    /// - Throws: `.service` when too many run or this process ends, `.optionInvalidValue` when the key was another
    ///   request's.
    package func start(_ request: JobRequest, client: String) async throws(BackupError) -> (job: Job, isNew: Bool) {
        let outcome = await OwnThread.run {
            Result { () throws(BackupError) in
                try self.starting.withLock { _ throws(BackupError) in try self.startNow(request, client) }
            }
        }
        let (id, isNew) = try outcome.get()
        guard let job = await job(id) else { throw BackupError(.service, "job '\(id)' is gone") }
        return (job, isNew)
    }

    private func startNow(_ request: JobRequest, _ client: String) throws(BackupError) -> (JobID, Bool) {
        if let key = request.key, let before = known(ClientKey(client: client, key: key)) {
            guard before.request == request else {
                throw BackupError(
                    .optionInvalidValue, "key '\(key)' was that of another request, of job '\(before.id)'",
                    hint: "a new request needs a new key")
            }
            return (before.id, false)
        }
        try checkRoom()
        let record = JobRecord(id: .new(), request: request, client: client, created: Int64(time(nil)))
        let process: ChildProcess
        do throws(BackupError) {
            try store.create(record)
            process = try spawn(record)
        } catch {
            try? store.remove(record.id)
            throw error.within("unable to start a job")
        }
        insert(Entry(record: record, process: process))
        do throws(BackupError) {
            try store.writeProcess(record.id, .running(as: process.processID))
        } catch {
            logger.warning("job \(record.id) cannot be cancelled by a later run: \(error.message)")
        }
        logger.notice(
            "job \(record.id) begins: \(request.words.last ?? "") of stanza '\(request.stanza)' for \(client), process \(process.processID)"
        )
        watch(record, process)
        return (record.id, true)
    }

    private func spawn(_ record: JobRecord) throws(BackupError) -> ChildProcess {
        let log = try store.openForProgram(store.logPath(record.id))
        defer { close(log) }
        try store.holdLog(log)
        let output = try store.openForProgram(store.outputPath(record.id))
        defer { close(output) }
        return try ChildProcess(
            options.program, options.words + logWords(max(record.request.logLevel, .info)) + record.request.words,
            output: output, log: log)
    }

    func logWords(_ level: LogLevel) -> [String] {
        [
            "--\(OptionName.logLevelConsole.rawValue)=off", "--\(OptionName.logLevelStderr.rawValue)=\(level.rawValue)",
            "--\(OptionName.logFormat.rawValue)=json",
        ]
    }

    private func known(_ key: ClientKey) -> JobRecord? {
        state.withLock { state in state.keys[key].flatMap { state.entries[$0]?.record } }
    }

    private func checkRoom() throws(BackupError) {
        let (running, isStopping) = state.withLock { state in
            (state.entries.values.count { $0.ended == nil }, state.isStopping)
        }
        if isStopping {
            throw BackupError(.service, "no job is started: the process that would watch it is about to end")
        }
        guard running < options.runningLimit else {
            throw BackupError(
                .service, "no job is started: \(running) run already", hint: "wait until one of them has ended")
        }
    }

    private func insert(_ entry: Entry) {
        state.withLock { state in
            state.entries[entry.record.id] = entry
            if let key = ClientKey(entry.record) { state.keys[key] = entry.record.id }
        }
    }

    // MARK: Ending

    private func watch(_ record: JobRecord, _ process: any JobProcess) {
        Task { await finish(record, await process.end()) }
    }

    private func finish(_ record: JobRecord, _ end: ProcessEnd) async {
        let (isReleased, isCancelled) = state.withLock {
            ($0.isReleased, $0.entries[record.id]?.isCancelled ?? false)
        }
        if isReleased { return }
        let facts = await OwnThread.run { [path = store.logPath(record.id)] in JobLogFacts.read(path) }
        var result = JobResult(record, end, facts, isCancelled: isCancelled, stop: Int64(time(nil)))
        if result.exitCode == 0, record.request.command.command == .backup, let label = facts.label {
            result.info = await info(record, label)
        }
        let written = result
        let problem = await OwnThread.run { [store] in
            Result { () throws(BackupError) in try store.writeResult(written) }.failure
        }
        if let problem { logger.warning("the result of job \(record.id) is not written yet: \(problem.description)") }
        state.withLock { state in
            state.entries[record.id]?.ended = (written.end, written.stop)
            state.entries[record.id]?.process = nil
            state.entries[record.id]?.unwritten = problem == nil ? nil : written
        }
        logger.notice("job \(record.id) has ended: \(written.end.rawValue), exit code \(written.exitCode)")
        onEnd(written)
        await prune()
        while isUnwritten(record.id) {
            do { try await Task.sleep(for: Self.writeInterval) } catch { return }
            await prune()
        }
    }

    /// Between attempts to write a result that the disk does not take.
    private static let writeInterval = Duration.seconds(15)

    private func isUnwritten(_ id: JobID) -> Bool {
        state.withLock { !$0.isReleased && $0.entries[id]?.unwritten != nil }
    }

    /// Removes what is too old or too much, and writes what the disk did not take before.
    package func prune() async {
        let now = Int64(time(nil))
        let (ended, unwritten) = state.withLock { state in
            (
                state.entries.values.filter { $0.ended != nil && $0.unwritten == nil }.map {
                    (id: $0.record.id, at: $0.ended?.at ?? 0)
                }.sorted { $0.id > $1.id }, state.entries.values.compactMap(\.unwritten)
            )
        }
        let old = ended.enumerated().filter { place, job in
            place >= options.endedLimit || job.at < now - options.keptFor.components.seconds
        }.map(\.element.id)
        state.withLock { state in
            for id in old {
                guard let entry = state.entries.removeValue(forKey: id) else { continue }
                if let key = ClientKey(entry.record), state.keys[key] == id { state.keys[key] = nil }
            }
        }
        if old.isEmpty, unwritten.isEmpty { return }
        let done = await OwnThread.run { [store] in
            for id in old { try? store.remove(id) }
            return unwritten.filter { (try? store.writeResult($0)) != nil }.map(\.id)
        }
        state.withLock { state in
            for id in done { state.entries[id]?.unwritten = nil }
        }
    }

    // MARK: Cancelling

    /// Tells a job to end, and kills it when it has not within the ``Options/patience``. One that has ended stays as it is.
    /// - Throws: `.service` when it cannot be told.
    package func cancel(_ id: JobID, by client: String) async throws(BackupError) {
        let process: (any JobProcess)? = state.withLock { state in
            guard let entry = state.entries[id], entry.ended == nil, !entry.isCancelled else { return nil }
            state.entries[id]?.isCancelled = true
            return entry.process
        }
        // To be told twice would be to end at once.
        guard let process else { return }
        let isTold = await OwnThread.run { process.signal(SIGTERM, toGroup: false) }
        guard isTold else {
            state.withLock { $0.entries[id]?.isCancelled = false }
            throw BackupError(
                .service, "job '\(id)' cannot be told to end: its process is out of reach",
                hint: "it was started by an earlier run, maybe in another container; it ends by itself")
        }
        logger.notice("job \(id) is cancelled by \(client)")
        await OwnThread.run { [store, logger] in
            do throws(BackupError) {
                try store.markCancelled(id, by: client)
            } catch {
                logger.warning("that job \(id) was cancelled is not written down: \(error.message)")
            }
        }
        killLater(id, process)
    }

    private func killLater(_ id: JobID, _ process: any JobProcess) {
        Task { [weak self, patience = options.patience] in
            try? await Task.sleep(for: patience)
            guard let self, state.withLock({ $0.entries[id].map { $0.ended == nil } ?? false }) else { return }
            logger.warning("job \(id) has not ended in time after it was cancelled: it is killed")
            _ = await OwnThread.run { process.signal(SIGKILL, toGroup: true) }
        }
    }

    /// No job is started any more.
    /// - Parameter endsJobs: those that run are cancelled and waited for; otherwise they go on, and the next runner over
    ///   the same store watches them.
    package func stop(endsJobs: Bool) async {
        let running = state.withLock { state in
            state.isStopping = true
            return state.entries.values.filter { $0.ended == nil }.map(\.record.id)
        }
        guard endsJobs else { return state.withLock { $0.isReleased = true } }
        var told: [JobID] = []
        for id in running {
            do throws(BackupError) {
                try await cancel(id, by: "the end of the process that watches it")
                told.append(id)
            } catch {
                logger.warning("\(error.description)")
            }
        }
        while told.contains(where: { !hasEnded($0) }) {
            do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
        }
    }

    // MARK: Asking

    /// nil when there is none.
    package func job(_ id: JobID) async -> Job? {
        guard let entry = state.withLock({ $0.entries[id] }) else { return nil }
        return await OwnThread.run { [store] in
            var job = Job(
                record: entry.record, end: entry.ended?.how, stop: entry.ended?.at, isCancelled: entry.isCancelled)
            job.logSize = Self.size(store.logPath(id))
            job.outputSize = Self.size(store.outputPath(id))
            if job.end != nil { job.result = entry.unwritten ?? store.result(id) }
            return job
        }
    }

    /// Newest first, without sizes and results.
    package func jobs(where isWanted: (JobRecord) -> Bool) -> [Job] {
        state.withLock { Array($0.entries.values) }.filter { isWanted($0.record) }
            .sorted { $0.record.id > $1.record.id }
            .map { Job(record: $0.record, end: $0.ended?.how, stop: $0.ended?.at, isCancelled: $0.isCancelled) }
    }

    func hasEnded(_ id: JobID) -> Bool { state.withLock { $0.entries[id].map { $0.ended != nil } ?? true } }

    private static func size(_ path: String) -> UInt64 {
        var facts = stat()
        return stat(path, &facts) == 0 ? UInt64(clamping: facts.st_size) : 0
    }
}

extension Result {
    fileprivate var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
