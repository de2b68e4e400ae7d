package import BackupModel
package import Logging
package import RepositoryStorage

/// What every command is given.
package struct EngineContext: Sendable {
    package var configuration: Configuration
    /// In the order of their keys; never empty.
    package var repositories: [Repository]
    package var logger: Logger
    /// Seconds since 1970.
    package var now: @Sendable () -> Int64
    package var progress: any ProgressSink
    /// Where some `pgN-host` names another host.
    package var remoteServers: (any RemoteServers)?
    /// `rate-limit-disk`, shared by all workers of the run; nil: as fast as it goes.
    package let diskLimit: RateLimit?

    package init(
        configuration: Configuration, repositories: [Repository], logger: Logger, now: @escaping @Sendable () -> Int64,
        progress: any ProgressSink
    ) {
        self.configuration = configuration
        self.repositories = repositories
        self.logger = logger
        self.now = now
        self.progress = progress
        diskLimit = configuration.size(.rateLimitDisk).map { RateLimit(bytesPerSecond: $0) }
    }

    /// `buffer-size` in bytes: what a worker reads, and a codec writes, at once.
    package var bufferSize: Int { configuration.bufferSize }

    package func stanza() throws(BackupError) -> String { try configuration.requiredStanza() }

    /// By `compress-type`, or none with the obsolete `--no-compress`.
    package func compressType() throws(BackupError) -> CompressType {
        if !configuration.bool(.compress) { return .none }
        let text = configuration.string(.compressType) ?? "gz"
        guard let type = CompressType(rawValue: text) else {
            throw BackupError(.optionInvalidValue, "'\(text)' is no compress-type")
        }
        return type
    }

    /// Absolute path of the data directory of the first configured server of this host.
    package func dataDirectory() throws(BackupError) -> String {
        guard let key = configuration.localPostgresKeys.first, let path = configuration.string(.pgPath, key) else {
            throw BackupError(.optionRequired, "pg1-path is required", hint: "name the data directory of the cluster")
        }
        return path
    }
}

extension Configuration {
    /// The `N`s of servers that are on this host, and of those that are not.
    package var localPostgresKeys: [Int] { postgresKeys.filter { string(.pgHost, $0) == nil } }
    package var remotePostgresKeys: [Int] { postgresKeys.filter { string(.pgHost, $0) != nil } }

    /// ``EngineContext/bufferSize``, for those that have no context.
    var bufferSize: Int { size(.bufferSize).flatMap { Int(exactly: $0) } ?? 1 << 20 }
}

extension RateLimit {
    /// As ``take(_:)``, for callers that throw our errors only.
    func pace(_ bytes: Int) async throws(BackupError) {
        do { try await take(bytes) } catch { throw BackupError(.terminated, "terminated on signal") }
    }
}

/// Who is told how far a copy is. Called from worker threads.
package protocol ProgressSink: Sendable {
    func begin(total: UInt64)
    func add(_ bytes: UInt64)
    func end()
}
