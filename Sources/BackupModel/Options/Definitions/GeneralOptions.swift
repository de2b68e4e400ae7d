extension OptionDefinition {
    /// Options that many commands share.
    static let general: [OptionDefinition] = [
        OptionDefinition(
            .allowRoot, .bool, .global, CommandSet.work.union(.asking), default: "n",
            overrides: [
                OptionOverride([.restore], default: "y")
            ],
            summary: "let the command run as the root user"),
        OptionDefinition(
            .archiveTimeout, .time, .global, [.archiveGet, .archivePush, .backup, .check], default: "1m",
            ranges: [OptionRange("100ms", "1d")], example: "2m",
            summary: "how long to wait for a WAL segment to reach the archive"),
        OptionDefinition(
            .beta, .bool, .global, .running, default: "n", flags: [.internalUse], support: .accepted,
            summary: "enable features that are not finished"),
        OptionDefinition(
            .bufferSize, .size, .global, .work, default: "1MiB",
            allowed: [
                "16KiB", "32KiB", "64KiB", "128KiB", "256KiB", "512KiB", "1MiB", "2MiB", "4MiB", "8MiB", "16MiB",
            ],
            example: "4MiB",
            summary: "size of the buffers between reading, compressing and writing"),
        OptionDefinition(
            .cmd, .string, .global, .parallel, default: .programPath, example: "/usr/bin/permafrost",
            summary: "the program's path, as it goes into restore_command"),
        OptionDefinition(
            .cmdSsh, .string, .global, .work, default: "ssh", support: .never, example: "/usr/bin/ssh",
            summary: "the SSH client"),
        OptionDefinition(
            .compress, .bool, .global, [.archivePush, .backup], default: "y",
            summary: "compress files; deprecated, use compress-type"),
        OptionDefinition(
            .compressLevel, .integer, .global, [.archivePush, .backup],
            default: .byDependency([
                OptionDefault.Case("bz2", "9"), OptionDefault.Case("gz", "6"), OptionDefault.Case("lz4", "1"),
                OptionDefault.Case("zst", "3"),
            ]),
            ranges: [
                OptionRange("1", "9", when: "bz2"), OptionRange("-1", "9", when: "gz"),
                OptionRange("-5", "12", when: "lz4"), OptionRange("-7", "22", when: "zst"),
            ],
            dependency: Dependency(.compressType, in: ["bz2", "gz", "lz4", "zst"], otherwise: "0"), example: "3",
            summary: "how hard to compress; the meaning depends on compress-type"),
        OptionDefinition(
            .compressLevelNetwork, .integer, .global, .work, default: "1", ranges: [OptionRange("-5", "12")],
            support: .accepted, example: "0",
            summary: "compression between hosts"),
        OptionDefinition(
            .compressType, .enumeration, .global, [.archivePush, .backup], default: "gz",
            allowed: ["none", "bz2", "gz", "lz4", "zst"], example: "zst",
            summary: "how files in the repository are compressed"),
        OptionDefinition(
            .delta, .bool, .global, [.backup, .restore], default: "n",
            summary: "keep files that are already right, found by checksum"),
        OptionDefinition(
            .ioTimeout, .time, .global, CommandSet.work.union(.asking), default: "1m",
            ranges: [OptionRange("100ms", "1h")], example: "30s",
            summary: "how long to wait for a connection, and for a read or write on it"),
        OptionDefinition(
            .jobRetry, .integer, .global, .parallel, default: "2", ranges: [OptionRange("0", "360")],
            flags: [.internalUse], example: "3",
            overrides: [
                OptionOverride([.archiveGet, .archivePush], default: "1")
            ],
            summary: "how many times a failed file is tried again"),
        OptionDefinition(
            .jobRetryInterval, .time, .global, .parallel, default: "15s", ranges: [OptionRange("0s", "15m")],
            flags: [.internalUse], example: "30s",
            summary: "how long to wait before the second and later retries"),
        OptionDefinition(
            .lockPath, .path, .global, .locking.union(.check), default: "/tmp/pgbackrest",
            example: "/run/permafrost", overrides: [OptionOverride([.check], isInternal: true)],
            summary: "directory of the lock files"),
        OptionDefinition(
            .neutralUmask, .bool, .global, .work, default: "y",
            summary: "set modes in the repository without regard to the umask"),
        OptionDefinition(
            .priority, .integer, .global, .running, ranges: [OptionRange("-20", "19")], example: "10",
            summary: "nice value of the process: higher is less urgent"),
        OptionDefinition(
            .processMax, .integer, .global, .parallel, default: "1", ranges: [OptionRange("1", "999")], example: "4",
            summary: "how many CPU threads the command may use"),
        OptionDefinition(
            .protocolTimeout, .time, .global, .work, default: "31m", ranges: [OptionRange("100ms", "7d")],
            support: .accepted, example: "31m",
            summary: "how long to wait for an answer from a worker or another host"),
        OptionDefinition(
            .spoolPath, .path, .global, [.agent, .archiveGet, .archivePush, .check, .restore, .server],
            default: "/var/spool/pgbackrest",
            example: "/var/spool/permafrost",
            overrides: [
                OptionOverride([.archiveGet, .archivePush], dependency: Dependency(.archiveAsync, in: ["y"])),
                OptionOverride([.check, .restore], isInternal: true),
            ],
            summary: "directory where asynchronous archiving, and jobs, keep their state"),
        OptionDefinition(
            .sckBlock, .bool, .global, .work, default: "n", flags: [.internalUse], support: .accepted,
            summary: "use blocking sockets"),
        OptionDefinition(
            .sckKeepAlive, .bool, .global, .work, default: "y", support: .accepted,
            summary: "send keep-alive messages on connections"),
        OptionDefinition(
            .tcpKeepAliveCount, .integer, .global, .work, ranges: [OptionRange("1", "32")],
            dependency: Dependency(.sckKeepAlive, in: ["y"]), support: .accepted, example: "3",
            summary: "unanswered keep-alive messages before a connection counts as lost"),
        OptionDefinition(
            .tcpKeepAliveIdle, .integer, .global, .work, ranges: [OptionRange("1", "3600")],
            dependency: Dependency(.sckKeepAlive, in: ["y"]), support: .accepted, example: "60",
            summary: "seconds of silence before the first keep-alive message"),
        OptionDefinition(
            .tcpKeepAliveInterval, .integer, .global, .work, ranges: [OptionRange("1", "900")],
            dependency: Dependency(.sckKeepAlive, in: ["y"]), support: .accepted, example: "30",
            summary: "seconds between keep-alive messages"),
        OptionDefinition(
            .tlsCipher12, .string, .global, .work, example: "ECDHE-RSA-AES256-GCM-SHA384",
            summary: "TLS 1.2 ciphers that may be used"),
        OptionDefinition(
            .tlsCipher13, .string, .global, .work, support: .never, example: "TLS_AES_256_GCM_SHA384",
            summary: "TLS 1.3 cipher suites that may be used"),
        OptionDefinition(
            .logLevelConsole, .enumeration, .global, .running, default: "warn",
            allowed: ["off", "error", "warn", "info", "detail", "debug", "trace"],
            summary: "what is logged to standard output"),
        OptionDefinition(
            .logLevelFile, .enumeration, .global, .running, default: "info",
            allowed: ["off", "error", "warn", "info", "detail", "debug", "trace"],
            summary: "what is logged to the log file"),
        OptionDefinition(
            .logLevelStderr, .enumeration, .global, .running, default: "off",
            allowed: ["off", "error", "warn", "info", "detail", "debug", "trace"],
            summary: "what is logged to standard error"),
        OptionDefinition(
            .logPath, .path, .global, .running, default: "/var/log/pgbackrest", example: "/var/log/permafrost",
            summary: "directory of the log files"),
        OptionDefinition(
            .logFormat, .enumeration, .global, .running, default: "text", allowed: ["text", "json"],
            summary: "the form of log lines"),
        OptionDefinition(
            .logSubprocess, .bool, .global, .work, default: "n", support: .accepted,
            summary: "let worker processes write log files too"),
        OptionDefinition(
            .logTimestamp, .bool, .global, .running, default: "y",
            summary: "begin each log line with the time"),
        OptionDefinition(
            .progress, .bool, .global, [.backup, .restore], default: "y",
            summary: "show how far the command is, when the output is a terminal"),
        OptionDefinition(
            .rateLimitDisk, .size, .global, [.backup, .restore], ranges: [OptionRange("64KiB", "1PiB")],
            example: "50MiB",
            summary: "bytes a second to read from, or restore to, the data directory"),
        OptionDefinition(
            .rateLimitNetwork, .size, .global, CommandSet.parallel.union(.verify),
            ranges: [OptionRange("64KiB", "1PiB")],
            example: "50MiB",
            summary: "bytes a second to move to and from repositories"),
    ]
}
