import BackupEngine
import BackupModel
import HTTP
import PostgresAccess
import PostgresFormats

/// What an agent and its clients write to each other about a server of PostgreSQL.
enum ServerWire {
    /// Bytes of a file or listing in one answer; a shorter answer is the last.
    static let pieceSize = 1 << 20
    /// How long a request may wait for the end of what it asks.
    static let longestWait = Duration.seconds(10)
    /// Tells a file from one that replaces it.
    static let versionHeader = "ETag"

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// nil for what has other characters or an odd number of them.
    static func bytes(hex text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let first = rest.popFirst() {
            guard let second = rest.popFirst(), let high = digit(first), let low = digit(second) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    /// Of the first bytes of pg_control, which an answer has in hexadecimal digits.
    static func control(_ json: ServiceJSON) -> PostgresControl? {
        guard case .text(let text)? = json["control"], let bytes = bytes(hex: text) else { return nil }
        return try? PostgresControl(parsing: bytes.span.bytes)
    }

    static func number<Value: FixedWidthInteger>(_ json: ServiceJSON, _ key: String) -> Value? {
        json[key]?.string.flatMap { Value($0) }
    }

    static func flag(_ json: ServiceJSON, _ key: String) -> Bool? {
        if case .bool(let value)? = json[key] { value } else { nil }
    }
}

extension RemoteServerStatus {
    init(_ server: any ClusterServer) {
        self.init(
            isInRecovery: server.facts.isInRecovery, version: server.control.version,
            systemIdentifier: server.control.systemIdentifier, place: server.facts.dataDirectory)
    }

    var json: ServiceJSON {
        .object([
            "in-recovery": .bool(isInRecovery), "version": .text(version.description),
            // Of 64 bits: many readers of JSON would round it.
            "system-id": .text(String(systemIdentifier)), "data-directory": .text(place),
        ])
    }

    /// - Parameter host: of the agent.
    init?(_ json: ServiceJSON, host: String) {
        guard let isInRecovery = ServerWire.flag(json, "in-recovery"),
            let version = json["version"]?.string.flatMap({ PostgresVersion($0) }),
            let identifier: UInt64 = ServerWire.number(json, "system-id"),
            let directory = json["data-directory"]?.string
        else { return nil }
        self.init(
            isInRecovery: isInRecovery, version: version, systemIdentifier: identifier, place: "\(host):\(directory)")
    }
}

extension ServerFacts {
    var json: ServiceJSON {
        .object([
            "version-number": .number(String(versionNumber)), "data-directory": .text(dataDirectory),
            "archive-mode": .text(archiveMode), "archive-command": .text(archiveCommand),
            "checkpoint-timeout": .number(String(checkpointTimeout.components.seconds)),
            "in-recovery": .bool(isInRecovery), "wal-segment-size": .number(String(walSegmentSize)),
        ])
    }

    init?(_ json: ServiceJSON) {
        guard let number: Int = ServerWire.number(json, "version-number"), number > 0,
            let directory = json["data-directory"]?.string, let mode = json["archive-mode"]?.string,
            let command = json["archive-command"]?.string,
            let timeout: Int64 = ServerWire.number(json, "checkpoint-timeout"),
            let isInRecovery = ServerWire.flag(json, "in-recovery"),
            let segmentSize: UInt64 = ServerWire.number(json, "wal-segment-size")
        else { return nil }
        self.init(
            versionNumber: number, version: PostgresVersion(serverVersionNumber: number), dataDirectory: directory,
            archiveMode: mode, archiveCommand: command, checkpointTimeout: .seconds(timeout),
            isInRecovery: isInRecovery, walSegmentSize: segmentSize)
    }
}

extension BackupStart {
    var json: ServiceJSON { .object(["lsn": .text(lsn.description), "segment": .text(segment.description)]) }

    init?(_ json: ServiceJSON) {
        guard let lsn = json["lsn"]?.string.flatMap({ LSN($0) }),
            let segment = json["segment"]?.string.flatMap({ WALSegment($0) })
        else { return nil }
        self.init(lsn: lsn, segment: segment)
    }
}

extension BackupStop {
    var json: ServiceJSON {
        var members: [String: ServiceJSON] = [
            "lsn": .text(lsn.description), "segment": .text(segment.description), "backup-label": .text(backupLabel),
        ]
        members["tablespace-map"] = tablespaceMap.map { .text($0) }
        return .object(members)
    }

    init?(_ json: ServiceJSON) {
        guard let start = BackupStart(json), case .text(let label)? = json["backup-label"] else { return nil }
        var map: String?
        if let value = json["tablespace-map"] {
            guard case .text(let text) = value else { return nil }
            map = text
        }
        self.init(lsn: start.lsn, segment: start.segment, backupLabel: label, tablespaceMap: map)
    }
}

extension DatabaseFact {
    var json: ServiceJSON {
        .object([
            "name": .text(name), "oid": .number(String(oid)), "last-system-oid": .number(String(lastSystemOID)),
        ])
    }

    init?(_ json: ServiceJSON) {
        guard case .text(let name)? = json["name"], let oid: UInt32 = ServerWire.number(json, "oid"),
            let last: UInt32 = ServerWire.number(json, "last-system-oid")
        else { return nil }
        self.init(name: name, oid: oid, lastSystemOID: last)
    }
}

extension TablespaceFact {
    var json: ServiceJSON { .object(["name": .text(name), "oid": .number(String(oid))]) }

    init?(_ json: ServiceJSON) {
        guard case .text(let name)? = json["name"], let oid: UInt32 = ServerWire.number(json, "oid") else { return nil }
        self.init(oid: oid, name: name)
    }
}
