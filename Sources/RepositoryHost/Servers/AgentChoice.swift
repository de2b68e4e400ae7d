package import BackupEngine
package import BackupModel

/// Which of several agents runs a command of a stanza: by what they say of their servers. Pure.
package struct AgentChoice: Sendable {
    /// What one agent said, or why it did not.
    package struct Answer: Sendable {
        /// The `N` of `pgN-host`.
        package var key: Int
        package var host: String
        package var result: Result<RemoteServerStatus, BackupError>

        package init(key: Int, host: String, result: Result<RemoteServerStatus, BackupError>) {
            self.key = key
            self.host = host
            self.result = result
        }
    }

    /// The `N` of `pgN-host`.
    package let key: Int
    package let isStandby: Bool
    package let warnings: [String]

    /// A backup goes to the primary's, or with `backup-standby` to a standby's; other commands to the primary's, or to any
    /// where no primary answers.
    /// - Throws: what keeps the command from being run, with what each agent said.
    package init(
        _ command: Command, _ use: BackupServers.StandbyUse, _ answers: [Answer]
    ) throws(BackupError) {
        var found: [(key: Int, status: RemoteServerStatus)] = []
        var failures: [(key: Int, error: BackupError)] = []
        for answer in answers {
            switch answer.result {
            case .success(let status): found.append((answer.key, status))
            case .failure(let error): failures.append((answer.key, error))
            }
        }
        if found.isEmpty, let first = failures.first { throw first.error }
        var warnings = failures.map { "unable to check pg\($0.key): [\($0.error.code.rawValue)] \($0.error.message)" }
        let primaries = found.filter { !$0.status.isInRecovery }
        guard primaries.count < 2 else {
            throw BackupError(
                .databaseConnect,
                "more than one primary cluster found: \(primaries.map { "'\($0.status.place)'" }.joined(separator: ", "))",
                hint: "the pgN-host of a stanza must name the agents of one primary and its standbys")
        }
        if let first = found.first,
            let other = found.first(where: { $0.status.systemIdentifier != first.status.systemIdentifier })
        {
            throw BackupError(
                .databaseMismatch,
                "'\(first.status.place)' and '\(other.status.place)' are not of one cluster: system ids differ",
                hint: "all pgN of a stanza belong to one cluster")
        }
        let said = Self.said(answers)
        let standby = found.first(where: \.status.isInRecovery)
        let chosen: Int
        switch (command, use) {
        case (.backup, .require),
            (.backup, .prefer) where standby != nil:
            guard let standby else {
                throw BackupError(
                    .databaseConnect, "unable to find standby cluster, which backup-standby=y requires: \(said)",
                    hint: "start a standby and the agent beside it, or use backup-standby=prefer")
            }
            chosen = standby.key
        case (.backup, _):
            if use == .prefer {
                warnings.append("unable to find a standby to perform the backup, using primary instead")
            }
            guard let primary = primaries.first else {
                throw BackupError(
                    .databaseConnect, "unable to find primary cluster: \(said)",
                    hint: "one pgN-host must name the agent beside the primary, and both must run")
            }
            chosen = primary.key
        default:
            // One was found: without any the first failure was thrown.
            guard let any = primaries.first ?? found.first else {
                throw BackupError(.databaseConnect, "unable to find a server of the stanza")
            }
            if primaries.isEmpty { warnings.append("unable to find primary cluster: \(said)") }
            chosen = any.key
        }
        key = chosen
        isStandby = standby?.key == chosen
        self.warnings = warnings
    }

    private static func said(_ answers: [Answer]) -> String {
        answers.map { answer in
            switch answer.result {
            case .success(let status): "\(answer.host) has a \(status.isInRecovery ? "standby" : "primary")"
            case .failure: "\(answer.host) does not answer"
            }
        }.joined(separator: ", ")
    }
}
