import BackupModel

extension ClusterOverview {
    /// As many of the newest as a screen has room for.
    private static let shown = 5

    /// One screen, 80 columns wide.
    package func text(now: Int64) -> String {
        var lines = head
        lines += section("Repositories", repositories.flatMap { text($0, now) }, or: "none")
        lines += section("Archiving", archivingText(now))
        let rest = backups.count > Self.shown ? " (the newest \(Self.shown) of \(backups.count))" : ""
        lines += section("Backups\(rest)", backupText(now), or: "none")
        let restores = restores.prefix(3)
        if !restores.isEmpty { lines += section("Restores", restores.flatMap { text($0, now) }) }
        lines += section("Schedules", scheduleText(now), or: "none: backups are made when somebody asks for one")
        if !unsupported.isEmpty {
            lines += section("Unsupported", unsupported.flatMap { Self.item($0) })
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var head: [String] {
        var facts = [state]
        if let version { facts.append("PostgreSQL \(version)") }
        if let pods { facts.append("\(pods) pods") }
        if let primary { facts.append("primary \(primary)") }
        return ScreenText.paragraph("\(title): \(facts.joined(separator: ", "))", indent: 0)
            + troubles.flatMap { ScreenText.paragraph($0, indent: 2) }
    }

    /// `2 of 3`.
    var pods: String? {
        guard let podsWanted else { return podsReady.map { "\($0)" } }
        return "\(podsReady ?? 0) of \(podsWanted)"
    }

    private func section(_ title: String, _ lines: [String], or nothing: String = "") -> [String] {
        ["", title] + (lines.isEmpty ? ["  \(nothing)"] : lines)
    }

    private static func item(_ text: String) -> [String] {
        var lines = ScreenText.paragraph(text, indent: 4)
        if let first = lines.first { lines[0] = "  - " + first.dropFirst(4) }
        return lines
    }

    private func text(_ repository: Repository, _ now: Int64) -> [String] {
        var title = "  " + (repository.name == "-" ? "" : repository.name)
        if let storage = repository.storage { title += (title == "  " ? "" : " ") + storage }
        var lines: [String] = []
        if let place = repository.place, title.count + place.count + 2 <= Help.width {
            lines.append(ScreenText.plain("\(title): \(place)"))
        } else {
            lines.append(ScreenText.plain(title))
            if let place = repository.place { lines += ScreenText.paragraph(place, indent: 4) }
        }
        let held = [
            repository.backups.map { ScreenText.count($0, "backup") }, repository.size.map { ScreenText.size($0) },
            repository.newest.map { "newest \($0)" },
        ].compactMap(\.self)
        switch repository.isReady {
        case true?: lines += ScreenText.paragraph((["ready"] + held).joined(separator: ", "), indent: 4)
        case let other:
            let state = [other == nil ? "unknown" : "not ready", repository.reason].filter { !$0.isEmpty }
            let why = repository.message.isEmpty ? "" : ": \(repository.message)"
            lines += ScreenText.paragraph(state.joined(separator: ", ") + why, indent: 4)
            if !held.isEmpty { lines += ScreenText.paragraph("last seen: " + held.joined(separator: ", "), indent: 4) }
        }
        if let first = repository.firstRestorable, let last = repository.lastRestorable {
            lines.append("    restorable \(ScreenText.moment(first)) to \(ScreenText.moment(last))")
        } else if repository.isReady == true {
            lines.append("    nothing can be restored from it yet")
        }
        return lines
    }

    private func archivingText(_ now: Int64) -> [String] {
        func last(_ segment: String?, _ time: Int64?) -> String {
            guard let segment else { return "nothing has been archived yet" }
            return "last segment \(segment)" + (time.map { ", \(ScreenText.distance($0, now))" } ?? "")
        }
        switch archiving {
        case .off(let why): return ScreenText.paragraph("off: \(why)", indent: 2)
        case .unknown(let why): return ScreenText.paragraph("unknown: \(why)", indent: 2)
        case .working(let segment, let time): return ScreenText.paragraph("works: \(last(segment, time))", indent: 2)
        case .failing(let segment, let time, let message):
            return ScreenText.paragraph("fails: \(message)", indent: 2)
                + ScreenText.paragraph(last(segment, time), indent: 2)
        }
    }

    private func backupText(_ now: Int64) -> [String] {
        guard !backups.isEmpty else { return [] }
        let shown = backups.prefix(Self.shown)
        let head = ["NAME", "TYPE", "STATE", "REPO", "SIZE", "AGE"]
        let rows = shown.map { backup in
            [
                backup.name, backup.type ?? "-", backup.progress.rawValue, backup.repository ?? "-",
                ScreenText.size(backup.size), ScreenText.span(now - (backup.end ?? backup.created)),
            ]
        }
        // What failed says why below its line.
        var lines = ScreenText.table([head] + rows, indent: 2)[...]
        var result = [lines.removeFirst()]
        for backup in shown {
            if lines.count > 1, lines.first?.dropFirst(2) == backup.name[...] { result.append(lines.removeFirst()) }
            result.append(lines.removeFirst())
            if let error = backup.error { result += ScreenText.paragraph(error, indent: 4) }
        }
        return result
    }

    private func text(_ restore: Restore, _ now: Int64) -> [String] {
        var facts = [restore.progress.rawValue]
        if restore.progress == .running, let stage = restore.stage { facts.append(stage) }
        if let target = restore.target { facts.append("to \(target)") }
        facts.append(ScreenText.distance(restore.created, now))
        return ScreenText.paragraph("\(restore.name): \(facts.joined(separator: ", "))", indent: 2)
            + (restore.error.map { ScreenText.paragraph($0, indent: 4) } ?? [])
    }

    private func scheduleText(_ now: Int64) -> [String] {
        let rows = schedules.map { schedule in
            [schedule.repository, schedule.type, schedule.text, schedule.zone]
                + (schedule.next.map { ["next \(ScreenText.moment($0)), \(ScreenText.distance($0, now))"] } ?? [])
        }
        var lines = ScreenText.table(rows, indent: 2)
        let isTooWide = lines.contains { $0.count > Help.width }
        if isTooWide { lines = ScreenText.table(rows.map { Array($0.prefix(4)) }, indent: 2) }
        guard lines.count == rows.count else { return lines }
        return zip(lines, zip(rows, schedules)).flatMap { line, entry -> [String] in
            if let fault = entry.1.fault { return [line] + ScreenText.paragraph(fault, indent: 4) }
            return [line] + (isTooWide ? entry.0.dropFirst(4).map { "    \($0)" } : [])
        }
    }

    /// Many clusters, a line for each; what is in other columns is not told in the last again.
    package static func list(_ overviews: [ClusterOverview], now: Int64) -> String {
        let head = ["CLUSTER", "KIND", "STATE", "PODS", "BACKUP", "ARCHIVED", "TROUBLE"]
        let rows = overviews.map { overview -> [String] in
            let concerns = overview.concerns.filter { $0 != "cluster" && $0 != "archiving" }
            let newest = overview.backups.first { $0.progress == .complete }.map { $0.end ?? $0.created }
            return [
                overview.name, overview.kind == .stackGres ? "sg" : "pg", overview.state, overview.pods ?? "-",
                newest.map { ScreenText.span(now - $0) } ?? "none", overview.archivedText(now),
                concerns.isEmpty ? "-" : concerns.joined(separator: ", "),
            ]
        }
        return ScreenText.table([head] + rows, indent: 0).joined(separator: "\n") + "\n"
    }

    private func archivedText(_ now: Int64) -> String {
        switch archiving {
        case .off: "off"
        case .unknown: "unknown"
        case .working(_, let time): time.map { ScreenText.span(now - $0) } ?? "nothing"
        case .failing: "fails"
        }
    }

    /// In a word each, what the screen of the cluster tells about.
    var concerns: [String] {
        var words: [String] = []
        if !troubles.isEmpty { words.append("cluster") }
        words += repositories.filter { $0.isReady == false && $0.reason != "NotNamed" }.map(\.name)
        if case .failing = archiving { words.append("archiving") }
        if backups.first(where: \.progress.isOver)?.progress == .failed { words.append("backup") }
        if restores.first?.progress == .failed { words.append("restore") }
        if schedules.contains(where: { $0.fault != nil }) { words.append("schedule") }
        return words
    }
}
