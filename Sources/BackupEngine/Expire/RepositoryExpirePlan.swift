import BackupModel
import RepositoryFormats

/// All that `expire` removes from one repository, and why; made before anything is removed.
struct RepositoryExpirePlan: Sendable, Equatable {
    /// The repository's number.
    var key: Int
    var backups: ExpirePlan
    /// The list as it will be.
    var info: BackupInfo
    /// Directories of no listed backup, besides those that expire; by label.
    var leftovers: [String] = []
    /// Directories of no listed backup that stay, and why; by label.
    var spared: [Spared] = []
    var archives: [ArchiveExpiry] = []
    /// Paths in `backup.history`, by year.
    var manifests: [ManifestExpiry] = []
    /// Days that manifests are kept.
    var manifestRetention: Int?

    struct Spared: Sendable, Equatable {
        enum Reason: Sendable, Equatable {
            /// The newest, without a manifest: it may be running, or wait to be resumed.
            case unfinished
            /// Why its manifest cannot be read.
            case unreadable(String)
        }
        var label: String
        var reason: Reason
    }

    /// WAL of one archive id that goes.
    struct ArchiveExpiry: Sendable, Equatable {
        var archiveID: String
        /// The whole of it: no backup of its database is left, and another database is current.
        var isWhole = false
        /// The backup from whose start on all WAL is kept.
        var keptFrom: String?
        /// Of 16 characters, ascending.
        var directories: [String] = []
        /// By directory.
        var files: [Files] = []
        var histories: [String] = []
        /// What goes between two things that stay: first and last directory or segment.
        var runs: [Run] = []

        struct Files: Sendable, Equatable {
            var directory: String
            /// Ascending.
            var names: [String]
        }

        struct Run: Sendable, Equatable {
            var first: String
            var last: String
        }

        var isEmpty: Bool { !isWhole && directories.isEmpty && files.isEmpty && histories.isEmpty }
    }

    struct ManifestExpiry: Sendable, Equatable {
        var year: String
        /// File names.
        var names: [String]
        var isWholeYear: Bool
    }

    /// Bytes of the backups that go, as `backup.info` tells them.
    var size: UInt64 {
        backups.expired.reduce(0) { sum, backup in
            let (sum, overflow) = sum.addingReportingOverflow(backup.size)
            return overflow ? .max : sum
        }
    }

    var isEmpty: Bool {
        backups.expired.isEmpty && leftovers.isEmpty && archives.allSatisfy(\.isEmpty) && manifests.isEmpty
    }
}
