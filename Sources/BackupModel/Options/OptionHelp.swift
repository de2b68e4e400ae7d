extension OptionDefinition {
    /// What one line cannot say, for those options where it matters.
    func details(for command: Command) -> String? {
        switch name {
        case .archiveCheck:
            "Without the WAL written while it was made a backup cannot be restored, so the backup waits for it. "
                + "Turn this off only if WAL is archived by other means."
        case .archiveCopy:
            "The backup can then be restored although the archive is lost. It is stored twice."
        case .bufferSize:
            "Each process-max thread has a few of these buffers."
        case .checksumPage:
            "Invalid pages are a warning, and listed with the backup. By default on when the cluster has checksums."
        case .cmd:
            "Given when the program is to be called by another path than it was called by now."
        case .compressLevel:
            "Higher is smaller and slower. The default depends on compress-type."
        case .compressType:
            "zst is the best choice when nothing but Permafrost and pgBackRest reads the files; lz4 is the fastest; "
                + "gz is the default for compatibility; bz2 is slow."
        case .config:
            "By default the first that exists of /etc/permafrost/permafrost.conf, /etc/pgbackrest/pgbackrest.conf "
                + "and /etc/pgbackrest.conf, and after it conf.d. With this option the file must exist, and conf.d "
                + "is not read unless it is named as well."
        case .configIncludePath:
            "By default /etc/permafrost/conf.d, and when it has no *.conf files /etc/pgbackrest/conf.d. With this "
                + "option the directory must exist."
        case .configPath:
            "permafrost.conf, or else pgbackrest.conf, is looked for here, and more files in conf.d below."
        case .delta:
            "Files whose size and checksum are right stay as they are; everything else is replaced or removed."
        case .exclude:
            "Relative to the data directory. With a final / what is in the directory is left out, without it also "
                + "the directory itself. May be repeated."
        case .force where command == .restore:
            "Restores over the files that are in the data directory. With --delta files of right size and time "
                + "are taken as right."
        case .force where command == .expire:
            "Its hold, if it has one, counts no more, but those of backups that rest on it do. It may be the only full "
                + "backup: with no backup left, WAL from before its end goes too, if WAL is expired at all."
        case .repoRetentionHoldArchive:
            "With n, WAL of a held backup is kept as far as makes it consistent; with y it can be recovered to any later time."
        case .force where command == .stop:
            "Ends running commands with a signal."
        case .force where command == .tls:
            "issue replaces a certificate that is there, for the same key; renew renews what is not due yet."
        case .force where command == .stanzaDelete:
            "Deletes the stanza although PostgreSQL is running."
        case .force where command == .backup:
            "Copies the files of a server although it seems to be running. What is copied may be unusable."
        case .linkMap:
            "The name is the link's path in the data directory, the value where it will point to. May be repeated."
        case .lockPath:
            "All commands on a host that use one repository must have the same lock path."
        case .logFormat:
            "json writes one object per line, with time, level and message."
        case .online:
            "With --no-online PostgreSQL must be stopped, and needs no running archive."
        case .processMax:
            "As many as there are CPUs to spare. Connections to remote stores are counted apart from it."
        case .ioTimeout:
            "Bounds connecting to PostgreSQL; db-timeout bounds what is asked of it then."
        case .inPlace:
            "PostgreSQL is stopped by its supervisor, which takes PGDATA.hold as the sign to do so and answers with "
                + "PGDATA.held; on Kubernetes that is what starts Patroni. The backup is restored into PGDATA.restore and "
                + "recovered there; then the directories are exchanged, the supervisor starts PostgreSQL, and the old one, "
                + "PGDATA.before, is removed once the new one takes writes. Whatever fails before the exchange leaves the "
                + "old database, which is started again. The volume must hold both. With --delta it need not: the restore "
                + "is made in the present directory, and no old data is kept. A run that was killed is finished by the next."
        case .jobRetry:
            "Calls to a repository that failed for a reason that may pass, such as a file server that restarts, are "
                + "made again: soon, then after each job-retry-interval."
        case .tlsDays:
            "By default 3650 for init and 90 for issue; renew keeps the time that a certificate had. None outlasts the "
                + "authority."
        case .tlsPath:
            "It holds ca.crt and ca.key of the authority, and NAME.crt and NAME.key for each certificate."
        case .pgVersionForce:
            "For builds of PostgreSQL whose control file and WAL carry numbers of their own. They must be laid out as "
                + "those of the version named."
        case .priority:
            "Only root may use a value below the present one."
        case .rateLimitDisk:
            "All workers of the run share it. In a backup it bounds what is read from the data directory, in a "
                + "restore what is written into it. pgBackRest has no such option."
        case .rateLimitNetwork:
            "All workers and all repositories of the run share it: what is stored and what is fetched, as it lies in "
                + "the repository, also when that is a directory. pgBackRest has no such option."
        case .repoStorageDownloadConcurrency, .repoStorageUploadConcurrency:
            "Counted apart from process-max. What counts is a call that runs: opening, one chunk, the commit; a file "
                + "that is open but idle does not. In a store behind a network so many are made beside each other, 16 "
                + "by default, so that its latency does not keep the processor waiting; each may hold a few MiB. In a "
                + "directory there is no limit by default. pgBackRest has no such option."
        case .recoveryOption:
            "Written as it is into postgresql.auto.conf (recovery.conf before PostgreSQL 12). May be repeated."
        case .repo where command == .backup:
            "By default the first. The database is read once, however many repositories the backup goes into."
        case .repo:
            "By default the first configured repository that can serve."
        case .repoPath:
            "WAL and backups of all stanzas are below it."
        case .repoRetentionArchive:
            "Without it WAL is kept for as long as the backups that need it."
        case .repoRetentionFull:
            "When a full backup goes, all that depend on it go too. Unset, nothing is ever removed."
        case .repoRetentionFullType:
            "With time at least one full backup older than the days given is kept, so that every moment within "
                + "them can be restored."
        case .repoTargetTime:
            "For what was deleted, overwritten or expired by mistake or malice. The repository must be in a bucket that "
                + "keeps versions, or only what has not changed since is seen, and repo must name it. Without a time "
                + "zone the local one is taken; fractions of a second are cut off."
        case .set where command == .restore:
            "latest is the newest that can reach the target."
        case .stanza:
            "Section names in the configuration file begin with it: [main], [main:backup]."
        case .startFast:
            "The backup begins at once, with more I/O for PostgreSQL."
        case .startTimeout:
            "When it is over the restored directory stays, and the old one is kept beside it as PGDATA.before."
        case .tablespaceMap:
            "The tablespace is given by name or OID, the value is its new directory. May be repeated."
        case .target:
            "A time may have a time zone: 2026-01-01 12:00:00+00. Without one the local zone is taken."
        case .targetAction:
            "pause waits for a decision, promote opens the server for writing, shutdown stops it."
        case .targetTimeline:
            "current, latest, or the number of a timeline."
        case .repoHost:
            "The repository is a directory on that host: the one that repoN-path names there, with the same N, served by "
                + "'permafrost server'. repoN-host-type=tls must be set too."
        case .repoHostCertFile:
            "Its common name is who this host is to the other, which grants it stanzas in tls-server-auth."
        case .pgHost:
            "backup, check, stanza-create and stanza-upgrade become jobs of the agent there ('permafrost agent'), which runs them "
                + "by its own configuration; what is given here on the command line goes with them. pgN-host-type=tls must "
                + "be set too."
        case .pgHostPort:
            "The agent's; pgBackRest's own default is 8432."
        case .pgHostConfig, .pgHostConfigIncludePath, .pgHostConfigPath, .repoHostConfig, .repoHostConfigIncludePath,
            .repoHostConfigPath:
            "pgBackRest tells its remote process which configuration to read."
        case .tlsServerAllow:
            "Each right holds those before it: read; add, which archives WAL and takes backups but can neither change nor "
                + "remove what is complete; expire, which also removes backups and WAL; all, which also deletes stanzas. "
                + "A client that is not named has all of them. pgBackRest has no such option."
        case .tlsServerAuth:
            "A client is known by the common name of its certificate. Several stanzas have commas between them; * is all. "
                + "May be repeated."
        case .tlsServerAddress:
            "* is all addresses of the host."
        case .verifyBudget:
            "What was not read for the longest time comes first, so that runs with a budget read all of a repository in "
                + "turns. A run without it reads all."
        case .type where command == .restore:
            "default recovers to the end of the archive; immediate until the cluster is consistent; time, lsn, name "
                + "and xid until --target; standby goes on following; preserve keeps the recovery files that are "
                + "there; none writes no recovery files."
        default: nil
        }
    }

    /// Why an accepted option changes nothing; nil for those that do, or are refused.
    package func reasonForNoEffect(for command: Command) -> String? {
        guard support(for: command) == .accepted else { return nil }
        switch name {
        case .compressLevelNetwork: return "no protocol runs between hosts in this version"
        case .protocolTimeout: return "workers are threads of one process, with which no protocol is spoken"
        case .sckBlock, .sckKeepAlive, .tcpKeepAliveCount, .tcpKeepAliveIdle, .tcpKeepAliveInterval:
            return "no repository or host is reached by network in this version"
        case .pgHostConfig, .pgHostConfigIncludePath, .pgHostConfigPath, .repoHostConfig, .repoHostConfigIncludePath,
            .repoHostConfigPath:
            return "the server on the other host has read its own configuration"
        case .logSubprocess: return "workers are threads, and what they do is in the one log"
        case .stopAuto: return "obsolete: the server ends a backup with its session"
        case .beta, .execId, .lock, .pgLocal, .process, .remoteType, .repoLocal:
            return "between pgBackRest's own processes only"
        default: return "nothing that it would change exists in this version"
        }
    }

    /// Why this version refuses the option or some of its values, as far as there is more to say.
    package var reasonForRefusal: String? {
        switch name {
        case .cmdSsh, .pgHostCmd, .pgHostType, .pgHostUser, .repoHostCmd, .repoHostType, .repoHostUser:
            return "hosts are not reached by SSH"
        case .tlsCipher13: return "the TLS library chooses among the suites of TLS 1.3 by itself"
        case .repoType: return "there are no repositories by SFTP"
        default: break
        }
        if name.rawValue.hasPrefix("repo-sftp-") { return "there are no repositories by SFTP" }
        return nil
    }

    /// A value as one would write it, other than the default where that is possible.
    func exampleValue(for command: Command) -> String? {
        if let example = example(for: command) { return example }
        let allowed = allowed(for: command).filter { !unsupportedValues(for: command).contains($0) }
        guard case .text(let text)? = defaultValue(for: command) else { return type == .bool ? "y" : allowed.last }
        if type == .bool { return text == "y" ? "n" : "y" }
        return allowed.last { $0 != text } ?? text
    }

    /// As help shows it; nil when there is none, or none to be shown.
    func defaultDescription(for command: Command, programPath: String) -> String? {
        switch defaultValue(for: command) {
        case nil: nil
        case .text(let text): text
        case .programPath: programPath
        case .byDependency(let cases): cases.map { "\($0.value) for \($0.when)" }.joined(separator: ", ")
        }
    }

    /// The heading that help lists the option under.
    func heading(for command: Command) -> String {
        switch group {
        case .pg?: return "PostgreSQL Options"
        case .repo?: return "Repository Options"
        case nil: break
        }
        switch name {
        case .repo, .repoTargetTime: return "Repository Options"
        case .pg, .dbTimeout, .pgVersionForce: return "PostgreSQL Options"
        case .logFormat, .logLevelConsole, .logLevelFile, .logLevelStderr, .logPath, .logSubprocess, .logTimestamp,
            .progress:
            return "Log Options"
        case .stanza, .config, .configPath, .configIncludePath: return "General Options"
        default: break
        }
        if section == .commandLine { return "Command Options" }
        return OptionDefinition.general.contains { $0.name == name } ? "General Options" : "Command Options"
    }
}
