import BackupModel
import Glibc
import Logging
import PostgresFormats
import RepositoryFormats

/// A restore in place that was checked: nothing has been changed yet.
struct InPlacePlan: Sendable {
    let repository: Repository
    /// Which files go where.
    let files: RestorePlan
    let program: ServerProgram
    /// That the server loads at its start.
    let libraries: String
    /// Of the present data directory; nil when an interrupted run has left none.
    let serverControl: ServerControl?
    /// Along which it is recovered, by number; nil: as the options say.
    let timeline: UInt32?
    /// Whether there is a server to come up again when the restore fails.
    let wasRunning: Bool
    let report: RestoreReport

    /// Throws what ``InPlaceChecks``, ``RestorePlan`` and ``RestorePreflight`` throw.
    init(
        _ request: InPlaceRequest, _ situation: InPlaceSituation, _ server: PresentServer, _ command: RestoreCommand
    ) async throws {
        let interrupted = situation.state
        let present = try Self.present(request, interrupted)
        let (repository, manifest) = try await RestoreCommand.chooseBackup(
            request.options, repositories: command.repositories, logger: command.logger)
        self.repository = repository
        try InPlaceChecks.cluster(manifest, replaces: present?.control, request)
        wasRunning = try Self.isRunning(server, manifest.database.systemIdentifier, situation, command.logger)
        try InPlaceChecks.target(manifest, request.options, now: Int64(time(nil)))

        let options = request.fileOptions
        try RestorePreflight.requireOurs(request.directory)
        files = try RestorePlan(manifest, options)
        try RestorePreflight.check(files, options)
        var report = RestoreReport(files, request.options, repository)
        report.method = request.method
        var timeline: UInt32?
        if let segmentSize = present?.control.walSegmentSize {
            // What cannot be read now is found out by recovery.
            timeline = try? await TargetTimeline(
                repository, manifest, stanza: request.options.stanza, segmentSize: segmentSize
            ).find(request.options, version: manifest.database.version)
            if let timeline { report.targetTimeline = "\(timeline)" }
            try await InPlaceChecks.archive(
                manifest, segmentSize: segmentSize, stanza: request.options.stanza,
                repositories: [repository] + command.repositories.filter { $0.key != repository.key })
            if request.method == .copy {
                report.room = try InPlaceChecks.room(files, segmentSize: segmentSize)
                try InPlaceChecks.require(report.room, at: request.paths.data)
            }
        }
        self.report = report
        self.timeline = timeline
        serverControl = present?.server

        let started = try LocalDisk.read("\(request.paths.data)/postmaster.opts")
        var program = try ServerProgram.find(manifest.database.version, options: started)
        if started == nil, let interrupted, access(interrupted.program, X_OK) == 0 {
            program = ServerProgram(path: interrupted.program)
        }
        try program.require(manifest.database.version)
        self.program = program
        libraries = try program.setting("shared_preload_libraries") ?? interrupted?.libraries ?? ""
    }

    private static func present(
        _ request: InPlaceRequest, _ interrupted: InPlaceState?
    ) throws(BackupError) -> (control: PostgresControl, server: ServerControl)? {
        let path = request.paths.data
        // Half of a restore has none.
        if interrupted?.method == .delta, try LocalDisk.status("\(path)/\(ClusterDirectory.controlFile)") == nil {
            return nil
        }
        let bytes = try ClusterDirectory.controlBytes(path)
        return (try PostgresControl(parsing: bytes.span.bytes), try ServerControl(parsing: bytes.span.bytes))
    }

    private static func isRunning(
        _ server: PresentServer, _ systemIdentifier: UInt64, _ situation: InPlaceSituation, _ logger: Logger
    ) throws(BackupError) -> Bool {
        switch try server.look(systemIdentifier) {
        case .primary: return true
        case .standby:
            throw BackupError(
                .hostInvalid, "the server is a standby, which would not become the primary by a restore",
                hint: "restore on the primary; standbys follow it or are made anew")
        case .none(let reason):
            // One that an interrupted run has stopped was running.
            if situation.isHeld { return true }
            logger.warning("PostgreSQL does not answer and is taken for broken: \(reason)")
            return false
        }
    }
}
