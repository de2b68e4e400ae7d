package import BackupModel

/// What `pg_control` tells of the server that wrote it last: the state that it left, and settings that a server which
/// recovers the same WAL should have too.
package struct ServerControl: Sendable, Equatable {
    package enum State: UInt32, Sendable {
        case startingUp, shutDown, shutDownInRecovery, shuttingDown, inCrashRecovery, inArchiveRecovery, inProduction
    }

    /// nil for one that no version has.
    package var state: State?
    package var walLevel: String
    package var logsHints: Bool
    package var maxConnections: UInt32
    package var maxWALSenders: UInt32
    package var maxPreparedTransactions: UInt32
    package var maxLocksPerTransaction: UInt32
    package var tracksCommitTimestamps: Bool

    package init(
        state: State?, walLevel: String, logsHints: Bool, maxConnections: UInt32, maxWALSenders: UInt32,
        maxPreparedTransactions: UInt32, maxLocksPerTransaction: UInt32, tracksCommitTimestamps: Bool
    ) {
        self.state = state
        self.walLevel = walLevel
        self.logsHints = logsHints
        self.maxConnections = maxConnections
        self.maxWALSenders = maxWALSenders
        self.maxPreparedTransactions = maxPreparedTransactions
        self.maxLocksPerTransaction = maxLocksPerTransaction
        self.tracksCommitTimestamps = tracksCommitTimestamps
    }

    private static let walLevels = ["minimal", "replica", "logical"]

    /// Throws as ``PostgresControl/init(parsing:)`` does, and `.versionNotSupported` for versions before 12.
    package init(parsing bytes: RawSpan) throws(BackupError) {
        let layout = try PostgresControl.layout(of: bytes)
        guard layout.version >= PostgresVersion(number: 120_000) else {
            throw BackupError(
                .versionNotSupported, "the settings in pg_control of PostgreSQL \(layout.version) are not known")
        }
        // The same fields in all versions since 12, right before the numbers that say how pages are laid out.
        func number(_ before: Int) -> UInt32 { bytes.integer(at: layout.pageSize - before) }
        func flag(_ before: Int) -> Bool { bytes.integer(at: layout.pageSize - before, as: UInt8.self) != 0 }
        state = State(rawValue: bytes.integer(at: VersionLayout.state))
        let level = Int(number(44))
        walLevel = Self.walLevels.indices.contains(level) ? Self.walLevels[level] : "replica"
        logsHints = flag(40)
        maxConnections = number(36)
        maxWALSenders = number(28)
        maxPreparedTransactions = number(24)
        maxLocksPerTransaction = number(20)
        tracksCommitTimestamps = flag(16)
    }
}
