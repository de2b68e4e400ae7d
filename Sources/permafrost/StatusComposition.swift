import ArchiveAgent
import ArchiveShortcut
import BackupEngine
import BackupModel
import CLinux
import Checksums
import Glibc
import Monitoring
import PostgresFormats
import RepositoryStorage
import Synchronization

/// What `GET /v1/status/STANZA` looks at, by what the configuration says when somebody asks.
final class StatusComposition: Sendable {
    /// Kept while no file that it came from changes: what must not be read for each question.
    private struct Known {
        var files: [String: String]
        var configuration: Configuration
        var repositories: [Int: Repository] = [:]
    }

    private let programPath: String
    private let isAgent: Bool
    private let spoolPath: String
    private let failures: PushFailures?
    private let known = Mutex<[String: Known]>([:])
    private let restorable = Mutex<[String: RestorableTime]>([:])

    /// Milliseconds that a look may try to get one answer of a store, or of PostgreSQL: no longer than who asks has patience.
    private static let storeTimeout = 8_000
    private static let serverTimeout = 5_000
    /// Stanzas whose configuration is kept.
    private static let limit = 64

    /// - Parameter failures: why WAL is not pushed ahead.
    init(programPath: String, isAgent: Bool, spoolPath: String, failures: PushFailures?) {
        self.programPath = programPath
        self.isAgent = isAgent
        self.spoolPath = spoolPath
        self.failures = failures
    }

    /// nil when an agent has no server of the stanza.
    func subjects(_ stanza: String) -> StatusSubjects? {
        var subjects = StatusSubjects()
        subjects.volumes = [StatusVolume(name: "spool", path: spoolPath)]
        let configuration: Configuration
        do throws(BackupError) {
            (configuration, subjects.version) = try self.configuration(stanza)
        } catch {
            guard isConfigured(stanza) else { return nil }
            subjects.failure = BackupError(
                error.code, "unable to use the configuration of stanza '\(stanza)': \(error.message)",
                hint: error.code == .optionRequired
                    ? "no configuration file sets it: is the file there that has it, such as one of a Secret?"
                    : error.hint)
            return subjects
        }
        if isAgent {
            guard let key = configuration.localPostgresKeys.first, let path = configuration.string(.pgPath, key) else {
                return nil
            }
            subjects.volumes = StatusVolume.ofCluster(path) + subjects.volumes
            subjects.server = { self.server(stanza, dataDirectory: path) }
        }
        for key in configuration.configuredRepositoryKeys {
            let type = configuration.string(.repoType, key) ?? "posix"
            if !isAgent, ["posix", "cifs"].contains(type), configuration.string(.repoHost, key) == nil,
                let path = configuration.string(.repoPath, key)
            {
                subjects.volumes.append(StatusVolume(name: "repo\(key)", path: path))
            }
            subjects.repositories.append(
                StatusRepository(
                    key: key, type: type, cipher: configuration.string(.repoCipherType, key) ?? "none",
                    place: RepositoryComposition.place(configuration, key),
                    identity: Self.digest(
                        RepositoryIdentity.text { name in
                            // The path of a volume is its host's matter.
                            name == "path" && configuration.string(.repoHost, key) != nil
                                ? nil : OptionName(rawValue: "repo-\(name)").flatMap { configuration.string($0, key) }
                        }),
                    account: configuration.secret(.repoAzureAccount, key).map { Self.digest($0.revealed) }
                ) { await self.look(stanza, key, configuration) })
        }
        return subjects
    }

    private static func digest(_ text: String) -> String { SHA1.hash(Array(text.utf8).span.bytes).hex }

    // MARK: - Configuration

    /// Whether the files name it at all.
    private func isConfigured(_ stanza: String) -> Bool {
        let all = try? Configuration.load(
            programPath: programPath, arguments: [Command.info.rawValue] + ServerRun.places,
            environment: ProgramPath.environment())
        return all?.stanzasInFiles.contains(stanza) ?? true
    }

    private func configuration(
        _ stanza: String
    ) throws(BackupError) -> (configuration: Configuration, version: Int) {
        if let known = known.withLock({ $0[stanza] }), Self.isUnchanged(known.files) {
            return (known.configuration, known.files.hashValue)
        }
        let start = time(nil)
        // Who asks will ask again: that is retry enough.
        let retries = isAgent ? ["--\(OptionName.jobRetry.rawValue)=0"] : []
        let configuration = try Self.limited(.ioTimeout, Self.storeTimeout) { words throws(BackupError) in
            try load(stanza, words + retries)
        }
        if configuration.hasSecrets { _ = linux_disable_core_dumps() }
        var files: [String: String] = [:]
        var isSettled = true
        for path in configuration.consultedPaths + Self.certificates(configuration) {
            guard let facts = FileFacts(path) else { continue }
            files[path] = facts.text
            // It may change once more within the resolution of its times.
            if facts.changed ?? 0 >= start - 1 { isSettled = false }
        }
        known.withLock { known in
            if known.count >= Self.limit { known = [:] }
            known[stanza] = isSettled ? Known(files: files, configuration: configuration) : nil
        }
        return (configuration, files.hashValue)
    }

    /// By the command that works on an agent's server and on repositories both.
    private func load(_ stanza: String, _ words: [String]) throws(BackupError) -> Configuration {
        try Configuration.load(
            programPath: programPath,
            arguments: [
                isAgent ? Command.backup.rawValue : Command.info.rawValue, "--\(OptionName.stanza.rawValue)=\(stanza)",
            ] + words + ServerRun.places, environment: ProgramPath.environment())
    }

    /// With a time limit that is no longer than `most` milliseconds.
    private static func limited(
        _ option: OptionName, _ most: Int, _ load: ([String]) throws(BackupError) -> Configuration
    ) throws(BackupError) -> Configuration {
        let configuration = try load([])
        guard let given = configuration.duration(option), given > .milliseconds(most) else { return configuration }
        return try load(["--\(option.rawValue)=\(most / 1000)"])
    }

    private static func isUnchanged(_ files: [String: String]) -> Bool {
        files.allSatisfy { FileFacts($0.key)?.text == $0.value }
    }

    /// Files that a driver reads when it is made.
    private static func certificates(_ configuration: Configuration) -> [String] {
        let options: [OptionName] = [
            .repoHostCaFile, .repoHostCaPath, .repoHostCertFile, .repoHostKeyFile, .repoStorageCaFile,
            .repoStorageCaPath, .repoGcsKey,
        ]
        return configuration.configuredRepositoryKeys.flatMap { key in
            options.compactMap { configuration.string($0, key) }.filter { $0.hasPrefix("/") }
        }
    }

    // MARK: - Looks

    private func look(_ stanza: String, _ key: Int, _ configuration: Configuration) async -> RepositoryStatus {
        let repository: Repository
        do throws(BackupError) {
            repository = try self.repository(stanza, key, configuration)
        } catch {
            return RepositoryStatus(failure: error)
        }
        let status = await RepositoryStatus.take(repository, stanza: stanza, now: ObjectStoreContext.now())
        // Credentials that come from elsewhere may be others the next time.
        if status.failure != nil { known.withLock { $0[stanza]?.repositories[key] = nil } }
        return status
    }

    private func repository(
        _ stanza: String, _ key: Int, _ configuration: Configuration
    ) throws(BackupError) -> Repository {
        if let repository = known.withLock({ $0[stanza]?.repositories[key] }) { return repository }
        let repository = try RepositoryComposition.repository(configuration, key, ObjectStoreContext { _ in })
        known.withLock { $0[stanza]?.repositories[key] = repository }
        return repository
    }

    private func mayDropWAL(_ stanza: String) -> Bool {
        let configuration = try? Configuration.load(
            programPath: programPath,
            arguments: [Command.archivePush.rawValue, "--\(OptionName.stanza.rawValue)=\(stanza)"] + ServerRun.places,
            environment: ProgramPath.environment())
        return configuration?.size(.archivePushQueueMax) != nil
    }

    private func server(_ stanza: String, dataDirectory: String) -> ServerLook {
        let result: Result<ServerStatus, BackupError>
        do throws(BackupError) {
            let configuration = try Self.limited(.dbTimeout, Self.serverTimeout) { words throws(BackupError) in
                try Self.limited(.ioTimeout, Self.serverTimeout) { more throws(BackupError) in
                    try load(stanza, words + more)
                }
            }
            result = .success(try ServerStatus.take(configuration))
        } catch {
            result = .failure(error)
        }
        var look = ServerLook(result)
        guard case .success(let status) = result else { return look }
        // Where WAL may be dropped, what is archived need not hang together.
        if !mayDropWAL(stanza) {
            var time = restorable.withLock { $0[stanza] } ?? RestorableTime()
            time.note(status) { try? TransactionEnds.latest(in: $0, dataDirectory: dataDirectory) }
            restorable.withLock { $0[stanza] = time }
            look.restorable = time.time
        }
        guard status.archiving != nil else { return look }
        look.lag = try? ArchiveLag(dataDirectory: dataDirectory)
        let spool = ArchiveSpool(directory: "\(spoolPath)/archive/\(stanza)/\(ArchiveSpool.Direction.push.rawValue)")
        look.pushFailure =
            ArchivePushFailure.find(spool, statusDirectory: "\(dataDirectory)/pg_wal/archive_status")
            ?? failures?.reason(stanza).map {
                ArchivePushFailure(error: BackupError(.execute, $0), time: ObjectStoreContext.now())
            }
        return look
    }
}
