package import BackupModel
import Logging
import PostgresFormats

/// `archive-push`: stores one WAL file in every repository, or fails so that PostgreSQL keeps it and tries again.
package struct ArchivePush: Sendable {
    let context: EngineContext
    let stanza: String
    let source: WALSource

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
        guard context.configuration.parameters.count == 1 else {
            throw BackupError(
                context.configuration.parameters.isEmpty ? .parameterRequired : .parameterInvalid,
                "archive-push takes one parameter: the WAL file to store",
                hint: "set archive_command = 'permafrost --stanza=\(stanza) archive-push %p'")
        }
        source = try WALSource(
            context.configuration.parameters[0], dataDirectory: Self.dataDirectory(context))
    }

    /// nil when pg-path is not configured.
    static func dataDirectory(_ context: EngineContext) -> String? {
        context.configuration.postgresKeys.first.flatMap { context.configuration.string(.pgPath, $0) }
    }

    package func run() async throws {
        if context.configuration.bool(.archiveAsync) {
            try await ArchivePushAsync(context, source).run()
        } else {
            try await pushNow()
        }
    }

    /// Here and now.
    func pushNow() async throws {
        let limit = ArchivePushLimit(context, walDirectory: source.directory)
        let isOver = try limit?.isExceeded() ?? false
        if isOver, context.repositories.count == 1 {
            tellDropped(limit?.warning(source.fileName, []))
            return
        }
        let writer = try ArchiveWriter(context, dataDirectory: source.dataDirectory, isAlone: true)
        let outcome = try await writer.push(source)
        for warning in outcome.warnings { context.logger.warning("\(warning)") }
        if let failure = combined(outcome.failures.sorted { $0.key < $1.key }.map(\.value)) {
            guard isOver else { throw failure }
            // What is up has the file; PostgreSQL need not keep it for what is not.
            context.logger.error("\(failure.description)")
            tellDropped(limit?.warning(source.fileName, outcome.failures.keys.sorted()))
            return
        }
        context.logger.notice("pushed WAL file '\(source.fileName)' to the archive")
    }

    private func tellDropped(_ warning: String?) {
        if let warning { context.logger.error("\(warning)") }
    }
}

/// `archive-push-queue-max`: with more WAL than that waiting it is given up, so that the server's disk does not fill.
struct ArchivePushLimit {
    /// Bytes.
    let limit: UInt64
    let walDirectory: String

    /// nil when there is no limit.
    init?(_ context: EngineContext, walDirectory: String) {
        guard let limit = context.configuration.size(.archivePushQueueMax) else { return nil }
        self.limit = limit
        self.walDirectory = walDirectory
    }

    /// By the sizes of the files that wait.
    func isExceeded() throws(BackupError) -> Bool {
        let suffix = ArchivePushQueue.readySuffix
        var waiting: UInt64 = 0
        for name in try LocalDirectory.names("\(walDirectory)/archive_status") ?? [] where name.hasSuffix(suffix) {
            let file = "\(walDirectory)/\(name.dropLast(suffix.utf8.count))"
            waiting += try LocalDirectory.status(file, followLinks: true)?.size ?? 0
            if waiting > limit { return true }
        }
        return false
    }

    /// - Parameter keys: of the repositories that do not have the file; empty: none has it.
    func warning(_ name: String, _ keys: [Int]) -> String {
        let place = keys.isEmpty ? "" : " for \(keys.map { "repo\($0)" }.joined(separator: ", "))"
        return "dropped WAL file '\(name)'\(place) because archive queue exceeded \(Self.text(limit))\n"
            + "HINT: there is a gap in the archive: nothing after it can be restored from the backups made before; "
            + "make a new backup"
    }

    private static func text(_ bytes: UInt64) -> String {
        for (shift, unit) in [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")] as [(UInt64, String)]
        where bytes >> shift > 0 && bytes & (1 << shift - 1) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes)B"
    }
}
