extension OptionDefinition {
    /// How WAL is archived and backups are made.
    static let archiveAndBackup: [OptionDefinition] = [
        OptionDefinition(
            .agentSocket, .path, .global, [.agent, .archivePush], default: "/run/permafrost/agent.sock",
            example: "/run/permafrost/main.sock",
            summary: "socket at which archive-push asks an agent on the same host"),
        OptionDefinition(
            .archiveAsync, .bool, .global, [.archiveGet, .archivePush], default: "n",
            summary: "push and fetch WAL in the background, ahead of PostgreSQL"),
        OptionDefinition(
            .archiveGetQueueMax, .size, .global, [.archiveGet], default: "128MiB",
            ranges: [OptionRange("0B", "4PiB")], example: "1GiB",
            summary: "how much WAL may be fetched ahead"),
        OptionDefinition(
            .archiveHeaderCheck, .bool, .global, [.archivePush], default: "y",
            summary: "compare the header of each WAL segment with the stanza"),
        OptionDefinition(
            .archiveMissingRetry, .bool, .global, [.archiveGet], default: "y",
            summary: "ask again for WAL that was missing a moment ago"),
        OptionDefinition(
            .archivePushBatchSize, .size, .global, [.archivePush], default: "16GiB",
            ranges: [OptionRange("1MiB", "4PiB")], example: "1GiB",
            summary: "how much WAL one background push takes on"),
        OptionDefinition(
            .archivePushQueueMax, .size, .global, [.archivePush], ranges: [OptionRange("0B", "4PiB")],
            deprecated: ["archive-queue-max"], example: "100GiB",
            summary: "drop WAL, and so break the archive, when this much is waiting"),
        OptionDefinition(
            .annotation, .hash, .global, [.annotate, .backup], example: "reason=upgrade",
            overrides: [
                OptionOverride([.annotate], required: true)
            ],
            summary: "a note to keep with the backup"),
        OptionDefinition(
            .archiveCheck, .bool, .global, [.archivePush, .backup, .check], default: "y",
            overrides: [
                OptionOverride([.backup], dependency: Dependency(.online, in: ["y"], otherwise: "n"))
            ],
            summary: "wait until the WAL that the backup needs is in the archive"),
        OptionDefinition(
            .archiveCopy, .bool, .global, [.backup], default: "n",
            overrides: [
                OptionOverride([.backup], dependency: Dependency(.archiveCheck, in: ["y"], otherwise: "n"))
            ],
            summary: "store the WAL that the backup needs with the backup as well"),
        OptionDefinition(
            .archiveModeCheck, .bool, .global, [.archivePush, .backup, .check], default: "y",
            dependency: Dependency(.archiveCheck, in: ["y"], otherwise: "n"),
            summary: "refuse to work with archive_mode=always"),
        OptionDefinition(
            .backupStandby, .enumeration, .global, [.backup, .check], default: "n", allowed: ["n", "prefer", "y"],
            flags: [.boolLike],
            summary: "read files from a standby, to spare the primary"),
        OptionDefinition(
            .checksumPage, .bool, .global, [.backup],
            summary: "check the page checksums of the cluster while copying"),
        OptionDefinition(
            .pageHeaderCheck, .bool, .global, [.backup], default: "y",
            summary: "check the headers of pages even without page checksums"),
        OptionDefinition(
            .exclude, .list, .global, [.backup], example: "pg_log/",
            summary: "leave this path out of the backup, relative to the data directory"),
        OptionDefinition(
            .expireAuto, .bool, .global, [.backup], default: "y",
            summary: "run expire when the backup is complete"),
        OptionDefinition(
            .manifestSaveThreshold, .size, .global, [.backup], default: "1GiB", ranges: [OptionRange("1B", "1TiB")],
            example: "512MiB",
            summary: "save the list of files each time this much has been copied"),
        OptionDefinition(
            .resume, .bool, .global, [.backup], default: "y",
            summary: "keep what an interrupted backup has copied"),
        OptionDefinition(
            .startFast, .bool, .global, [.backup], default: "n",
            summary: "force a checkpoint instead of waiting for the next"),
        OptionDefinition(
            .stopAuto, .bool, .global, [.backup], default: "n", flags: [.internalUse], support: .accepted,
            summary: "stop a backup that was left running; no longer needed"),
    ]
}
