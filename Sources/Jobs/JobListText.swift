package import HTTP

/// Jobs as people read them, from what the service tells.
package enum JobListText {
    /// A line each, in columns, with a line of headings.
    /// - Parameter time: seconds since 1970 as text.
    package static func table(_ jobs: [ServiceJSON], time: (Int64) -> String) -> String {
        var rows = [["job", "command", "stanza", "state", "started", "client"]]
        for job in jobs {
            rows.append([
                job["id"]?.string ?? "", job["request"]?["command"]?.string ?? "",
                job["request"]?["stanza"]?.string ?? "", state(job), created(job).map(time) ?? "",
                job["client"]?.string ?? "",
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(
                separator: "  ")
            return String(line[..<(line.lastIndex { $0 != " " }.map { line.index(after: $0) } ?? line.startIndex)])
        }.joined(separator: "\n")
    }

    /// All that people want to know of one.
    package static func description(_ job: ServiceJSON, time: (Int64) -> String) -> String {
        let request = job["request"]
        var lines = [
            "job: \(job["id"]?.string ?? "")",
            "command: \(request?["command"]?.string ?? "")",
            "stanza: \(request?["stanza"]?.string ?? "")",
        ]
        if case .object(let options)? = request?["options"] {
            let words = options.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.text($0.value))" }
            lines.append("options: \(words.joined(separator: ", "))")
        }
        lines.append("client: \(job["client"]?.string ?? "")")
        if let key = request?["key"]?.string { lines.append("key: \(key)") }
        lines.append("state: \(state(job))")
        if let created = created(job) { lines.append("started: \(time(created))") }
        let result = job["result"]
        if let stop = result?["timestamp"]?["stop"]?.string.flatMap({ Int64($0) }) {
            lines.append("ended: \(time(stop))")
        }
        if let code = result?["exit-code"]?.string { lines.append("exit code: \(code)") }
        if let message = result?["error"]?["message"]?.string { lines.append("error: \(message)") }
        if let hint = result?["error"]?["hint"]?.string { lines.append("hint: \(hint)") }
        return lines.joined(separator: "\n")
    }

    private static func state(_ job: ServiceJSON) -> String {
        let state = job["state"]?.string ?? ""
        return state == "running" && job["is-cancelled"] == .bool(true) ? "running, told to end" : state
    }

    private static func created(_ job: ServiceJSON) -> Int64? { job["created"]?.string.flatMap { Int64($0) } }

    private static func text(_ value: ServiceJSON) -> String {
        switch value {
        case .array(let elements): elements.map(Self.text).joined(separator: " ")
        default: value.string ?? value.description
        }
    }
}
