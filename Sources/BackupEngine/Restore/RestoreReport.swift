import Logging
import RepositoryFormats
import Telemetry

/// One restore in facts: what a dry run says would be done, and what the result of a job says was done.
package struct RestoreReport: Sendable, Equatable {
    /// How a restore in place goes about it.
    enum Method: String, Sendable {
        /// Beside the old directory, which is kept until the new one is up.
        case copy
        /// In the old directory.
        case delta
    }

    /// Where recovery ended.
    struct Recovery: Sendable, Equatable {
        /// The new one.
        var timeline: UInt32
        /// Where it branched off.
        var lsn: String?
        /// Of the last transaction, as PostgreSQL writes times; nil when WAL had none.
        var time: String?
    }

    struct Room: Sendable, Equatable {
        var needed: UInt64
        var free: UInt64
    }

    var stanza: String
    var set: String
    var repository: Int
    var dataDirectory: String
    var type: String
    var target: String?
    var targetTimeline: String?
    /// Bytes and number of all files.
    var size: UInt64 = 0
    var files = 0
    var method: Method?
    var room: Room?
    /// Of a run that an earlier one was killed before: what is left to do.
    var resumes: String?
    var recovery: Recovery?
    var isDone = false

    private var backup: [String: JSONValue] = [:]

    init(_ plan: RestorePlan, _ options: RestoreOptions, _ repository: Repository) {
        let manifest = plan.manifest
        self.init(
            stanza: plan.stanza, set: manifest.label, repository: repository.key,
            dataDirectory: options.dataDirectory, type: options.type.rawValue, target: options.target)
        targetTimeline = options.targetTimeline
        size = plan.totalSize
        files = plan.order.count + 1
        backup = [
            "timestamp": .object([
                "start": .signed(manifest.timestampStart), "stop": .signed(manifest.timestampStop),
            ])
        ]
        if let start = manifest.lsnStart, let stop = manifest.lsnStop {
            backup["lsn"] = .object(["start": .string(start), "stop": .string(stop)])
        }
        if let start = manifest.archiveStart, let stop = manifest.archiveStop {
            backup["archive"] = .object(["start": .string(start), "stop": .string(stop)])
        }
    }

    init(
        stanza: String, set: String, repository: Int, dataDirectory: String, type: String, target: String?
    ) {
        self.stanza = stanza
        self.set = set
        self.repository = repository
        self.dataDirectory = dataDirectory
        self.type = type
        self.target = target
    }

    /// What is the same in a plan and in a result, with what only one of them has.
    var json: JSONValue {
        var members: [String: JSONValue] = [
            "stanza": .string(stanza), "set": .string(set), "repository": .number(repository),
            "path": .string(dataDirectory), "type": .string(type),
        ]
        members["target"] = target.map { .string($0) }
        members["target-timeline"] = targetTimeline.map { .string($0) }
        members["in-place"] = method.map { .string($0.rawValue) }
        if !isDone {
            members["size"] = .unsigned(size)
            members["files"] = .number(files)
            members["backup"] = .object(backup)
            members["resumes"] = resumes.map { .string($0) }
            if let room {
                members["room"] = .object(["needed": .unsigned(room.needed), "free": .unsigned(room.free)])
            }
        }
        if let recovery {
            members["timeline"] = .unsigned(UInt64(recovery.timeline))
            members["lsn"] = recovery.lsn.map { .string($0) }
            members["time"] = recovery.time.map { .string($0) }
        }
        return .object(members)
    }

    /// For a line of the log, from which the result of a job is made.
    var metadata: Logger.Metadata { [LogFact.restored: json.metadata] }

    func text(asJSON: Bool) -> String {
        if asJSON { return json.text }
        let recovers = target.map { "\(type) \($0)" } ?? type
        var lines = [
            "restore backup set \(set) of repo\(repository) into '\(dataDirectory)': \(files) files,"
                + " \(SizeText.bytes(size)); recover to \(recovers)"
        ]
        switch method {
        case .copy?:
            lines.append("in place: a copy beside the present directory, which is kept until the new one is up")
        case .delta?: lines.append("in place: in the present directory, of which nothing is kept")
        case nil: break
        }
        if let room { lines.append("room: \(SizeText.bytes(room.needed)) needed, \(SizeText.bytes(room.free)) free") }
        if let resumes { lines.append("an earlier run was interrupted: \(resumes)") }
        return lines.joined(separator: "\n")
    }
}

extension JSONValue {
    fileprivate var metadata: Logger.MetadataValue {
        switch self {
        case .null: .string("")
        case .bool(let value): .stringConvertible(value)
        case .unsigned(let value): .stringConvertible(value)
        case .signed(let value): .stringConvertible(value)
        case .string(let value): .string(value)
        case .array(let values): .array(values.map(\.metadata))
        case .object(let members): .dictionary(members.mapValues(\.metadata))
        }
    }
}
