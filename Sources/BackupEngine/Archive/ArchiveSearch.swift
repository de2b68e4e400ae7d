package import BackupModel
package import PostgresFormats
package import RepositoryFormats
import RepositoryStorage

extension Repository {
    /// The objects that hold `segment` (not its `.partial`): none, one, or by somebody's mistake several.
    package func archivedSegments(
        _ segment: WALSegment, isPartial: Bool = false, archiveID: String, stanza: String
    ) async throws(BackupError) -> [ArchivedSegmentName] {
        let directory = "\(RepositoryPaths.archive(stanza: stanza))/\(archiveID)/\(segment.directory)"
        let found = try await listAll(directory, prefix: segment.description)
        return found.compactMap { ArchivedSegmentName($0.name) }.filter { $0.isPartial == isPartial }
    }

    /// Waits until `segment` is in the archive.
    /// - Throws: `.archiveTimeout` when it does not arrive in time, `.archiveDuplicate` when it is there twice.
    package func waitForSegment(
        _ segment: WALSegment, archiveID: String, stanza: String, timeout: Duration
    ) async throws(BackupError) -> ArchivedSegmentName {
        let deadline = ContinuousClock.now + timeout
        var pause = Duration.milliseconds(10)
        while true {
            let found = try await archivedSegments(segment, archiveID: archiveID, stanza: stanza)
            if found.count > 1 {
                throw BackupError(
                    .archiveDuplicate,
                    "\(name): WAL segment \(segment) is in the archive \(found.count) times: \(found.map(\.name).sorted().joined(separator: ", "))",
                    hint: "do several clusters archive to this stanza? Remove the one that is not of this cluster")
            }
            if let found = found.first { return found }
            guard ContinuousClock.now < deadline else {
                throw BackupError(
                    .archiveTimeout,
                    "\(name): WAL segment \(segment) did not reach the archive within \(timeout.components.seconds) s",
                    hint:
                        "look into PostgreSQL's log for errors of archive_command, and run 'check'; archive-timeout sets how long to wait"
                )
            }
            do {
                try await Task.sleep(for: pause)
            } catch {
                throw BackupError(.terminated, "waiting for WAL segment \(segment) was cancelled")
            }
            pause = min(pause * 2, .milliseconds(250))
        }
    }
}
