import BackupModel
import Checksums
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// Proves that the WAL of a backup is in the archive, and copies it into the backup when asked.
struct ArchiveCheck: Sendable {
    let repository: Repository
    let stanza: String
    let archiveID: String
    /// For each segment.
    let timeout: Duration
    let segmentSize: UInt64
    /// Of the archive.
    let cipherPass: Secret<String>?

    func wait(for segment: WALSegment) async throws(BackupError) -> ArchivedSegmentName {
        try await repository.waitForSegment(segment, archiveID: archiveID, stanza: stanza, timeout: timeout)
    }

    func wait(
        from start: WALSegment, to stop: WALSegment, logger: Logger
    ) async throws(BackupError) -> [ArchivedSegmentName] {
        var segments: [WALSegment] = []
        var next = start
        while next <= stop {
            segments.append(next)
            next = next.next(segmentSize: segmentSize)
        }
        // Most are there: only what is not is waited for, each with its own time.
        let there = try await repository.readingEach(segments) { [repository, archiveID, stanza] segment in
            try await repository.archivedSegments(segment, archiveID: archiveID, stanza: stanza)
        }
        var found: [ArchivedSegmentName] = []
        for (segment, objects) in zip(segments, there) {
            if objects.count == 1 { found += objects } else { found.append(try await wait(for: segment)) }
        }
        logger.notice("check archive for segment(s) \(start):\(stop)")
        return found
    }

    /// Stores `segments` as `pg_data/pg_wal/<segment>` of the backup, compressed as the set is.
    func copy(
        _ segments: [ArchivedSegmentName], into manifest: inout Manifest, ownedAs root: ManifestPath?, time: Int64
    ) async throws {
        let type = manifest.options.compressType
        let form = StoredForm(
            compress: type, level: manifest.options.compressLevel, cipherPass: manifest.cipherPass)
        let content = ObjectContentReader()
        for segment in segments {
            let source = RepositoryPaths.archiveFile(stanza: stanza, archiveID: archiveID, name: segment.name)
            let name = "pg_data/\(manifest.database.version.walDirectory)/\(segment.segment)"
            let target = RepositoryPaths.backupFile(
                stanza: stanza, label: manifest.label, name: name, compress: type, blockIncremental: false)
            let (checksum, size, repoSize) = try await repository.describing {
                let reader = try await repository.store.read(source, range: nil)
                let writer = try await StoredObjectWriter(
                    repository.store.write(target, .inPlace),
                    as: form)
                do {
                    let (checksum, size) = try await content.read(
                        reader, StoredForm(compress: segment.compress, cipherPass: cipherPass).decoder()
                    ) { try await writer.append($0.bytes) }
                    await reader.close()
                    try await writer.commit()
                    return (checksum, size, writer.storedSize)
                } catch {
                    await writer.abort()
                    throw error
                }
            }
            guard checksum.hex == segment.checksum else {
                throw BackupError(
                    .checksum,
                    "\(repository.name): WAL segment '\(source)' has checksum \(checksum.hex), not the one in its name",
                    hint: "the archived segment is damaged; take a new backup")
            }
            var file = ManifestFile(
                name: name, size: size, timestamp: time, mode: (root?.mode ?? 0o700) & 0o640, user: root?.user,
                group: root?.group)
            file.checksum = checksum
            file.repoSize = repoSize
            manifest.files.append(file)
        }
    }
}
