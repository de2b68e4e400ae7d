import BackupEngine
import BackupModel
import Glibc
import HTTP
import Jobs
import Logging
import Monitoring
import RepositoryHost
import RepositoryStorage
import Synchronization

/// `/healthz`, `/readyz` and `/metrics` from the options of an agent or a repository host.
enum MonitorComposition {
    static func monitor(_ runner: JobRunner?, programPath: String) -> Monitor {
        // Of its own: a repository that does not answer must keep no client waiting.
        let thread = WorkerThreads(count: 1)
        return Monitor(Monitor.Options(), jobs: { runner?.jobs { _ in true } ?? [] }) {
            await withTaskExecutorPreference(thread) { await measure(programPath) }
        } lag: { stanza in
            await withTaskExecutorPreference(thread) { lag(stanza, programPath) }
        }
    }

    static func options(
        _ configuration: Configuration, _ authorization: HostAuthorization, _ serving: Serving
    ) throws(BackupError) -> Monitor.Options {
        var options = Monitor.Options()
        for (name, value) in configuration.pairs(.monitorLabel) {
            guard MetricFamily.isLabel(name), !["stanza", "repo", "type", "end", "le"].contains(name) else {
                throw BackupError(
                    .optionInvalidValue, "'\(name)=\(value)' is not valid for 'monitor-label' option",
                    hint:
                        "a label begins with a letter, has letters, digits and _, and is none that metrics have already"
                )
            }
            options.labels.append((name: name, value: value))
        }
        options.shows = { stanza, client in authorization.shows(stanza, to: client) }
        options.certificateEnd = { serving.server?.certificateEnd }
        if let interval = configuration.duration(.monitorInterval) { options.interval = interval }
        return options
    }

    /// nil when `monitor-port` is not set.
    static func serve(
        _ monitor: Monitor, _ configuration: Configuration, _ logger: Logger
    ) async throws(BackupError) -> HTTPServer? {
        guard let port = configuration.integer(.monitorPort) else { return nil }
        let address = configuration.string(.monitorAddress) ?? "localhost"
        var options = ServerOptions(.plain(address: address, port: port))
        options.limits.connections = 32
        options.log = { logger.warning("\($0)") }
        let server = HTTPServer(options, handler: monitor)
        _ = try await server.start()
        logger.notice("metrics on \(address), port \(port)")
        return server
    }

    // MARK: What is measured

    /// Of all stanzas that the configuration or a repository names. What cannot be told is left out.
    private static func measure(_ programPath: String) async -> [StanzaMeasure] {
        // Read again each time: it may have changed, and what it holds is secret.
        guard let all = try? load(programPath, stanza: nil),
            let repositories = try? RepositoryComposition.repositories(all, ObjectStoreContext { _ in })
        else { return [] }
        var stanzas = Set(all.stanzasInFiles)
        for repository in repositories {
            let entries = (try? await repository.listAll("backup")) ?? []
            stanzas.formUnion(entries.filter { $0.kind == .directory }.map(\.name))
        }
        var measures: [StanzaMeasure] = []
        for stanza in stanzas.sorted() {
            guard let configuration = try? load(programPath, stanza: stanza),
                let own = try? RepositoryComposition.repositories(configuration, ObjectStoreContext { _ in })
            else { continue }
            var measure = StanzaMeasure(stanza: stanza, repositories: [])
            for repository in own {
                let taken = await RepositoryMeasure.take(repository, stanza: stanza, now: ObjectStoreContext.now())
                // Where no repository is configured it is the directory of the default, which then need not be there.
                if taken.failure != nil, !isConfigured(configuration, repository.key) { continue }
                measure.repositories.append(taken)
                measure.volumes[repository.key] = space(configuration, repository.key)
            }
            measures.append(measure)
        }
        return measures
    }

    private static func isConfigured(_ configuration: Configuration, _ key: Int) -> Bool {
        [OptionName.repoType, .repoPath, .repoHost].contains { configuration.isSet($0, key) }
    }

    /// nil of a repository that is not a directory of this host.
    private static func space(_ configuration: Configuration, _ key: Int) -> (size: UInt64, free: UInt64)? {
        guard ["posix", "cifs"].contains(configuration.string(.repoType, key) ?? "posix"),
            configuration.string(.repoHost, key) == nil, let path = configuration.string(.repoPath, key)
        else { return nil }
        return try? StatusVolume(name: "repo\(key)", path: path).space()
    }

    /// nil where PostgreSQL is not on this host, or what waits cannot be told.
    private static func lag(_ stanza: String, _ programPath: String) -> ArchiveLag? {
        guard
            let configuration = try? Configuration.load(
                programPath: programPath,
                arguments: ["--\(OptionName.stanza.rawValue)=\(stanza)", "archive-push", "lag"] + ServerRun.places,
                environment: ProgramPath.environment()),
            let key = configuration.postgresKeys.first(where: { configuration.string(.pgHost, $0) == nil }),
            let path = configuration.string(.pgPath, key),
            // What a standby has left from its time as the primary nobody archives, and nobody needs to.
            access("\(path)/standby.signal", F_OK) != 0
        else { return nil }
        return try? ArchiveLag(dataDirectory: path)
    }

    private static func load(_ programPath: String, stanza: String?) throws(BackupError) -> Configuration {
        try Configuration.load(
            programPath: programPath,
            arguments: (stanza.map { ["--\(OptionName.stanza.rawValue)=\($0)"] } ?? []) + ["info"] + ServerRun.places,
            environment: ProgramPath.environment())
    }
}

/// The server, for those who are there before it.
final class Serving: Sendable {
    private let state = Mutex<HTTPServer?>(nil)
    var server: HTTPServer? { state.withLock { $0 } }
    func set(_ server: HTTPServer) { state.withLock { $0 = server } }
}

/// Passes the ends of jobs on to who is not there yet when the first job is found.
final class JobEnds: Sendable {
    private struct State {
        var early: [JobResult] = []
        var listener: (@Sendable (JobResult) -> Void)?
    }
    private let state = Mutex(State())

    func add(_ result: JobResult) {
        let listener = state.withLock { state in
            if state.listener == nil { state.early.append(result) }
            return state.listener
        }
        listener?(result)
    }

    func tell(_ listener: @escaping @Sendable (JobResult) -> Void) {
        let early = state.withLock { state in
            defer { state.early = [] }
            state.listener = listener
            return state.early
        }
        for result in early { listener(result) }
    }
}
