package import BackupModel
import PostgresFormats

/// What a verification found, for one stanza.
package struct VerifyReport: Sendable {
    package struct Archive: Sendable {
        package var id: String
        package var tally = VerifyTally()
        /// The ranges that are missing; those that retention may have removed are no damage.
        package var gaps: [SegmentRange] = []
        package var windows: [RecoveryWindow] = []
    }

    package struct Backup: Sendable {
        package enum Status: String, Sendable {
            case valid
            case invalid
            /// Listed, and not there.
            case missingManifest = "missing manifest"
            case inProgress = "in-progress"
            /// Not read in this run, for lack of time.
            case notRead = "not read"
            case partlyRead = "partly read"
            case expired
        }
        package var label: String
        package var status: Status
        package var tally = VerifyTally()
        /// Files that earlier backups hold, and are checked there.
        package var elsewhere = 0
    }

    package struct Repository: Sendable {
        package var key: Int
        /// Of info files.
        package var tally = VerifyTally()
        package var archives: [Archive] = []
        package var backups: [Backup] = []
        /// What earlier runs found in what this run did not read.
        package var remembered: [VerifyState.Remembered] = []
        /// Worth knowing, and no damage.
        package var notes: [String] = []
        package var coverage: Coverage?

        package init(key: Int) { self.key = key }

        /// Every finding of this run and, still standing, of earlier ones.
        package var findings: [VerifyFinding] {
            tally.findings + archives.flatMap(\.tally.findings) + backups.flatMap(\.tally.findings)
                + remembered.map(\.finding)
        }

        package func count(_ kind: VerifyFinding.Kind) -> Int {
            tally.count(kind) + archives.map { $0.tally.count(kind) }.reduce(0, +)
                + backups.map { $0.tally.count(kind) }.reduce(0, +)
                + remembered.filter { $0.finding.kind == kind }.map(\.finding.files).reduce(0, +)
        }

        package var isDamaged: Bool { VerifyFinding.Kind.allCases.contains { count($0) > 0 } }
    }

    /// How far a run with a time budget has come.
    package struct Coverage: Sendable, Equatable {
        package var readParts: Int
        package var parts: Int
        package var neverRead: Int
        /// When reading of the part that was read longest ago began, in seconds since 1970.
        package var oldest: Int64?
    }

    package var stanza: String
    package var repositories: [Repository]

    package init(stanza: String, repositories: [Repository] = []) {
        self.stanza = stanza
        self.repositories = repositories
    }
}

extension VerifyReport.Repository {
    /// What the command ends with when something is damaged: `.fileMissing` when all of it is missing, otherwise
    /// `.checksum`.
    package func failure(stanza: String) -> BackupError? {
        guard isDamaged else { return nil }
        let counts = VerifyFinding.Kind.allCases.compactMap { kind -> String? in
            let count = count(kind)
            return count > 0 ? "\(count) \(kind.words)" : nil
        }
        func isAll(_ only: VerifyFinding.Kind) -> Bool {
            VerifyFinding.Kind.allCases.allSatisfy { $0 == only || count($0) == 0 }
        }
        if isAll(.unread) {
            return BackupError(
                .fileRead,
                "repo\(key) of stanza '\(stanza)' could not be verified: \(count(.unread)) \(VerifyFinding.Kind.unread.words)",
                hint: "the reasons are above; what could not be read may be sound: run 'verify' again")
        }
        let labels = backups.filter { [.invalid, .missingManifest].contains($0.status) }.map(\.label)
        let backups =
            labels.isEmpty ? "" : "; not to be relied on: " + labels.map { "'\($0)'" }.joined(separator: ", ")
        return BackupError(
            isAll(.missing) ? .fileMissing : .checksum,
            "repo\(key) of stanza '\(stanza)' is damaged: \(counts.joined(separator: ", "))\(backups)",
            hint: "the files are named above; take a new full backup, and restore older ones from another repository")
    }
}

extension VerifyFinding.Kind {
    fileprivate var words: String {
        switch self {
        case .missing: "missing"
        case .checksum: "with a wrong checksum"
        case .size: "with a wrong size"
        case .other: "unusable"
        case .unread: "that could not be read"
        }
    }
}
