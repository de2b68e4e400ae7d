package import BackupModel
package import HTTP

/// What became of a job: one JSON object, which is the last line of `permafrost job` and a Pod's termination message.
///
/// `{"command":"backup","end":"completed","exit-code":0,"info":{…},"job":"…","stanza":"main",
/// "timestamp":{"start":…,"stop":…}}`, with `error` (`code`, `message`, `hint`) where there is one. `info` is what
/// `info --output=json --set=LABEL` says of the stanza after a backup; `restored` what a restore has restored.
package struct JobResult: Sendable, Equatable {
    package var id: JobID
    package var command: String
    package var stanza: String
    package var end: JobEnd
    package var exitCode: Int32
    package var error: BackupError?
    /// Seconds since 1970.
    package var start: Int64
    package var stop: Int64
    package var info: ServiceJSON?
    package var restored: ServiceJSON?

    package init(
        _ record: JobRecord, end: JobEnd, exitCode: Int32, error: BackupError? = nil, stop: Int64,
        info: ServiceJSON? = nil
    ) {
        id = record.id
        command = record.request.command.command.rawValue
        stanza = record.request.stanza
        self.end = end
        self.exitCode = exitCode
        self.error = error
        start = record.created
        self.stop = stop
        self.info = info
    }

    package var json: ServiceJSON {
        var members: [String: ServiceJSON] = [
            "command": .text(command), "end": .text(end.rawValue), "exit-code": .number(String(exitCode)),
            "job": .text(id.text), "stanza": .text(stanza),
            "timestamp": .object(["start": .number(String(start)), "stop": .number(String(stop))]),
        ]
        members["error"] = error?.json
        members["info"] = info
        members["restored"] = restored
        return .object(members)
    }

    /// On one line, with `limit` bytes at most if it is possible: first the long lists of `info` go, then all of it, then
    /// what the error's message ends with. A Pod's termination message has 4096 bytes.
    package func text(limit: Int = .max) -> String {
        var result = self
        if result.json.description.utf8.count > limit { result.info = result.info?.withoutLists }
        if result.json.description.utf8.count > limit { result.info = nil }
        while result.json.description.utf8.count > limit, let message = result.error?.message, !message.isEmpty {
            result.error?.message = String(message.prefix(message.count / 2))
        }
        return result.json.description
    }

    /// nil for what is no result.
    package init?(_ json: ServiceJSON) {
        guard let id = json["job"]?.string.flatMap({ JobID($0) }), let command = json["command"]?.string,
            let stanza = json["stanza"]?.string, let end = json["end"]?.string.flatMap({ JobEnd(rawValue: $0) }),
            let exitCode = json["exit-code"]?.string.flatMap({ Int32($0) }),
            let start = json["timestamp"]?["start"]?.string.flatMap({ Int64($0) }),
            let stop = json["timestamp"]?["stop"]?.string.flatMap({ Int64($0) })
        else { return nil }
        self.id = id
        self.command = command
        self.stanza = stanza
        self.end = end
        self.exitCode = exitCode
        self.start = start
        self.stop = stop
        error = json["error"].flatMap { BackupError($0) }
        info = json["info"]
        restored = json["restored"]
    }

    package static func == (left: JobResult, right: JobResult) -> Bool { left.json == right.json }
}

extension ServiceJSON {
    /// What `info` says, but for what grows with a cluster or with the backups before.
    fileprivate var withoutLists: ServiceJSON {
        switch self {
        case .object(let members):
            .object(
                members.filter {
                    !["archive", "database-ref", "db", "error-list", "link", "reference", "tablespace"].contains($0.key)
                }.mapValues(\.withoutLists))
        case .array(let elements): .array(elements.map(\.withoutLists))
        default: self
        }
    }
}

extension BackupError {
    /// As results and answers carry it.
    package var json: ServiceJSON {
        var members: [String: ServiceJSON] = ["code": .number(String(code.rawValue)), "message": .text(message)]
        members["hint"] = hint.map { .text($0) }
        return .object(members)
    }

    /// nil for what is no error.
    package init?(_ json: ServiceJSON) {
        guard let code = json["code"]?.string.flatMap({ Int32($0) }), let message = json["message"]?.string else {
            return nil
        }
        self.init(ErrorCode(rawValue: code), message, hint: json["hint"]?.string)
    }
}
