package import HTTP
import KubernetesClient

extension ClusterOverview {
    /// For programs: what the screen shows, and all backups. What is not known is left out.
    package var json: ServiceJSON {
        var json: ServiceJSON = [
            "kind": .text(kind.clusters.kind), "namespace": .text(namespace), "name": .text(name),
            "state": .text(state), "troubles": ServiceJSON(troubles), "concerns": ServiceJSON(concerns),
            "repositories": .array(repositories.map(Self.json)), "archiving": archivingJSON,
            "backups": .array(backups.map(Self.json)), "schedules": .array(schedules.map(Self.json)),
            "unsupported": ServiceJSON(unsupported),
        ]
        json["version"] = version.map { .text($0) }
        json["primary"] = primary.map { .text($0) }
        var pods: ServiceJSON = [:]
        pods["ready"] = podsReady.map { ServiceJSON($0) }
        pods["wanted"] = podsWanted.map { ServiceJSON($0) }
        json["pods"] = pods
        if kind.restores != nil { json["restores"] = .array(restores.map(Self.json)) }
        return json
    }

    private static func text(_ text: String?) -> ServiceJSON? { text.flatMap { $0.isEmpty ? nil : .text($0) } }
    private static func time(_ time: Int64?) -> ServiceJSON? { time.map { .text(ServiceTime.rfc3339($0)) } }
    private static func number(_ number: Int64?) -> ServiceJSON? { number.map { .number("\($0)") } }

    private static func json(_ repository: Repository) -> ServiceJSON {
        var json: ServiceJSON = ["name": .text(repository.name)]
        json["objectStorage"] = text(repository.storage)
        json["place"] = text(repository.place)
        json["ready"] = repository.isReady.map { .bool($0) }
        json["reason"] = text(repository.reason)
        json["message"] = text(repository.message)
        json["firstRestorableTime"] = time(repository.firstRestorable)
        json["lastRestorableTime"] = time(repository.lastRestorable)
        json["backups"] = repository.backups.map { ServiceJSON($0) }
        json["size"] = number(repository.size)
        json["newest"] = text(repository.newest)
        return json
    }

    private var archivingJSON: ServiceJSON {
        var (state, message) = ("unknown", String?.none)
        var last: (segment: String?, time: Int64?) = (nil, nil)
        switch archiving {
        case .off(let why): (state, message) = ("off", why)
        case .unknown(let why): message = why
        case .working(let segment, let time): (state, last) = ("working", (segment, time))
        case .failing(let segment, let time, let why): (state, message, last) = ("failing", why, (segment, time))
        }
        var json: ServiceJSON = ["state": .text(state)]
        json["message"] = Self.text(message)
        json["lastWal"] = Self.text(last.segment)
        json["lastTime"] = Self.time(last.time)
        return json
    }

    private static func json(_ backup: Backup) -> ServiceJSON {
        var json: ServiceJSON = [
            "name": .text(backup.name), "state": .text(backup.progress.rawValue),
        ]
        json["created"] = time(backup.created)
        json["backupName"] = text(backup.label)
        json["repository"] = text(backup.repository)
        json["type"] = text(backup.type)
        json["size"] = number(backup.size)
        json["completed"] = time(backup.end)
        json["error"] = text(backup.error)
        return json
    }

    private static func json(_ restore: Restore) -> ServiceJSON {
        var json: ServiceJSON = [
            "name": .text(restore.name), "state": .text(restore.progress.rawValue),
        ]
        json["created"] = time(restore.created)
        json["stage"] = text(restore.stage)
        json["target"] = text(restore.target)
        json["error"] = text(restore.error)
        return json
    }

    private static func json(_ schedule: Schedule) -> ServiceJSON {
        var json: ServiceJSON = [
            "repository": .text(schedule.repository), "type": .text(schedule.type), "schedule": .text(schedule.text),
            "timeZone": .text(schedule.zone),
        ]
        json["next"] = time(schedule.next)
        json["message"] = text(schedule.fault)
        return json
    }
}

extension ServiceJSON {
    /// Over several lines, for people.
    package var indented: String { indented(at: 0) }

    private func indented(at depth: Int) -> String {
        let (margin, end) = (String(repeating: "  ", count: depth + 1), String(repeating: "  ", count: depth))
        switch self {
        case .array(let elements) where !elements.isEmpty:
            return "[\n" + elements.map { margin + $0.indented(at: depth + 1) }.joined(separator: ",\n") + "\n\(end)]"
        case .object(let members) where !members.isEmpty:
            let lines = members.sorted { $0.key < $1.key }
                .map { "\(margin)\(Self.quoted($0.key)): \($0.value.indented(at: depth + 1))" }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(end)}"
        default: return description
        }
    }

    /// As YAML, whose texts are those of JSON unless they are words that mean themselves.
    package var yaml: String { yaml(at: 0).joined(separator: "\n") + "\n" }

    private func yaml(at depth: Int) -> [String] {
        let margin = String(repeating: "  ", count: depth)
        switch self {
        case .object(let members) where !members.isEmpty:
            return members.sorted { $0.key < $1.key }.flatMap { key, value -> [String] in
                let name = Self.isWord(key) ? key : Self.quoted(key)
                guard let scalar = value.scalar else { return ["\(margin)\(name):"] + value.yaml(at: depth + 1) }
                return ["\(margin)\(name): \(scalar)"]
            }
        case .array(let elements) where !elements.isEmpty:
            return elements.flatMap { element -> [String] in
                if let scalar = element.scalar { return ["\(margin)- \(scalar)"] }
                var lines = element.yaml(at: depth + 1)
                lines[0] = "\(margin)- \(lines[0].dropFirst(margin.count + 2))"
                return lines
            }
        default: return [margin + (scalar ?? "null")]
        }
    }

    /// nil for what takes lines of its own.
    private var scalar: String? {
        switch self {
        case .array(let elements): elements.isEmpty ? "[]" : nil
        case .object(let members): members.isEmpty ? "{}" : nil
        case .text(let text): Self.isWord(text) ? text : Self.quoted(text)
        default: description
        }
    }

    /// Whether YAML reads it as this text and as nothing else: no number, no truth, no mark.
    private static func isWord(_ text: String) -> Bool {
        guard let first = text.utf8.first, (0x61...0x7a).contains(first | 0x20) else { return false }
        let isPlain = text.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte) || "-_./".utf8.contains(byte)
        }
        return isPlain && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(text.lowercased())
    }
}
