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
        if let job = configuration.job { return try await start(job) }
        switch configuration.parameters.first.flatMap({ JobAction(rawValue: $0) }) {
        case .list?, nil:
            let jobs = try await list()
            print(isJSON ? ServiceJSON.array(jobs).description : JobListText.table(jobs, time: LocalTime.text))
        case .show?:
            let (_, _, job) = try await find()
            print(isJSON ? job.description : JobListText.description(job, time: LocalTime.text))
        case .follow?:
            let (host, id, _) = try await find()
            let watch = JobWatch(logger)
            return try finish(try await watch.client(host).follow(id, watch.watcher))
        case .cancel?:
            let (host, id, _) = try await find()
            try await JobWatch(logger).client(host).cancel(id)
            logger.notice("job \(id) was told to end")
        }
        return 0
    }

    private var isJSON: Bool { configuration.string(.output) == "json" }

    private func start(_ job: JobWords) async throws -> Int32 {
        let request = try JobRequest(
            delegating: configuration, key: configuration.string(.jobKey) ?? JobWatch.newKey(configuration))
        let host = try await host(for: request)
        guard configuration.bool(.detach) else {
            return try finish(try await JobWatch(logger).run(request, on: host))
        }
        let client = try JobWatch(logger).client(host)
        let id = try await client.start(request)
        logger.notice("job \(id) on \(host.origin.authority)")
        print(try await client.job(id).description)
        return 0
    }

    /// What is printed last is for programs, and what a Pod ends with has 4096 bytes at most.
    private func finish(_ result: JobResult) throws(BackupError) -> Int32 {
        print(result.text())
        if let path = configuration.string(.resultFile) { try ResultFile.write(result, path) }
        return result.exitCode
    }

    // MARK: Jobs that are there

    /// How long a host may be out of reach where others are asked as well.
    private static let patience = Duration.seconds(5)

    /// Of all agents, newest first.
    private func list() async throws -> [ServiceJSON] {
        let jobs = try await asking { client throws(BackupError) in
            try await client.jobs(stanza: configuration.string(.stanza))
        }
        return jobs.flatMap(\.answer).sorted { ($0["id"]?.string ?? "") > ($1["id"]?.string ?? "") }
    }

    /// The job that the command line names, and the host that has it.
    private func find() async throws -> (HostAddress, JobID, ServiceJSON) {
        let text = configuration.parameters.last ?? ""
        guard let id = JobID(text) else {
            throw BackupError(.parameterInvalid, "'\(text)' is no job", hint: "'job list' shows them")
        }
        let found = try await asking { client throws(BackupError) -> ServiceJSON? in
            do throws(BackupError) { return try await client.job(id) } catch {
                guard error.code == .fileMissing else { throw error }
                return nil
            }
        }
        for (host, job) in found { if let job { return (host, id, job) } }
        throw BackupError(.fileMissing, "there is no such job: \(id)", hint: "'job list' shows them")
    }

    /// Asks all hosts that may have jobs: one that does not answer is a warning where another does.
    private func asking<Answer>(
        _ ask: (JobClient) async throws(BackupError) -> Answer
    ) async throws -> [(host: HostAddress, answer: Answer)] {
        let hosts = try hosts()
        var answers: [(host: HostAddress, answer: Answer)] = []
        var failures: [BackupError] = []
        for host in hosts {
            do throws(BackupError) {
                let client = try JobWatch(logger).client(host, patience: hosts.count > 1 ? Self.patience : nil)
                answers.append((host, try await ask(client)))
            } catch {
                failures.append(error)
            }
        }
        if answers.isEmpty, let first = failures.first { throw first }
        for failure in failures { logger.warning("\(failure.description)") }
        return answers
    }

    /// The agents; with `--repo`, or without agents, the repository host.
    private func hosts() throws(BackupError) -> [HostAddress] {
        let agents = configuration.remotePostgresKeys.compactMap { HostAddress.agent(configuration, $0) }
        if !agents.isEmpty, !configuration.isSet(.repo) { return agents }
        if let repository { return [repository] }
        throw missing(configuration.isSet(.repo) ? [repositoryOption] : ["pg1-host", repositoryOption])
    }

    // MARK: Where a new one runs

    /// The agent for what needs the cluster. For the rest the repository host, or the agent where there is none.
    private func host(for request: JobRequest) async throws -> HostAddress {
        if !request.command.needsCluster {
            if let repository { return repository }
            guard !configuration.isSet(.repo) else { throw missing([repositoryOption]) }
        }
        let agent = try await AgentSelection.choose(
            request.command.command, request.standbyUse, configuration, logger)
        guard let address = HostAddress.agent(configuration, agent.key) else {
            throw missing(request.command.needsCluster ? ["pg1-host"] : ["pg1-host", repositoryOption])
        }
        return address
    }

    private var repository: HostAddress? {
        configuration.repositoryKeys.lazy.compactMap { HostAddress.repository(configuration, $0) }.first
    }

    private var repositoryOption: String { "repo\(configuration.repositoryKeys.first ?? 1)-host" }

    private func missing(_ options: [String]) -> BackupError {
        BackupError(
            .optionRequired, "job command requires option: \(options.joined(separator: " or "))",
            hint: configuration.string(.stanza) == nil
                ? "pgN-host stands in the section of a stanza: name it by --stanza"
                : "pgN-host names the agent beside PostgreSQL, repoN-host the repository host")
    }
}

extension JobRequest {
    fileprivate var standbyUse: BackupServers.StandbyUse {
        guard case .texts(let texts)? = options.first(where: { $0.name == .backupStandby })?.value else { return .no }
        return texts.first.flatMap { BackupServers.StandbyUse(rawValue: $0) } ?? .no
    }
}
