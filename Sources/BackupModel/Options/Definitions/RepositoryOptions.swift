extension OptionDefinition {
    /// Where backups are kept and for how long.
    static let repository: [OptionDefinition] = [
        OptionDefinition(
            .repo, .keys, .commandLine, CommandSet.oneRepository.union(.job), ranges: [OptionRange("1", "256")],
            example: "2",
            overrides: [
                OptionOverride(
                    [.backup], allowed: ["all"], summary: "back up into this repository; several in one pass, or all")
            ],
            summary: "work on this repository only"),
        OptionDefinition(
            .repoType, .enumeration, .global, .work, group: .repo, default: "posix",
            allowed: ["azure", "cifs", "gcs", "posix", "s3", "sftp"], deprecated: ["repo-type"],
            unsupportedValues: ["sftp"],
            summary: "where the repository is kept"),
        OptionDefinition(
            .repoPath, .path, .global, .work, group: .repo, default: "/var/lib/pgbackrest",
            deprecated: ["repo-path"], example: "/backup/permafrost",
            summary: "directory of the repository"),
        OptionDefinition(
            .repoCipherType, .enumeration, .global, .work, group: .repo, default: "none",
            allowed: ["none", "aes-256-cbc"], deprecated: ["repo-cipher-type"],
            summary: "how files in the repository are encrypted"),
        OptionDefinition(
            .repoCipherPass, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoCipherType, in: ["aes-256-cbc"]), deprecated: ["repo-cipher-pass"],
            flags: [.secure],
            summary: "passphrase of the repository"),
        OptionDefinition(
            .repoHardlink, .bool, .global, [.backup], group: .repo, default: "n",
            dependency: Dependency(.repoBundle, in: ["n"], otherwise: "n"), deprecated: ["hardlink"],
            summary: "link files that did not change between backups"),
        OptionDefinition(
            .repoSymlink, .bool, .global, [.backup, .expire], group: .repo, default: "y",
            dependency: Dependency(.repoType, in: ["posix"], otherwise: "n"),
            summary: "keep symbolic links to the latest backup and to tablespaces"),
        OptionDefinition(
            .repoTargetTime, .string, .global, [.archiveGet, .info, .manifest, .repoGet, .repoLs, .restore, .verify],
            example: "2026-01-01 12:00:00+00",
            summary: "see the repository as it was at this time"),
        OptionDefinition(
            .repoStorageDownloadConcurrency, .integer, .global, .work, group: .repo,
            ranges: [OptionRange("1", "1024")], example: "16",
            summary: "how many downloads from the repository are in flight at once"),
        OptionDefinition(
            .repoStorageUploadConcurrency, .integer, .global, .work, group: .repo,
            ranges: [OptionRange("1", "1024")], example: "16",
            summary: "how many uploads to the repository are in flight at once"),
        OptionDefinition(
            .repoRetentionFullType, .enumeration, .global, [.backup, .expire], group: .repo, default: "count",
            allowed: ["count", "time"],
            summary: "whether repo-retention-full counts backups or days"),
        OptionDefinition(
            .repoRetentionFull, .integer, .global, [.backup, .expire], group: .repo,
            ranges: [OptionRange("1", "9999999")], deprecated: ["retention-full"], example: "2",
            summary: "how many full backups, or days of them, to keep"),
        OptionDefinition(
            .repoRetentionDiff, .integer, .global, [.backup, .expire], group: .repo,
            ranges: [OptionRange("1", "9999999")], deprecated: ["retention-diff"], example: "7",
            summary: "how many differential backups to keep"),
        OptionDefinition(
            .repoRetentionArchiveType, .enumeration, .global, [.backup, .expire], group: .repo, default: "full",
            allowed: ["full", "diff", "incr"], deprecated: ["retention-archive-type"],
            summary: "the type of backup that repo-retention-archive counts"),
        OptionDefinition(
            .repoRetentionArchive, .integer, .global, [.backup, .expire], group: .repo,
            ranges: [OptionRange("1", "9999999")], deprecated: ["retention-archive"], example: "2",
            summary: "for how many backups WAL is kept"),
        OptionDefinition(
            .repoRetentionHoldArchive, .bool, .global, [.backup, .expire], group: .repo, default: "n",
            summary: "keep all WAL from the oldest held backup on"),
        OptionDefinition(
            .repoRetentionHistory, .integer, .global, [.backup, .expire], group: .repo,
            ranges: [OptionRange("0", "9999999")], example: "365",
            summary: "days for which manifests of expired backups are kept"),
        OptionDefinition(
            .repoBundle, .bool, .global, [.backup], group: .repo, default: "n",
            summary: "store small files together"),
        OptionDefinition(
            .repoBundleSize, .size, .global, [.backup], group: .repo, default: "20MiB",
            ranges: [OptionRange("1MiB", "1PiB")], dependency: Dependency(.repoBundle, in: ["y"]),
            example: "40MiB",
            summary: "size that a bundle grows to"),
        OptionDefinition(
            .repoBundleLimit, .size, .global, [.backup], group: .repo, default: "2MiB",
            ranges: [OptionRange("8KiB", "1PiB")], dependency: Dependency(.repoBundle, in: ["y"]),
            example: "4MiB",
            summary: "largest file that goes into a bundle"),
        OptionDefinition(
            .repoBlock, .bool, .global, [.backup], group: .repo, default: "n",
            dependency: Dependency(.repoBundle, in: ["y"], otherwise: "n"),
            summary: "store only the changed blocks of files"),
        OptionDefinition(
            .repoBlockSizeMap, .hash, .global, [.backup], group: .repo,
            dependency: Dependency(.repoBlock, in: ["y"]), flags: [.internalUse],
            example: "1GiB=128KiB",
            summary: "block size by size of the file"),
        OptionDefinition(
            .repoBlockAgeMap, .hash, .global, [.backup], group: .repo, dependency: Dependency(.repoBlock, in: ["y"]),
            flags: [.internalUse], example: "7=2",
            summary: "factor on the block size by age of the file in days"),
        OptionDefinition(
            .repoBlockChecksumSizeMap, .hash, .global, [.backup], group: .repo,
            dependency: Dependency(.repoBlock, in: ["y"]), flags: [.internalUse],
            example: "32KiB=8",
            summary: "checksum size by block size"),
        OptionDefinition(
            .repoBlockSizeSuper, .size, .global, [.backup], group: .repo, default: "256KiB",
            ranges: [OptionRange("32KiB", "16MiB")], dependency: Dependency(.repoBlock, in: ["y"]),
            flags: [.internalUse], example: "512KiB",
            summary: "size of the groups of blocks that are compressed together"),
        OptionDefinition(
            .repoBlockSizeSuperFull, .size, .global, [.backup], group: .repo, default: "1MiB",
            ranges: [OptionRange("32KiB", "16MiB")], dependency: Dependency(.repoBlock, in: ["y"]),
            flags: [.internalUse], example: "2MiB",
            summary: "the same, for full backups"),
    ]
}
