import BackupModel

/// Something wrong with one object of a repository, or with one file in it.
package struct VerifyFinding: Sendable, Equatable {
    /// As pgBackRest's `verify` counts them.
    package enum Kind: String, Sendable, CaseIterable {
        case missing
        case checksum
        case size
        /// Undecodable, or at odds with what refers to it; pgBackRest counts the next with these.
        case other
        /// The storage did not give it: it may be sound.
        case unread

        /// Of an error that kept an object from being read.
        init(_ error: BackupError) {
            switch error.code {
            case .checksum: self = .checksum
            case .fileRead, .fileOpen, .pathOpen: self = .unread
            default: self = .other
            }
        }
    }

    package var kind: Kind
    /// Its path in the repository.
    package var object: String
    /// The name in the manifest, where the object's path does not tell it.
    package var file: String?
    package var detail: String
    /// How many files it makes unusable: more than one for a bundle that is gone.
    package var files = 1

    package init(_ kind: Kind, _ object: String, file: String? = nil, files: Int = 1, _ detail: String) {
        self.kind = kind
        self.object = object
        self.file = file
        self.files = files
        self.detail = detail
    }

    /// `'backup/main/…/bundle/1' (pg_data/PG_VERSION): checksum …`
    package var text: String { "'\(object)'\(file.map { " (\($0))" } ?? ""): \(detail)" }
}

/// How many files were looked at, and what became of them.
package struct VerifyTally: Sendable, Equatable {
    /// Kept by name; more are only counted.
    static let findingLimit = 1000

    package var checked = 0
    package var bytes: UInt64 = 0
    package private(set) var counts: [VerifyFinding.Kind: Int] = [:]
    package private(set) var findings: [VerifyFinding] = []

    package init() {}

    package var invalid: Int { counts.values.reduce(0, +) }
    package var valid: Int { max(checked - invalid, 0) }
    package func count(_ kind: VerifyFinding.Kind) -> Int { counts[kind] ?? 0 }

    package mutating func add(_ finding: VerifyFinding) {
        counts[finding.kind, default: 0] += finding.files
        if findings.count < Self.findingLimit { findings.append(finding) }
    }

    package mutating func add(_ other: VerifyTally) {
        checked += other.checked
        bytes += other.bytes
        counts.merge(other.counts) { $0 + $1 }
        findings += other.findings.prefix(Self.findingLimit - findings.count)
    }
}
