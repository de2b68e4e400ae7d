package import BackupModel
package import PostgresAccess

/// What is wrong with how a server archives, told from its settings. Pure.
package struct ArchivingDiagnosis: Sendable {
    package var settings: ArchivingSettings
    package var stanza: String
    /// The configuration file that was read; nil when there is none.
    package var configFile: String?
    package var checksMode: Bool
    /// Whether a path names a file on the server's host; nil when that cannot be told.
    package var fileExists: @Sendable (String) -> Bool?
    /// Whether a path names a program that may be run.
    package var isExecutable: @Sendable (String) -> Bool?

    package init(
        settings: ArchivingSettings, stanza: String, configFile: String?, checksMode: Bool = true,
        fileExists: @escaping @Sendable (String) -> Bool?, isExecutable: @escaping @Sendable (String) -> Bool?
    ) {
        self.settings = settings
        self.stanza = stanza
        self.configFile = configFile
        self.checksMode = checksMode
        self.fileExists = fileExists
        self.isExecutable = isExecutable
    }

    private var setCommand: String {
        "set archive_command = 'permafrost --stanza=\(stanza) archive-push %p' and reload"
    }

    /// The reason why no WAL can arrive; nil when none is seen.
    package var failure: BackupError? {
        if settings.archiveMode == "off" {
            let isMinimal = settings.walLevel == "minimal"
            return BackupError(
                .archiveDisabled,
                "archive_mode is off\(isMinimal ? ", and wal_level is minimal" : ""): without WAL no backup could be made consistent",
                hint: isMinimal
                    ? "set wal_level=replica and archive_mode=on, and restart PostgreSQL"
                    : "set archive_mode=on and restart PostgreSQL, or use --no-archive-check and keep the WAL otherwise"
            )
        }
        if settings.archiveMode == "always", checksMode {
            return BackupError(
                .featureNotSupported, "archive_mode is 'always', so that primary and standby both archive the same WAL",
                hint: "set archive_mode=on, or --no-archive-mode-check if they archive to different repositories")
        }
        if !settings.archiveLibrary.isEmpty {
            return BackupError(
                .archiveCommandInvalid,
                "archive_library is '\(settings.archiveLibrary)', so that PostgreSQL does not run archive_command",
                hint: "set archive_library = '' and \(setCommand)")
        }
        return commandFailure
    }

    private var commandFailure: BackupError? {
        let command = settings.archiveCommand
        func invalid(_ reason: String, hint: String? = nil) -> BackupError {
            BackupError(.archiveCommandInvalid, "archive_command '\(command)' \(reason)", hint: hint ?? setCommand)
        }
        guard !command.allSatisfy(\.isWhitespace) else {
            return BackupError(
                .archiveCommandInvalid, "archive_command is empty: WAL piles up in pg_wal and is not archived",
                hint: setCommand)
        }
        guard command.contains("permafrost") || command.contains("pgbackrest") else {
            return invalid("calls neither permafrost nor pgbackrest")
        }
        let line = ArchiveCommandLine(command)
        guard let program = line.program else { return nil }
        if program.hasPrefix("/"), isExecutable(program) == false {
            return invalid(
                "calls '\(program)', which \(fileExists(program) == true ? "may not be run" : "does not exist")",
                hint: "is the program installed there on the database host? Otherwise \(setCommand)")
        }
        if let named = line.value(of: "stanza"), named != stanza {
            return invalid("archives to stanza '\(named)', not to '\(stanza)'", hint: "set --stanza=\(stanza) in it")
        }
        guard line.arguments.contains("archive-push") else { return invalid("does not call archive-push") }
        guard line.arguments.contains(where: { $0.contains("%p") }) else {
            return invalid("does not pass %p, the path of the WAL file")
        }
        if let file = line.value(of: "config"), file.hasPrefix("/"), fileExists(file) == false {
            return invalid(
                "reads the configuration '\(file)', which does not exist", hint: "name the file that exists there")
        }
        return nil
    }

    /// What may be intended, and often is not.
    package var warnings: [String] {
        var warnings: [String] = []
        let line = ArchiveCommandLine(settings.archiveCommand)
        if let file = line.value(of: "config"), let configFile, file != configFile {
            warnings.append(
                "archive_command reads the configuration '\(file)', while this check read '\(configFile)': do they name the same repositories?"
            )
        }
        if line.program != nil, line.value(of: "stanza") == nil {
            warnings.append(
                "archive_command names no stanza: add --stanza=\(stanza), unless the server's environment does")
        }
        return warnings
    }

    /// Worth knowing.
    package var notes: [String] {
        guard settings.archiveTimeout == 0 else { return [] }
        return ["archive_timeout is 0: on a quiet server the last changes may wait for long before they are archived"]
    }
}

/// Times of a host and of a repository that should agree.
package enum ClockSkew {
    /// Seconds that are not worth a word.
    private static let tolerance: Int64 = 10

    /// How far the clock of a repository is ahead (or behind, below 0) that says an object was stored at `stored`, which
    /// happened between two moments by the server's clock. All in seconds since 1970; nil when they agree, or when the
    /// repository does not tell.
    package static func seconds(stored: Int64, after start: Int64, before end: Int64) -> Int64? {
        guard stored > 0 else { return nil }
        if stored > end + tolerance { return stored - end }
        if stored < start - tolerance { return stored - start }
        return nil
    }
}
