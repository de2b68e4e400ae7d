/// What no option can know by itself.
extension Configuration {
    mutating func checkTogether() throws(BackupError) {
        try checkSelection()
        try checkTarget()
        try checkRepositoryTime()
        try checkRepositoryPaths()
        try checkHosts()
        try checkParameters()
        try adjustTimeouts()
        replaceCompress()
        warnOfRetention()
        warnOfUncheckedTLS()
        if isSet(.stopAuto) {
            warnings.append(
                "option 'stop-auto' is deprecated\nHINT: all supported versions use non-exclusive backup.")
        }
    }

    private func checkSelection() throws(BackupError) {
        let selections = [
            (OptionName.repo, OptionDefinition.Group.repo, isSet(.repo) ? repositoryKeys : []),
            (.pg, .pg, integer(.pg).map { [$0] } ?? []),
        ]
        for (option, group, selected) in selections {
            if let index = selected.first(where: { keys[group]?.contains($0) == false }) {
                throw BackupError(
                    .optionInvalidValue, "key '\(index)' is not valid for '\(option.rawValue)' option",
                    hint: "no option '\(group.rawValue)\(index)-…' is set")
            }
        }
        if command == .stanzaDelete, !isSet(.repo), configuredRepositoryKeys != [1] {
            throw BackupError(
                .optionRequired, "stanza-delete command requires option: repo",
                hint: "this command requires a specific repository to operate on")
        }
    }

    /// PostgreSQL takes what is no number for transaction 0 and only says so at the end of recovery.
    private func checkTarget() throws(BackupError) {
        guard command == .restore, string(.type) == "xid", let target = string(.target) else { return }
        guard UInt64(target) != nil else {
            throw BackupError(
                .optionInvalidValue, "'\(target)' is not valid for 'target' option when 'type' option = 'xid'",
                hint: "a transaction id is a number, such as pg_current_xact_id() gives")
        }
    }

    /// Wherever it was set: what reads the present instead of the past would mislead.
    private func checkRepositoryTime() throws(BackupError) {
        guard isSet(.repoTargetTime) else { return }
        guard isSet(.repo) else {
            throw BackupError(
                .optionInvalid, "option 'repo-target-time' not valid without option 'repo'",
                hint: "name the repository that is to be seen as it was: --repo=1")
        }
        for index in repositoryKeys {
            guard let type = string(.repoType, index), !["azure", "gcs", "s3"].contains(type) else { continue }
            throw BackupError(
                .optionInvalid,
                "option 'repo-target-time' not valid without option 'repo\(index)-type' in ('azure', 'gcs', 's3')",
                hint: "a directory keeps no versions of its files")
        }
    }

    /// SSH is the default, as in pgBackRest.
    private func checkHosts() throws(BackupError) {
        for index in configuredRepositoryKeys {
            try requireTLS(.repoHost, .repoHostType, index, program: "server")
        }
        guard [.backup, .check, .job, .stanzaCreate, .stanzaUpgrade].contains(command) else { return }
        for index in postgresKeys { try requireTLS(.pgHost, .pgHostType, index, program: "agent") }
    }

    private func checkParameters() throws(BackupError) {
        if command == .serverPing, parameters.count > 1 {
            throw BackupError(.parameterInvalid, "server-ping takes one parameter at most: '\(parameters[1])'")
        }
        guard command == .job, job == nil else { return }
        let actions = JobAction.allCases.map(\.rawValue).joined(separator: ", ")
        guard let name = parameters.first else {
            throw BackupError(
                .parameterRequired, "job command requires parameter: a command to run, or one of \(actions)")
        }
        guard let action = JobAction(rawValue: name) else {
            throw BackupError(
                .parameterInvalid, "'\(name)' is no command for a job, and none of \(actions)",
                hint: "'help job' shows what it takes")
        }
        let rest = parameters.dropFirst()
        guard rest.count == action.parameters else {
            throw BackupError(
                rest.isEmpty ? .parameterRequired : .parameterInvalid,
                action == .list
                    ? "job list does not allow parameters: '\(parameters[1])'"
                    : "job \(name) takes one parameter: a job",
                hint: action == .list ? nil : "'job list' shows them")
        }
        for option in [OptionName.detach, .jobKey, .resultFile] where isSet(option) {
            if option == .resultFile, action == .follow { continue }
            throw BackupError(.optionInvalid, "option '\(option.rawValue)' not valid for 'job \(name)'")
        }
    }

    private func requireTLS(
        _ host: OptionName, _ type: OptionName, _ index: Int, program: String
    ) throws(BackupError) {
        guard let name = string(host, index), string(type, index) != "tls" else { return }
        let option = OptionTable.definition(type)?.displayName(index) ?? type.rawValue
        throw BackupError(
            .featureNotSupported, "option '\(option)' = 'ssh' is known but not supported by this version of Permafrost",
            hint: "run 'permafrost \(program)' on \(name) and set \(option)=tls")
    }

    private func checkRepositoryPaths() throws(BackupError) {
        var seen: [String: Int] = [:]
        for index in configuredRepositoryKeys {
            guard let type = string(.repoType, index), ["posix", "cifs"].contains(type),
                string(.repoHost, index) == nil, let path = string(.repoPath, index)
            else { continue }
            if let other = seen.updateValue(index, forKey: "\(type):\(path)") {
                throw BackupError(
                    .optionInvalidValue,
                    "local repo\(other) and repo\(index) paths are both '\(path)' but must be different")
            }
        }
    }

    /// A process must not give up on another that waits for the database: 30 s lie between.
    private mutating func adjustTimeouts() throws(BackupError) {
        let databaseKey = OptionKey(name: .dbTimeout, index: 0)
        let protocolKey = OptionKey(name: .protocolTimeout, index: 0)
        guard case .number(let database)? = resolved[databaseKey]?.value,
            case .number(let other)? = resolved[protocolKey]?.value, other <= database
        else { return }
        if !isSet(.protocolTimeout) {
            resolved[protocolKey]?.value = .number(database + 30_000)
            resolved[protocolKey]?.text = "\(database + 30_000)ms"
        } else if !isSet(.dbTimeout) {
            let reduced = other >= 45_000 ? other - 30_000 : other / 2
            resolved[databaseKey]?.value = .number(reduced)
            resolved[databaseKey]?.text = "\(reduced)ms"
        } else {
            throw BackupError(
                .optionInvalidValue,
                "'\(string(.protocolTimeout) ?? "")' is not valid for 'protocol-timeout' option",
                hint: "'protocol-timeout' should be greater than 'db-timeout' (\(string(.dbTimeout) ?? ""))")
        }
    }

    /// `compress=n` is the old way to say `compress-type=none`.
    private mutating func replaceCompress() {
        guard isSet(.compress) else { return }
        if isSet(.compressType) {
            warnings.append(
                "'compress' and 'compress-type' options should not both be set\n"
                    + "HINT: 'compress-type' is preferred and 'compress' is deprecated.")
        } else if !bool(.compress) {
            resolved[OptionKey(name: .compressType, index: 0)] = ResolvedOption(
                value: .text("none"), text: "none", source: source(.compress))
            resolved[OptionKey(name: .compressLevel, index: 0)] = ResolvedOption(value: .number(0), text: "0")
        }
        resolved[OptionKey(name: .compress, index: 0)] = nil
    }

    /// At each start: what goes over such a connection is seen by whoever stands in between.
    private mutating func warnOfUncheckedTLS() {
        for index in configuredRepositoryKeys
        where isSet(.repoStorageVerifyTls, index) && !bool(.repoStorageVerifyTls, index) {
            warnings.append(
                "certificates of repo\(index)'s object store are not checked: anybody may pose as it\n"
                    + "HINT: name its authority in 'repo\(index)-storage-ca-file' and remove "
                    + "'repo\(index)-storage-verify-tls=n'.")
        }
    }

    private mutating func warnOfRetention() {
        for index in configuredRepositoryKeys {
            guard let type = string(.repoRetentionFullType, index), integer(.repoRetentionFull, index) == nil
            else { continue }
            let name = "repo\(index)-retention-full"
            warnings.append(
                "option '\(name)' is not set for '\(name)-type=\(type)', the repository may run out of space\n"
                    + "HINT: to retain full backups indefinitely (without warning), set option '\(name)' to the maximum."
            )
        }
    }
}
