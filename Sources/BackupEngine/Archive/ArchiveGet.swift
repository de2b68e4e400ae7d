package import BackupModel
import Checksums
import Glibc
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// `archive-get`: fetches one WAL file for `restore_command`.
package struct ArchiveGet: Sendable {
    let context: EngineContext
    let stanza: String
    let name: WALFileName
    let fileName: String
    let destination: String
    let dataDirectory: String

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
        let parameters = context.configuration.parameters
        guard parameters.count == 2 else {
            throw BackupError(
                parameters.count < 2 ? .parameterRequired : .parameterInvalid,
                "archive-get takes two parameters: the WAL file to fetch and the path to write it to",
                hint: "set restore_command = 'permafrost --stanza=\(stanza) archive-get %f \"%p\"'")
        }
        fileName = parameters[0]
        guard let name = WALFileName(fileName) else {
            throw BackupError(
                .parameterInvalid, "'\(fileName)' is not named like a WAL segment, history or backup label file")
        }
        self.name = name
        dataDirectory = try context.dataDirectory()
        destination = parameters[1].hasPrefix("/") ? parameters[1] : "\(dataDirectory)/\(parameters[1])"
    }

    /// A place where the file is.
    private struct Candidate {
        var repository: Repository
        var path: String
        /// nil for files that have none in their name.
        var checksum: String?
        var compress: CompressType
    }

    /// False when no repository has the file: PostgreSQL then takes the end of WAL for reached, or tries another source.
    package func run() async throws -> Bool {
        let control = try ClusterDirectory.control(dataDirectory)
        if control.checkpoint == PostgresControl.invalidCheckpoint,
            try LocalDirectory.status("\(dataDirectory)/backup_label") == nil
        {
            throw BackupError(
                .fileMissing,
                "pg_control in '\(dataDirectory)' comes from a restored backup, but backup_label is missing",
                hint: "restore again; never remove backup_label from a restored data directory")
        }
        var failures: [BackupError] = []
        var candidates: [Candidate] = []
        for repository in context.repositories {
            do throws(BackupError) {
                candidates += try await find(in: repository, control)
            } catch {
                failures.append(error)
            }
        }
        let checksums = Set(candidates.compactMap(\.checksum))
        guard checksums.count <= 1 else {
            throw BackupError(
                .archiveDuplicate,
                "WAL file '\(fileName)' is in the archive with different content: \(candidates.map { "\($0.repository.name) '\($0.path)'" }.joined(separator: ", "))",
                hint: "do several clusters archive to this stanza? Remove what is not of this cluster")
        }
        for candidate in candidates {
            do throws(BackupError) {
                try await fetch(candidate)
                for failure in failures { context.logger.warning("\(failure.message)") }
                context.logger.notice("found \(fileName) in the \(candidate.repository.name) archive")
                return true
            } catch {
                failures.append(error)
            }
        }
        // "Not there" may only be said when every repository was asked.
        if let first = failures.first {
            throw failures.count == 1
                ? first : BackupError(first.code, failures.map(\.message).joined(separator: "; "), hint: first.hint)
        }
        context.logger.notice("unable to find \(fileName) in the archive")
        return false
    }

    /// In all archive ids of this cluster, newest first.
    private func find(in repository: Repository, _ control: PostgresControl) async throws(BackupError) -> [Candidate] {
        let info = try await repository.loadArchiveInfo(stanza: stanza)
        let ids = info.history.filter {
            $0.version == control.version && $0.systemIdentifier == control.systemIdentifier
        }.map(\.id).sorted(by: >)
        guard !ids.isEmpty else {
            throw BackupError(
                .archiveMismatch,
                "\(repository.name): stanza '\(stanza)' has no archive of PostgreSQL \(control.version), system id \(control.systemIdentifier)",
                hint: "is this the right stanza?")
        }
        var found: [Candidate] = []
        for id in ids {
            let archiveID = RepositoryPaths.archiveID(version: control.version, historyID: id)
            switch name {
            case .segment(let segment), .partial(let segment):
                let isPartial = if case .partial = name { true } else { false }
                let objects = try await repository.archivedSegments(
                    segment, isPartial: isPartial, archiveID: archiveID, stanza: stanza)
                found += objects.map {
                    Candidate(
                        repository: repository,
                        path: RepositoryPaths.archiveFile(stanza: stanza, archiveID: archiveID, name: $0.name),
                        checksum: $0.checksum, compress: $0.compress)
                }
            case .history, .backupLabel:
                let path = RepositoryPaths.archiveFile(stanza: stanza, archiveID: archiveID, name: fileName)
                if try await repository.exists(path) {
                    found.append(Candidate(repository: repository, path: path, checksum: nil, compress: .none))
                }
            }
        }
        return found
    }

    private static let damageHint = "the archived file is damaged: recovery cannot go past it from this repository"

    /// Writes beside the destination and renames: PostgreSQL never sees half a file. It makes the file durable itself
    /// when it keeps it.
    private func fetch(_ candidate: Candidate) async throws(BackupError) {
        let partial = "\(destination).pgbackrest.tmp"
        let descriptor = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw systemError(.fileOpen, "unable to open '\(partial)' for writing", errno) }
        var isDone = false
        defer {
            close(descriptor)
            if !isDone { unlink(partial) }
        }
        let checksum = try await candidate.repository.describing {
            do {
                let reader = try await candidate.repository.store.read(candidate.path, range: nil)
                let content = ObjectContentReader()
                let (checksum, _) = try await content.read(reader, Codecs.decompressor(candidate.compress)) { bytes in
                    try writeFully(descriptor, partial, bytes)
                }
                await reader.close()
                return checksum.hex
            } catch let error as BackupError {
                guard error.code == .format || error.code == .checksum else { throw error }
                throw BackupError(
                    error.code, "\(candidate.repository.name): '\(candidate.path)': \(error.message)",
                    hint: Self.damageHint)
            }
        }
        if let expected = candidate.checksum, expected != checksum {
            throw BackupError(
                .checksum,
                "\(candidate.repository.name): '\(candidate.path)' has checksum \(checksum), not the one in its name",
                hint: Self.damageHint)
        }
        guard rename(partial, destination) == 0 else {
            throw systemError(.fileMove, "unable to rename '\(partial)' to '\(destination)'", errno)
        }
        isDone = true
    }
}

/// Writes all of `bytes`.
func writeFully(_ descriptor: Int32, _ path: String, _ bytes: UnsafeRawBufferPointer) throws(BackupError) {
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
        let count = write(descriptor, base + done, bytes.count - done)
        if count < 0 {
            if errno == EINTR { continue }
            throw systemError(.fileWrite, "unable to write '\(path)'", errno)
        }
        done += count
    }
}
