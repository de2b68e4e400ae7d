package import BackupModel
package import HTTP
import PostgresFormats

/// What an agent says of the stanza: `GET /v1/status/STANZA`.
package struct StanzaStatus: Sendable, Equatable {
    package struct Repository: Sendable, Equatable {
        package var key: Int
        /// As the engine has it: `s3`.
        package var type: String
        /// Digests of where it is, and of the account of its store.
        package var identity: String
        package var account: String?
        /// Why it could not be looked at.
        package var error: Trouble?
        /// As `info` says it: 0 is well.
        package var code: Int
        package var message: String
        package var backups: [StoredBackup]
        /// When it was looked at, in seconds since 1970.
        package var looked: Int64
        /// Name of the newest segment of WAL that is there.
        package var newestSegment: String?

        /// There is no stanza yet.
        package var isWithoutStanza: Bool { error == nil && [1, 3].contains(code) }
        /// Can be worked with, though there may be no backup.
        package var isReady: Bool { error == nil && [0, 2].contains(code) }
    }

    package struct Archiving: Sendable, Equatable {
        package var isFailing: Bool
        package var lastSegment: String?
        package var lastTime: Int64?
        package var failedSegment: String?
        /// Segments that wait.
        package var ready: Int
        package var error: Trouble?
        /// Up to when can be restored for certain, in microseconds since 1970; nil where nobody tracks commits.
        package var restorable: Int64?
    }

    package struct Volume: Sendable, Equatable {
        package var name: String
        package var size: Int64
        package var free: Int64
    }

    /// Seconds since 1970.
    package var time: Int64
    package var isInRecovery: Bool?
    package var serverError: Trouble?
    package var systemID: String?
    /// Of PostgreSQL, as it says it itself.
    package var version: String?
    package var archiving: Archiving?
    package var volumes: [Volume]
    package var repositories: [Repository]

    /// nil for what is no status.
    package init?(_ json: ServiceJSON) {
        guard let time = json["time"]?.integer else { return nil }
        self.time = Int64(time)
        let server = json["server"]
        isInRecovery = server?["in-recovery"]?.bool
        serverError = server?["error"].flatMap { Trouble($0) }
        systemID = server?["system-id"]?.string
        version = server?["version"]?.string
        archiving = json["archiving"].flatMap { json in
            Archiving(
                isFailing: json["is-failing"]?.bool ?? false, lastSegment: json["last-archived"]?.string,
                lastTime: json["last-archived-time"]?.integer.map { Int64($0) },
                failedSegment: json["last-failed"]?.string, ready: json["ready"]?.integer ?? 0,
                error: json["error"].flatMap { Trouble($0) },
                restorable: json["restorable"]?.integer.map { Int64($0) })
        }
        volumes = (json["volumes"]?.elements ?? []).compactMap { json in
            guard let name = json["name"]?.string, let size = json["size"]?.integer, let free = json["free"]?.integer
            else { return nil }
            return Volume(name: name, size: Int64(size), free: Int64(free))
        }
        repositories = (json["repositories"]?.elements ?? []).compactMap { json in
            guard let key = json["key"]?.integer else { return nil }
            return Repository(
                key: key, type: json["type"]?.string ?? "", identity: json["identity"]?.string ?? "",
                account: json["account"]?.string, error: json["error"].flatMap { Trouble($0) },
                code: json[["status", "code"]]?.integer ?? 0, message: json[["status", "message"]]?.string ?? "",
                backups: (json["backups"]?.elements ?? []).compactMap { StoredBackup(status: $0) },
                looked: Int64(json["looked"]?.integer ?? time),
                newestSegment: (json["archive"]?.elements ?? []).compactMap { $0["max"]?.string }.max())
        }
    }

    /// Without repositories that are none of these: an agent that has not read its new configuration yet tells of others.
    /// - Parameter accounts: digests by repository, where they are known.
    mutating func leave(only wanted: [WantedRepository], accounts: [Int: String]) {
        repositories.removeAll { seen in
            !wanted.contains { repository in
                guard repository.key == seen.key else { return false }
                // An agent that is older than digests.
                if seen.identity.isEmpty { return seen.type == repository.location.options["type"] ?? "posix" }
                return OperatorNames.digest(repository.location.identity) == seen.identity
                    && (accounts[seen.key] == nil || accounts[seen.key] == seen.account)
            }
        }
    }

    package subscript(key: Int) -> Repository? { repositories.first { $0.key == key } }
}

/// An error that somebody else tells of.
package struct Trouble: Sendable, Equatable {
    package var code: ErrorCode
    package var message: String
    package var hint: String?

    /// nil for what is none.
    init?(_ json: ServiceJSON) {
        guard let code = json["code"]?.integer.flatMap({ Int32(exactly: $0) }), let message = json["message"]?.string
        else { return nil }
        self.code = ErrorCode(rawValue: code)
        self.message = message
        hint = json["hint"]?.string
    }

    /// For people.
    package var text: String { message + (hint.map { "; \($0)" } ?? "") }
}

/// A backup as a repository has it.
package struct StoredBackup: Sendable, Equatable {
    package var label: String
    package var type: String
    /// Seconds since 1970.
    package var start: Int64
    package var stop: Int64
    /// As PostgreSQL writes them.
    package var startLSN: String?
    package var stopLSN: String?
    package var startSegment: String?
    /// Bytes of the cluster, and of the repository.
    package var size: Int64
    package var repositorySize: Int64
    package var hasErrors: Bool
    package var annotations: [String: String]

    /// An element of `backups` of a status.
    init?(status json: ServiceJSON) {
        guard let label = json["label"]?.string else { return nil }
        self.label = label
        type = json["type"]?.string ?? "full"
        start = Self.bounded(json["start"], 253_402_300_799)
        stop = Self.bounded(json["stop"], 253_402_300_799)
        startLSN = json["lsn-start"]?.string
        stopLSN = json["lsn-stop"]?.string
        startSegment = json["wal-start"]?.string
        size = Self.bounded(json["size"], 1 << 52)
        repositorySize = Self.repositorySize(json["repository-size"], json["repository-delta"])
        hasErrors = json["error"]?.bool ?? false
        annotations = json["annotations"]?.texts ?? [:]
    }

    /// Of the result of a job: what `info --set` says.
    init?(info: ServiceJSON) {
        guard let json = info["backup"]?.elements.last, let label = json["label"]?.string else { return nil }
        self.label = label
        type = json["type"]?.string ?? "full"
        start = Self.bounded(json[["timestamp", "start"]], 253_402_300_799)
        stop = Self.bounded(json[["timestamp", "stop"]], 253_402_300_799)
        startLSN = json[["lsn", "start"]]?.string
        stopLSN = json[["lsn", "stop"]]?.string
        startSegment = json[["archive", "start"]]?.string
        size = Self.bounded(json[["info", "size"]], 1 << 52)
        let repository = json[["info", "repository"]]
        repositorySize = Self.repositorySize(repository?["size"], repository?["delta"])
        hasErrors = json["error"]?.bool ?? false
        annotations = json["annotation"]?.texts ?? [:]
    }

    /// With blocks nobody knows how much of others' files belongs to a backup: then it is what it added.
    private static func repositorySize(_ whole: ServiceJSON?, _ added: ServiceJSON?) -> Int64 {
        bounded(whole?.integer == nil ? added : whole, 1 << 52)
    }

    /// Numbers of others, with which can be reckoned.
    private static func bounded(_ json: ServiceJSON?, _ most: Int64) -> Int64 {
        min(max(Int64(json?.integer ?? 0), 0), most)
    }

    var isHeld: Bool { annotations["hold"]?.isEmpty == false }

    /// Of the first segment; nil where it is not known.
    var timeline: UInt32? { startSegment.flatMap { UInt32($0.prefix(8), radix: 16) } }

    /// A place in WAL as one number, as WAL-G writes it.
    static func number(_ lsn: String?) -> String? {
        guard let lsn, let value = LSN(lsn) else { return nil }
        return "\(value.rawValue)"
    }
}
