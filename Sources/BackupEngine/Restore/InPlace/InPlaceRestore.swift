import BackupModel
import Glibc
import Logging
import PostgresFormats
import RepositoryFormats

/// `restore --in-place`: replaces the data directory of a server that a supervisor runs, and keeps the old one until the
/// new one is up. See docs/write-ordering.md for what each step leaves.
struct InPlaceRestore: Sendable {
    private let command: RestoreCommand
    private let request: InPlaceRequest
    private let server: PresentServer
    private let startLimit: Duration

    private var paths: InPlacePaths { request.paths }
    private var logger: Logger { command.logger }
    private var isDryRun: Bool { request.options.isDryRun }

    init(_ command: RestoreCommand) throws(BackupError) {
        self.command = command
        request = try InPlaceRequest(command.configuration)
        server = PresentServer(command.configuration)
        startLimit = command.configuration.duration(.startTimeout) ?? .seconds(600)
    }

    func run() async throws {
        try InPlaceChecks.place(request)
        while true {
            let situation = try look()
            let step = try situation.next(request.description, request.method, paths)
            if isDryRun {
                return try await describe(step, situation)
            }
            guard let state = situation.state, step != .restore else {
                return try await restore(situation)
            }
            let isWanted = state.request == request.description
            logger.notice(
                """
                an earlier restore in place was interrupted: \(step.description)\
                \(isWanted ? "" : ", before the one that is asked for now")
                """)
            switch step {
            case .restore: break
            case .undoExchange:
                if situation.hasData {
                    try await hold(state).begin()
                    try move(paths.data, to: paths.restored)
                } else if !situation.hasRestored {
                    try save(state, phase: .restoring)
                }
                try move(paths.before, to: paths.data)
            case .finishExchange:
                try move(paths.restored, to: paths.data)
            case .exchange:
                try await exchange(held: state)
            case .release:
                try await release(state)
                if isWanted { return }
            }
        }
    }

    private func look() throws(BackupError) -> InPlaceSituation {
        var situation = InPlaceSituation()
        situation.hasData = try LocalDisk.status(paths.data) != nil
        situation.hasRestored = try LocalDisk.status(paths.restored) != nil
        situation.hasBefore = try LocalDisk.status(paths.before) != nil
        situation.isHeld = try LocalDisk.status(paths.hold) != nil
        if let bytes = try LocalDisk.read(paths.state) {
            guard let state = InPlaceState(bytes) else {
                throw BackupError(
                    .format, "'\(paths.state)' is not what a restore in place writes there",
                    hint:
                        "look whether '\(paths.data)' or '\(paths.before)' is the wanted data directory, and remove it")
            }
            situation.state = state
        }
        return situation
    }

    private func describe(_ step: InPlaceSituation.Step, _ situation: InPlaceSituation) async throws {
        var report: RestoreReport
        if let state = situation.state, step != .restore, state.request == request.description {
            report = state.result
        } else {
            report = try await InPlacePlan(request, situation, server, command).report
        }
        if situation.state != nil { report.resumes = step.description }
        command.print(report.text(asJSON: command.configuration.string(.output) == "json"))
    }

    // MARK: Before the exchange

    private func restore(_ situation: InPlaceSituation) async throws {
        let plan = try await InPlacePlan(request, situation, server, command)
        // A hold that is there is ours: it was checked. Its token stays, so that an answer to it counts.
        var state = InPlaceState(
            request: request.description, token: try ServerHold.token(at: paths.hold) ?? ServerHold.newToken(),
            method: request.method, program: plan.program.path, libraries: plan.libraries, result: plan.report)
        state.result.isDone = true
        let hold = hold(state)
        var hasBegun = situation.state?.method == .delta && request.method == .delta
        do {
            try save(state)
            try await hold.begin()
            try requireStopped(plan)
            warnOfPendingWAL()
            try await RecoveryServer.end(in: request.directory, logger)
            hasBegun = true
            try removePrefetched()
            try await carryOut(plan)
            var recovery = try await recover(plan, along: plan.timeline)
            if let timeline = try stoppedOn(recovery, plan) {
                logger.notice(
                    "the target lies on timeline \(timeline), before the next one began: recover once more, along that one"
                )
                try removePrefetched()
                try await carryOut(plan)
                recovery = try await recover(plan, along: timeline)
            }
            state.result.recovery = recovery
            try removePrefetched()
            state.phase = .recovered
            try save(state)
            if request.method == .copy { try exchange() }
        } catch {
            if request.method == .delta, hasBegun { throw Self.unfinished(error) }
            await giveUp(state, waits: plan.wasRunning, isTold: Self.isTold(error))
            throw error
        }
        try await release(state)
    }

    private func carryOut(_ plan: InPlacePlan) async throws {
        try await RestoreCommand.carryOut(
            plan.files, request.fileOptions, from: plan.repository, among: command.repositories, logger: logger,
            workers: command.workers, progress: command.progress)
    }

    /// The timeline on which recovery stopped, when that is not the one that the history of the new one names: see
    /// ``TargetTimeline``, which does not know of all targets where they lie.
    private func stoppedOn(_ recovery: RestoreReport.Recovery, _ plan: InPlacePlan) throws(BackupError) -> UInt32? {
        let name = RestoreTimeline.historyFile(recovery.timeline)
        let directory = plan.files.manifest.database.version.walDirectory
        guard let bytes = try LocalDisk.read("\(request.directory)/\(directory)/\(name)") else { return nil }
        let history = try TimelineHistory(timeline: recovery.timeline, parsing: bytes.span.bytes)
        return TargetTimeline.stopped(history)
    }

    private func recover(
        _ plan: InPlacePlan, along timeline: UInt32?
    ) async throws -> RestoreReport.Recovery {
        let restored = try ClusterDirectory.controlBytes(request.directory)
        var controls = [try ServerControl(parsing: restored.span.bytes)]
        if let present = plan.serverControl { controls.append(present) }
        let version = plan.files.manifest.database.version
        var server = RecoveryServer(
            program: plan.program.path, dataDirectory: request.directory, version: version,
            libraries: plan.libraries, recovery: try request.recovery(version, along: timeline),
            set: plan.files.manifest.label,
            target: request.target, controls: controls, logger: logger)
        do {
            return try await server.run()
        } catch let failure as RecoveryServer.TargetNotReached {
            guard try isEndOfAll(failure.redoEnd) else { throw failure.error }
            logger.warning(
                """
                the database has no transaction as late as the target; its last state, when it was stopped, is what it was \
                at that time
                """)
            server.recovery = try request.recoveryToTheEnd(version)
            server.target = nil
            return try await server.run()
        }
    }

    /// Whether a target time was not reached only because nothing happened from the last record of the archive to the
    /// moment when the server was stopped.
    /// - Parameter redoEnd: the start of the last record that was replayed.
    private func isEndOfAll(_ redoEnd: LSN?) throws(BackupError) -> Bool {
        guard request.method == .copy, request.options.type == .time, let redoEnd else { return false }
        let bytes = try ClusterDirectory.controlBytes(paths.data)
        let control = try PostgresControl(parsing: bytes.span.bytes)
        guard try ServerControl(parsing: bytes.span.bytes).state == .shutDown else { return false }
        return InPlaceChecks.isLast(redoEnd, before: control.checkpoint, segmentSize: control.walSegmentSize)
    }

    /// The answer to a hold is the supervisor's word; a server that answers is stronger.
    private func requireStopped(_ plan: InPlacePlan) throws(BackupError) {
        if case .none = try server.look(plan.files.manifest.database.systemIdentifier) { return }
        throw BackupError(
            .postgresRunning, "PostgreSQL answers although '\(paths.held)' says that it is stopped",
            hint: "is another server started on '\(paths.data)' than the one that is supervised?")
    }

    private func warnOfPendingWAL() {
        let names = try? LocalDisk.names(in: "\(paths.data)/pg_wal/archive_status")
        let pending = (names ?? nil)?.filter { $0.hasSuffix(".ready") } ?? []
        guard let first = pending.first else { return }
        logger.warning(
            """
            \(pending.count) WAL files of the present database are not in the archive, from \(first.dropLast(6)) on: \
            what only they hold cannot be recovered, and goes with the old data directory
            """)
    }

    /// What an asynchronous archive-get has fetched ahead belongs to another recovery.
    private func removePrefetched() throws(BackupError) {
        guard let spool = request.options.spoolPath else { return }
        let path = "\(spool)/archive/\(request.options.stanza)/in"
        if access(path, R_OK | W_OK | X_OK) != 0 { return }
        try LocalDisk.removeTree(path)
    }

    // MARK: The exchange

    private func exchange(held state: InPlaceState) async throws {
        do {
            try await hold(state).begin()
            try exchange()
        } catch {
            await giveUp(state, waits: true, isTold: Self.isTold(error))
            throw error
        }
    }

    private func exchange() throws(BackupError) {
        try move(paths.data, to: paths.before)
        do throws(BackupError) {
            try move(paths.restored, to: paths.data)
        } catch {
            if try LocalDisk.status(paths.data) != nil { try move(paths.data, to: paths.restored) }
            try move(paths.before, to: paths.data)
            throw error
        }
    }

    private func move(_ path: String, to other: String) throws(BackupError) {
        try LocalDisk.rename(path, to: other)
        try LocalDisk.sync(directory: paths.parent)
    }

    // MARK: After it

    /// Lets the server run, and tidies up once it does.
    private func release(_ state: InPlaceState) async throws {
        try save(state, phase: .released)
        try hold(state).end()
        logger.notice("wait for PostgreSQL to be started by its supervisor")
        let identifier = try ClusterDirectory.control(paths.data).systemIdentifier
        let answer = try await server.waitUntilWritable(identifier, startLimit)
        guard answer == .primary else { throw notUp(answer, state) }
        if state.method == .copy {
            try LocalDisk.removeTree(paths.before)
            try LocalDisk.sync(directory: paths.parent)
        }
        try removeState()
        var text = "restored backup set \(state.result.set) in place"
        if let recovery = state.result.recovery {
            text += ", recovered" + (recovery.lsn.map { " to \($0)" } ?? "")
            text += recovery.time.map { ", of \($0)" } ?? ""
            text += "; timeline \(recovery.timeline)"
        }
        logger.notice("\(text)", metadata: state.result.metadata)
    }

    private func notUp(_ answer: PresentServer.Answer, _ state: InPlaceState) -> BackupError {
        let reason =
            switch answer {
            case .none(let reason): reason
            case .standby: "it is a standby"
            case .primary: "it is up"
            }
        let isKept = state.method == .copy
        return BackupError(
            .databaseConnect,
            "the restored server did not come up within \(startLimit.components.seconds) s: \(reason)"
                + (isKept ? "; the old data directory is kept as '\(paths.before)'" : ""),
            hint: "PostgreSQL's log says why; the same command again waits once more"
                + (isKept
                    ? ". To go back: write a line into '\(paths.hold)', wait for '\(paths.held)', rename '\(paths.data)' to"
                        + " '\(paths.restored)' and '\(paths.before)' to '\(paths.data)', remove '\(paths.state)' and then"
                        + " '\(paths.hold)'"
                    : ""))
    }

    // MARK: When it fails

    /// The old database is to run again, whatever else fails.
    /// - Parameters:
    ///   - waits: whether it ran before.
    ///   - isTold: the process was told to end: what was restored so far is kept for the next run.
    private func giveUp(_ state: InPlaceState, waits: Bool, isTold: Bool) async {
        func attempt(_ body: () throws -> Void) {
            do { try body() } catch { logger.warning("\(BackupError(error).description)") }
        }
        // Two renames that failed one after the other: only people can tell what is to become of that.
        guard (try? LocalDisk.status(paths.data)) ?? nil != nil else {
            logger.error("there is no '\(paths.data)' any more: PostgreSQL is kept stopped")
            return
        }
        attempt {
            let written = try look().state?.phase
            if state.phase == .recovered || written == .recovered {
                try save(state, phase: .restoring)
            }
        }
        attempt { try hold(state).end() }
        if !isTold {
            if state.method == .copy { attempt { try LocalDisk.removeTree(paths.restored) } }
            if waits { await waitForOld() }
        }
        attempt { try removeState() }
    }

    private func waitForOld() async {
        do {
            let identifier = try ClusterDirectory.control(paths.data).systemIdentifier
            switch try await server.waitUntilWritable(identifier, startLimit) {
            case .primary: logger.notice("the database is up again as it was")
            case .standby: logger.warning("the database is up again as it was, but as a standby")
            case .none(let reason): logger.warning("the database that was there is not up yet: \(reason)")
            }
        } catch {
            logger.warning("\(BackupError(error).description)")
        }
    }

    private static func isTold(_ error: any Error) -> Bool {
        Task.isCancelled || error is CancellationError || (error as? BackupError)?.code == .terminated
    }

    /// Of a data directory that was written to nothing old is left to run.
    private static func unfinished(_ error: any Error) -> BackupError {
        let failure = BackupError(error)
        return BackupError(
            failure.code, failure.message,
            hint: (failure.hint.map { "\($0). " } ?? "")
                + "The data directory is half restored, and PostgreSQL is kept stopped: restore in place with --delta again"
        )
    }

    // MARK: The state

    private func hold(_ state: InPlaceState) -> ServerHold {
        ServerHold(paths: paths, token: state.token, logger: logger)
    }

    private func save(_ state: InPlaceState, phase: InPlaceState.Phase) throws(BackupError) {
        var state = state
        state.phase = phase
        if phase == .restoring { state.result.recovery = nil }
        try save(state)
    }

    private func save(_ state: InPlaceState) throws(BackupError) {
        try LocalDisk.replace(paths.state, with: state.bytes, mode: 0o600, owner: nil)
        try LocalDisk.sync(directory: paths.parent)
    }

    private func removeState() throws(BackupError) {
        try LocalDisk.removeFile(paths.state)
        try LocalDisk.sync(directory: paths.parent)
    }
}

extension InPlaceSituation.Step {
    /// What a run that finds it does.
    var description: String {
        switch self {
        case .restore: "it begins again, with what was restored so far"
        case .exchange: "the restored data directory takes the place of the old one"
        case .finishExchange: "the restored data directory takes the place that is empty"
        case .undoExchange: "the old data directory goes back to its place"
        case .release: "the restored server is started"
        }
    }
}
