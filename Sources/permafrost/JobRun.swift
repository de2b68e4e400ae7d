import BackupEngine
import BackupModel
import HTTP
import Jobs
import Logging

/// `job`: has another host run a command, and looks after what runs there.
struct JobRun {
    private let configuration: Configuration
    private let logger: Logger

    init(_ configuration: Configuration, _ logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// - Returns: the exit code of the job, where one was followed to its end.
    func run() async throws -> Int32 {
        if configuration.job != nil { return try await start() }
        switch configuration.parameters.first.flatMap({ JobAction(rawValue: $0) }) {
        case .list?, nil:
            let jobs = try await client().jobs(stanza: configuration.string(.stanza))
            print(isJSON ? ServiceJSON.array(jobs).description : JobListText.table(jobs, time: LocalTime.text))
        case .show?:
            let job = try await client().job(jobID())
            print(isJSON ? job.description : JobListText.description(job, time: LocalTime.text))
        case .follow?: return try finish(try await client().follow(jobID(), JobOutput(logger).watcher))
        case .cancel?:
            let id = try jobID()
            try await client().cancel(id)
            logger.notice("job \(id) was told to end")
        }
        return 0
    }

    private var isJSON: Bool { configuration.string(.output) == "json" }

    private func client() throws(BackupError) -> JobClient {
        try host(isForCluster: !configuration.isSet(.repo)).client(logger)
    }

    private func jobID() throws(BackupError) -> JobID {
        let text = configuration.parameters.last ?? ""
        guard let id = JobID(text) else {
            throw BackupError(.parameterInvalid, "'\(text)' is no job", hint: "'job list' shows them")
        }
        return id
    }

    private func start() async throws -> Int32 {
        let request = try JobRequest(
            delegating: configuration, key: configuration.string(.jobKey) ?? JobOutput.newKey(configuration))
        let host = try host(isForCluster: request.command.needsCluster)
        let client = try host.client(logger)
        if configuration.bool(.detach) {
            let id = try await client.start(request)
            logger.notice("job \(id) on \(host.origin.authority)")
            print(try await client.job(id).description)
            return 0
        }
        return try finish(
            try await client.run(request, cancelsWithTask: true, JobOutput(logger).watcher) { [logger] id in
                logger.notice("job \(id) on \(host.origin.authority)")
            })
    }

    /// What is printed last is for programs, and what a Pod ends with has 4096 bytes at most.
    private func finish(_ result: JobResult) throws(BackupError) -> Int32 {
        print(result.text())
        if let path = configuration.string(.resultFile) { try ResultFile.write(result, path) }
        return result.exitCode
    }

    // MARK: Which host

    /// The agent for what needs the cluster. For the rest the repository host, or the agent where there is none.
    private func host(isForCluster: Bool) throws(BackupError) -> JobHost {
        let agent = configuration.postgresKeys.lazy.compactMap { JobHost.agent(configuration, key: $0) }.first
        if isForCluster, let agent { return agent }
        let repository = configuration.repositoryKeys.lazy.compactMap { JobHost.repository(configuration, key: $0) }
            .first
        let isAction = configuration.job == nil
        if !isForCluster || isAction, let repository { return repository }
        if !isForCluster, !configuration.isSet(.repo), let agent { return agent }
        throw BackupError(
            .optionRequired,
            isForCluster && !isAction
                ? "job command requires option: pg1-host"
                : "job command requires option: \(configuration.isSet(.repo) ? "" : "pg1-host or ")repo\(configuration.repositoryKeys.first ?? 1)-host",
            hint: configuration.string(.stanza) == nil
                ? "pgN-host stands in the section of a stanza: name it by --stanza"
                : "pgN-host names the agent beside PostgreSQL, repoN-host the repository host")
    }
}
