import BackupModel
import PostgresFormats
import RepositoryFormats

/// What `info` tells, before it is rendered.
package struct InfoReport: Sendable, Equatable {
    /// Only names and states were collected (`--detail-level=progress`).
    var isProgressOnly = false
    /// By name.
    var stanzas: [Stanza] = []
    /// One backup was asked for.
    var set: String?

    struct Stanza: Sendable, Equatable {
        var name: String
        /// In the order of their keys.
        var repositories: [RepositoryState]
        var backupLocks: [BackupLock] = []
        var restoreLock: LockHolder?
    }

    /// What one repository has of a stanza.
    struct RepositoryState: Sendable, Equatable {
        var key: Int
        /// `none` or `aes-256-cbc`.
        var cipher: String
        var status: InfoStatus
        /// Of ``InfoStatus/other``: code and words of the error.
        var error: String?
        /// History id that is in use; nil when backup.info could not be read.
        var currentID: Int?
        /// By history id.
        var databases: [DatabaseHistoryEntry] = []
        var archives: [Archive] = []
        /// By label.
        var backups: [Backup] = []

        var current: DatabaseHistoryEntry? { databases.first { $0.id == currentID } }
    }

    /// The WAL of one database in one repository.
    struct Archive: Sendable, Equatable {
        var databaseID: Int
        var archiveID: String
        /// Names of the first and the last segment; nil when there is none.
        var first: String?
        var last: String?
    }

    struct Backup: Sendable, Equatable {
        var entry: BackupInfoEntry
        /// Only of the backup that was asked for.
        var detail: Detail?
    }

    /// What only the manifest tells.
    struct Detail: Sendable, Equatable {
        struct Named: Sendable, Equatable {
            var name: String
            var oid: UInt32?
            var destination: String?
        }
        var databases: [Named]
        var links: [Named]
        var tablespaces: [Named]
        /// Files with page checksum errors, relative to the data directory.
        var damagedFiles: [String]

        init(_ manifest: Manifest) {
            databases = manifest.databases.filter { !["template0", "template1"].contains($0.name) }
                .map { Named(name: $0.name, oid: $0.id) }
            links = []
            tablespaces = []
            for target in manifest.targets where target.kind == .link {
                if let name = target.tablespaceName {
                    tablespaces.append(Named(name: name, oid: target.tablespaceID, destination: target.path))
                } else if let file = target.file {
                    links.append(Named(name: file, destination: "\(target.path)/\(file)"))
                } else {
                    links.append(Named(name: Self.dataDirectoryName(target.name), destination: target.path))
                }
            }
            damagedFiles = (0..<manifest.files.count).compactMap { index in
                guard case .invalid = manifest.files.pageCheck(index) else { return nil }
                return Self.dataDirectoryName(manifest.files.name(index))
            }
        }

        private static func dataDirectoryName(_ name: String) -> String {
            name.hasPrefix("pg_data/") ? String(name.dropFirst("pg_data/".count)) : name
        }
    }

    struct BackupLock: Sendable, Equatable {
        var repositoryKey: Int
        var holder: LockHolder
    }
}

/// The states of a stanza, with pgBackRest's numbers and words (section C.10 of the reference).
enum InfoStatus: Int, Sendable {
    case ok = 0
    case missingStanzaPath = 1
    case noBackup = 2
    case missingStanzaData = 3
    case mixed = 4
    case databaseMismatch = 5
    case backupMissing = 6
    case other = 99

    var message: String {
        switch self {
        case .ok: "ok"
        case .missingStanzaPath: "missing stanza path"
        case .noBackup: "no valid backups"
        case .missingStanzaData: "missing stanza data"
        case .mixed: "different across repos"
        case .databaseMismatch: "database mismatch across repos"
        case .backupMissing: "requested backup not found"
        case .other: "other"
        }
    }
}

extension InfoReport.RepositoryState {
    var message: String { error ?? status.message }
}

extension InfoReport.Stanza {
    /// The database that the first readable repository names.
    var current: DatabaseHistoryEntry? { repositories.lazy.compactMap(\.current).first }

    var status: InfoStatus {
        let current = current
        let disagree = repositories.contains { repository in
            repository.current.map {
                $0.version != current?.version || $0.systemIdentifier != current?.systemIdentifier
            } ?? false
        }
        if disagree { return .databaseMismatch }
        return same(\.status) ?? .mixed
    }

    /// `mixed` when the repositories differ.
    var cipher: String { same(\.cipher) ?? "mixed" }

    /// All backups with their repository's key, the one that ended first in front.
    var backups: [(repositoryKey: Int, backup: InfoReport.Backup)] {
        var rest = repositories.map { ($0.key, $0.backups[...]) }
        var merged: [(repositoryKey: Int, backup: InfoReport.Backup)] = []
        // A merge, not a sort: within a repository the labels' order stays, whatever clocks said.
        while let next = rest.indices.filter({ !rest[$0].1.isEmpty }).min(by: { stop(rest[$0].1) < stop(rest[$1].1) }) {
            merged.append((rest[next].0, rest[next].1.removeFirst()))
        }
        return merged
    }

    private func stop(_ backups: ArraySlice<InfoReport.Backup>) -> Int64 { backups.first?.entry.timestampStop ?? 0 }

    private func same<Value: Equatable>(_ fact: (InfoReport.RepositoryState) -> Value) -> Value? {
        guard let first = repositories.first.map(fact) else { return nil }
        return repositories.allSatisfy { fact($0) == first } ? first : nil
    }

    /// Over all repositories; nil when nobody told.
    var backupProgress: (done: UInt64, total: UInt64)? {
        let known = backupLocks.compactMap(\.holder.sizes)
        guard !known.isEmpty else { return nil }
        let total = known.reduce(0) { Self.saturatingSum($0, $1.total) }
        return (min(known.reduce(0) { Self.saturatingSum($0, $1.done) }, total), total)
    }

    private static func saturatingSum(_ first: UInt64, _ second: UInt64) -> UInt64 {
        let (sum, overflow) = first.addingReportingOverflow(second)
        return overflow ? .max : sum
    }
}

extension LockHolder {
    /// Bytes; nil when the file tells none.
    var sizes: (done: UInt64, total: UInt64)? {
        guard let size, size > 0 else { return nil }
        return (min(sizeDone ?? 0, size), size)
    }
}
