import BackupModel

/// Options of the engine that are not the user's here: with another value parts of a cluster would not find each other.
enum ReservedOptions {
    static let repositories = 1...4

    private static let places: Set<OptionName> = [
        .repoType, .repoS3Bucket, .repoS3Endpoint, .repoS3Region, .repoGcsBucket, .repoAzureContainer,
    ]
    private static let paths: Set<OptionName> = [
        .lockPath, .spoolPath, .logPath, .logLevelFile, .logFormat, .agentSocket, .cmd, .cmdSsh,
    ]
    private static let programs: Set<OptionName> = [.repoS3ProcessCmd]
    private static let beginnings = [
        "image-", "job-", "monitor-", "operator-", "repo-host", "repo-local", "repo-sftp-", "tls-server-", "watch-",
    ]

    /// Why it is left out; nil when it is the user's.
    static func refusal(_ option: FileOption) -> String? {
        if option.group == .pg { return "where PostgreSQL is the operator knows" }
        if let index = option.index, !repositories.contains(index) { return "repositories are repo1 to repo4" }
        if places.contains(option.name) { return "it is in the repository's own fields" }
        if paths.contains(option.name) { return "it is the operator's" }
        if programs.contains(option.name) { return "the images have no such program" }
        if option.name == .repoTargetTime { return "it is for single commands" }
        if beginnings.contains(where: { option.name.rawValue.hasPrefix($0) }) { return "it is the operator's" }
        return nil
    }

    /// Whether it says where a repository is, which its own fields do.
    static func isPlace(_ option: FileOption) -> Bool { places.contains(option.name) }
}
