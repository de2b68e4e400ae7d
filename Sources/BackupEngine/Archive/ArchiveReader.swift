import BackupModel
import Checksums
import Glibc
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// Finds and fetches WAL files of one cluster.
struct ArchiveReader: Sendable {
    let control: PostgresControl
    private let context: EngineContext
    private let stanza: String
    private let archives: [ArchivedStanza]
    private let threads: WorkerThreads

    /// How long the other repositories have for their answer when one has the file.
    private static let patience = Duration.seconds(2)

    /// - Parameter files: how many are fetched at a time.
    init(_ context: EngineContext, files: Int) throws(BackupError) {
        self.context = context
        let stanza = try context.stanza()
        self.stanza = stanza
        let dataDirectory = try context.dataDirectory()
        control = try ClusterDirectory.control(dataDirectory)
        if control.checkpoint == PostgresControl.invalidCheckpoint,
            try LocalDirectory.status("\(dataDirectory)/backup_label") == nil
        {
            throw BackupError(
                .fileMissing,
                "pg_control in '\(dataDirectory)' comes from a restored backup, but backup_label is missing",
                hint: "restore again; never remove backup_label from a restored data directory")
        }
        let threads = WorkerThreads(count: context.repositories.count * files)
        self.threads = threads
        archives = context.repositories.map { ArchivedStanza($0, stanza: stanza, threads: threads) }
    }

    /// A place where the file is.
    private struct Candidate {
        var repository: Repository
        var path: String
        /// nil for files that have none in their name.
        var checksum: String?
        var form: StoredForm
    }

    /// Fetches a file from the first repository that has it whole.
    /// - Parameter isDurable: PostgreSQL makes what it keeps durable itself; a file that waits for it must be so before.
    /// - Returns: what is to be warned of; nil when no repository has the file. "Not there" is only said when every
    ///   repository was asked.
    func fetch(
        _ name: WALFileName, to destination: String, isDurable: Bool = false
    ) async throws(BackupError) -> [String]? {
        var (candidates, failures) = await find(name)
        let checksums = Set(candidates.compactMap(\.checksum))
        guard checksums.count <= 1 else {
            throw BackupError(
                .archiveDuplicate,
                "WAL file '\(name.name)' is in the archive with different content: \(candidates.map { "\($0.repository.name) '\($0.path)'" }.joined(separator: ", "))",
                hint: "do several clusters archive to this stanza? Remove what is not of this cluster")
        }
        for candidate in candidates {
            do throws(BackupError) {
                try await fetch(candidate, to: destination, isDurable: isDurable)
                context.logger.notice("found \(name.name) in the \(candidate.repository.name) archive")
                return failures.map(\.message)
            } catch {
                failures.append(error)
            }
        }
        if let failure = combined(failures) { throw failure }
        return nil
    }

    private struct Answer: Sendable {
        var index: Int
        var result: Result<[Candidate], BackupError>
    }

    /// Asks all repositories at once; candidates are in the order of the repositories.
    private func find(_ name: WALFileName) async -> ([Candidate], [BackupError]) {
        let (answers, continuation) = AsyncStream<Answer?>.makeStream()
        for (index, archive) in archives.enumerated() {
            Task(executorPreference: threads) {
                do throws(BackupError) {
                    continuation.yield(Answer(index: index, result: .success(try await find(name, in: archive))))
                } catch {
                    continuation.yield(Answer(index: index, result: .failure(error)))
                }
            }
        }
        var results: [Int: Result<[Candidate], BackupError>] = [:]
        var clock: Task<Void, Never>?
        for await answer in answers {
            guard let answer else { break }
            results[answer.index] = answer.result
            if results.count == archives.count { break }
            if clock == nil, case .success(let found) = answer.result, !found.isEmpty {
                clock = Task {
                    try? await Task.sleep(for: Self.patience)
                    continuation.yield(nil)
                }
            }
        }
        clock?.cancel()
        var candidates: [Candidate] = []
        var failures: [BackupError] = []
        for (index, archive) in archives.enumerated() {
            switch results[index] {
            case .success(let found)?: candidates += found
            case .failure(let error)?: failures.append(error)
            case nil:
                failures.append(
                    BackupError(.hostConnect, "\(archive.repository.name) did not answer within \(Self.patience)"))
            }
        }
        return (candidates, failures)
    }

    /// In all archive ids of this cluster, newest first.
    private func find(_ name: WALFileName, in archive: ArchivedStanza) async throws(BackupError) -> [Candidate] {
        let repository = archive.repository
        let info = try await archive.info()
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
                        checksum: $0.checksum, form: StoredForm(compress: $0.compress, cipherPass: info.cipherPass))
                }
            case .history, .backupLabel:
                let path = RepositoryPaths.archiveFile(stanza: stanza, archiveID: archiveID, name: name.name)
                if try await repository.exists(path) {
                    found.append(
                        Candidate(
                            repository: repository, path: path, checksum: nil,
                            form: StoredForm(compress: .none, cipherPass: info.cipherPass)))
                }
            }
        }
        return found
    }

    private static let damageHint = "the archived file is damaged: recovery cannot go past it from this repository"

    /// Writes beside the destination and renames: PostgreSQL never sees half a file.
    private func fetch(
        _ candidate: Candidate, to destination: String, isDurable: Bool
    ) async throws(BackupError) {
        let partial = destination + StoragePath.temporarySuffix
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
                let (checksum, _) = try await content.read(reader, candidate.form.decoder()) { bytes in
                    try writeFully(descriptor, partial, bytes)
                }
                await reader.close()
                return checksum.hex
            } catch let error as BackupError {
                guard error.code == .format || error.code == .checksum || error.code == .crypto else { throw error }
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
        if isDurable, fsync(descriptor) != 0 {
            throw systemError(.fileSync, "unable to make '\(partial)' durable", errno)
        }
        guard rename(partial, destination) == 0 else {
            throw systemError(.fileMove, "unable to rename '\(partial)' to '\(destination)'", errno)
        }
        isDone = true
    }
}

func writeFully(_ descriptor: Int32, _ path: String, _ bytes: [UInt8]) throws(BackupError) {
    let result = bytes.withUnsafeBytes { bytes in
        Result { () throws(BackupError) in try writeFully(descriptor, path, bytes) }
    }
    try result.get()
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
