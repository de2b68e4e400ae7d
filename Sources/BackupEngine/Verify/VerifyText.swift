import PostgresFormats

/// The report for people, in pgBackRest's layout. Without `verbose` only what is wrong, and what can be recovered.
enum VerifyText {
    /// Findings listed for each backup and each archive.
    private static let findingLimit = 50

    static func text(_ report: VerifyReport, verbose: Bool) -> String {
        var text = "stanza: \(report.stanza)\n"
        text += "status: \(report.repositories.contains { $0.isDamaged } ? "error" : "ok")\n"
        for repository in report.repositories {
            let isOnly = report.repositories.count == 1
            let indent = isOnly ? "  " : "    "
            if !isOnly { text += "  repo\(repository.key): \(repository.isDamaged ? "error" : "ok")\n" }
            for line in lines(repository, verbose: verbose) { text += indent + line + "\n" }
        }
        return text
    }

    private static func lines(_ repository: VerifyReport.Repository, verbose: Bool) -> [String] {
        var lines = findings(repository.tally, "")
        for archive in repository.archives {
            let tally = archive.tally
            if verbose || tally.invalid > 0 {
                lines.append(
                    "archiveId: \(archive.id), total WAL checked: \(tally.checked), total valid WAL: \(tally.valid)")
                lines += counts(tally)
            }
            for gap in archive.gaps where verbose { lines.append("  not in the archive: \(gap)") }
            for window in archive.windows {
                lines.append(
                    "  recovery possible on timeline \(window.timeline): from \(window.start) "
                        + "(backup \(window.label), \(LocalTime.text(window.startTime))) to \(window.end) "
                        + "(end of \(window.lastSegment))")
            }
        }
        for backup in repository.backups where verbose || ![.valid, .notRead, .partlyRead].contains(backup.status) {
            let tally = backup.tally
            var line = "backup: \(backup.label), status: \(backup.status.rawValue)"
            if tally.checked > 0 {
                line += ", total files checked: \(tally.checked), total valid files: \(tally.valid)"
                if backup.elsewhere > 0 { line += ", in earlier backups: \(backup.elsewhere)" }
            }
            lines.append(line)
            if tally.checked > 0 || tally.invalid > 0 { lines += counts(tally) }
        }
        for one in repository.remembered {
            lines.append("found \(LocalTime.text(one.time)), not read again since: \(one.finding.text)")
        }
        lines += repository.notes
        if let coverage = repository.coverage {
            var line = "read in this run: \(coverage.readParts) of \(coverage.parts) parts"
            if coverage.neverRead > 0 {
                line += "; never read yet: \(coverage.neverRead)"
            } else if let oldest = coverage.oldest {
                line += "; all of it was read since \(LocalTime.text(oldest))"
            }
            lines.append(line)
        }
        return lines
    }

    private static func counts(_ tally: VerifyTally) -> [String] {
        [
            "  missing: \(tally.count(.missing)), checksum invalid: \(tally.count(.checksum)), "
                + "size invalid: \(tally.count(.size)), other: \(tally.count(.other) + tally.count(.unread))"
        ] + findings(tally, "  ")
    }

    private static func findings(_ tally: VerifyTally, _ indent: String) -> [String] {
        let shown = tally.findings.prefix(findingLimit).map { "\(indent)\($0.kind.rawValue): \($0.text)" }
        let rest = tally.findings.count - shown.count
        return rest > 0 ? shown + ["\(indent)… and \(rest) more"] : shown
    }
}
