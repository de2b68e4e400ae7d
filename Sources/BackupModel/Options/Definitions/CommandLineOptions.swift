extension OptionDefinition {
    /// Options of the command line and the environment: never in a file, apart from `stanza`'s sections.
    static let commandLine: [OptionDefinition] = [
        OptionDefinition(
            .archiveExpireBefore, .string, .commandLine, [.expire],
            example: "000000010000000000000010",
            summary: "remove WAL older than this segment, whatever the retention says"),
        OptionDefinition(
            .config, .string, .commandLine, .running, default: "/etc/permafrost/permafrost.conf",
            flags: [.negatable], example: "/etc/permafrost/main.conf",
            summary: "the configuration file to read; --no-config reads none"),
        OptionDefinition(
            .configIncludePath, .path, .commandLine, .running, default: "/etc/permafrost/conf.d",
            example: "/etc/permafrost/conf.d",
            summary: "directory whose *.conf files are read after the configuration file"),
        OptionDefinition(
            .configPath, .path, .commandLine, .running, default: "/etc/permafrost", example: "/srv/permafrost",
            summary: "directory that holds the configuration file and conf.d"),
        OptionDefinition(
            .detailLevel, .enumeration, .commandLine, [.info], default: "full", allowed: ["full", "progress"],
            summary: "how much info tells of each stanza: all, or only what is running"),
        OptionDefinition(
            .dryRun, .bool, .commandLine, [.expire, .restore], default: "n",
            overrides: [
                OptionOverride([.restore], summary: "check all, say what would be restored, and change nothing")
            ],
            summary: "say what would be removed, and remove nothing"),
        OptionDefinition(
            .force, .bool, .commandLine, [.backup, .expire, .restore, .stanzaCreate, .stanzaDelete, .stop, .tls],
            default: "n",
            overrides: [
                OptionOverride(
                    [.expire], dependency: Dependency(.set), summary: "expire the set although it is held, or the last"),
                OptionOverride([.tls], summary: "replace certificates that are still valid"),
                OptionOverride([.backup], dependency: Dependency(.online, in: ["n"])),
                OptionOverride([.stanzaCreate], isInternal: true),
            ],
            summary: "go ahead where a check would stop the command"),
        OptionDefinition(
            .help, .bool, .commandLine, [.help], default: "n",
            summary: "show help"),
        OptionDefinition(
            .inPlace, .bool, .commandLine, [.restore], default: "n",
            summary: "replace the database of a server that runs under a supervisor"),
        OptionDefinition(
            .man, .bool, .commandLine, [.help], default: "n",
            summary: "write the manual page, for man"),
        OptionDefinition(
            .oldest, .bool, .commandLine, [.expire], default: "n",
            overrides: [
                OptionOverride([.expire], dependency: Dependency(.stanza))
            ],
            summary: "expire the oldest full backup and what depends on it"),
        OptionDefinition(
            .online, .bool, .commandLine, [.backup, .stanzaCreate, .stanzaUpgrade], default: "y",
            flags: [.negatable],
            summary: "back up a running server; --no-online copies one that is stopped"),
        OptionDefinition(
            .output, .enumeration, .commandLine,
            [.expire, .info, .job, .manifest, .repoLs, .restore, .verify, .version],
            default: "text", allowed: ["text", "json"],
            overrides: [
                OptionOverride([.restore], dependency: Dependency(.dryRun, in: ["y"])),
                OptionOverride([.verify], default: "none", allowed: ["none", "text"]),
                OptionOverride([.version], default: "text", allowed: ["text", "num"]),
            ],
            summary: "the form in which the result is printed"),
        OptionDefinition(
            .detach, .bool, .commandLine, [.job], default: "n",
            summary: "start the job and do not wait for its end"),
        OptionDefinition(
            .jobKey, .string, .commandLine, [.job], example: "nightly-2026-11-21",
            summary: "name of the request: made again with the same one, it is the same job"),
        OptionDefinition(
            .resultFile, .path, .commandLine, [.job], example: "/dev/termination-log",
            summary: "file that the result is written to as well, cut to 4096 bytes"),
        OptionDefinition(
            .reference, .string, .commandLine, [.manifest], example: "20260101-120000F",
            summary: "show only files that are stored in this backup"),
        OptionDefinition(
            .set, .string, .commandLine, [.annotate, .expire, .info, .manifest, .restore, .verify],
            example: "20260101-120000F",
            overrides: [
                OptionOverride([.annotate], required: true),
                OptionOverride([.info], dependency: Dependency(.stanza)),
                OptionOverride([.manifest, .restore], default: "latest"),
            ],
            summary: "the backup to work on, by its label"),
        OptionDefinition(
            .report, .bool, .commandLine, [.check], default: "n", flags: [.internalUse], support: .notYet,
            summary: "print the result of the check as a report"),
        OptionDefinition(
            .stanza, .string, .commandLine, .stanza, required: true, example: "main",
            overrides: [
                OptionOverride([.check, .info, .job, .start, .stop], required: false),
                OptionOverride([.repoGet, .repoLs, .repoPut, .repoRm], required: false, isInternal: true),
            ],
            summary: "the name of the database cluster's backup configuration"),
        OptionDefinition(
            .startTimeout, .time, .commandLine, [.restore], default: "10m",
            ranges: [OptionRange("1s", "7d")], dependency: Dependency(.inPlace, in: ["y"]), example: "30m",
            summary: "how long the restored server has to come up before it counts as failed"),
        OptionDefinition(
            .target, .string, .commandLine, [.restore], required: true,
            dependency: Dependency(.type, in: ["lsn", "name", "time", "xid"]), example: "2026-01-01 12:00:00+00",
            summary: "where recovery ends: a time, an LSN, a restore point or a transaction"),
        OptionDefinition(
            .targetAction, .enumeration, .commandLine, [.restore], default: "pause",
            allowed: ["pause", "promote", "shutdown"],
            dependency: Dependency(.type, in: ["immediate", "lsn", "name", "time", "xid"]),
            summary: "what PostgreSQL does when recovery has reached the target"),
        OptionDefinition(
            .targetExclusive, .bool, .commandLine, [.restore], default: "n",
            dependency: Dependency(.type, in: ["lsn", "time", "xid"]),
            summary: "end recovery just before the target instead of just after it"),
        OptionDefinition(
            .targetTimeline, .string, .commandLine, [.restore],
            dependency: Dependency(.type, in: ["default", "lsn", "name", "standby", "time", "xid"]),
            example: "latest",
            summary: "the timeline that recovery follows"),
        OptionDefinition(
            .tlsDays, .integer, .commandLine, [.tls], ranges: [OptionRange("1", "36500")], example: "365",
            summary: "for how many days a certificate is valid"),
        OptionDefinition(
            .tlsPath, .path, .commandLine, [.tls], default: "/etc/permafrost/tls", example: "/srv/tls",
            summary: "directory of the certificate authority"),
        OptionDefinition(
            .type, .enumeration, .commandLine, [.backup, .info, .restore], required: true,
            overrides: [
                OptionOverride(
                    [.backup], default: "incr", allowed: ["full", "diff", "incr"],
                    example: "full", summary: "the kind of backup"),
                OptionOverride(
                    [.info], required: false, allowed: ["full", "diff", "incr"],
                    summary: "show backups of this kind only"),
                OptionOverride(
                    [.restore], default: "default",
                    allowed: ["default", "preserve", "immediate", "standby", "none", "name", "time", "lsn", "xid"],
                    example: "time", summary: "how far to recover"),
            ],
            summary: "the kind of backup, or how far to recover"),
        OptionDefinition(
            .verbose, .bool, .commandLine, [.verify], default: "n",
            summary: "print what was found for each backup and each archive"),
        OptionDefinition(
            .verifyBudget, .time, .commandLine, [.verify], ranges: [OptionRange("1s", "52w")], example: "10m",
            summary: "how long to read; the next run goes on where this one ended"),
        OptionDefinition(
            .version, .bool, .commandLine, [.help], default: "n",
            summary: "show the version"),
        OptionDefinition(
            .execId, .string, .commandLine, .running, flags: [.internalUse], support: .accepted,
            example: "1234-deadbeef",
            summary: "names this run, so that its processes find each other"),
        OptionDefinition(
            .process, .integer, .commandLine, .running, ranges: [OptionRange("0", "1024")], flags: [.internalUse],
            support: .accepted, example: "1",
            summary: "number of a worker process among those of one run"),
        OptionDefinition(
            .lock, .list, .commandLine,
            [.annotate, .archivePush, .backup, .expire, .stanzaCreate, .stanzaDelete, .stanzaUpgrade],
            flags: [.internalUse], support: .accepted, example: "main-backup.lock",
            summary: "a lock that the calling process holds"),
        OptionDefinition(
            .remoteType, .enumeration, .commandLine, .running, allowed: ["pg", "repo"], flags: [.internalUse],
            support: .accepted, example: "repo",
            summary: "which side of a connection a remote process serves"),
        OptionDefinition(
            .cipherPass, .string, .commandLine, [.repoGet, .repoPut], flags: [.internalUse], support: .notYet,
            example: "passphrase",
            summary: "passphrase to use for the file instead of the repository's"),
        OptionDefinition(
            .filter, .string, .commandLine, [.manifest, .repoLs], example: "backup.info$",
            summary: "list only paths that match this regular expression"),
        OptionDefinition(
            .ignoreMissing, .bool, .commandLine, [.repoGet], default: "n",
            summary: "succeed when the file is not there"),
        OptionDefinition(
            .raw, .bool, .commandLine, [.repoGet, .repoPut], default: "n",
            summary: "pass the file on as it is stored, without decryption"),
        OptionDefinition(
            .recurse, .bool, .commandLine, [.repoLs, .repoRm], default: "n",
            summary: "go into directories"),
        OptionDefinition(
            .sort, .enumeration, .commandLine, [.repoLs], default: "asc", allowed: ["none", "asc", "desc"],
            summary: "the order of the list"),
    ]
}
