package import BackupModel
package import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// Whether recovery can get from a backup to the timeline that was asked for (section C.8.3 of the reference).
package enum RestoreTimeline: Sendable, Equatable {
    /// The one of the backup: always reachable.
    case current
    case latest
    case number(UInt32)

    /// Throws `.optionInvalidValue` for what is no timeline.
    package init(_ options: RestoreOptions, version: PostgresVersion) throws(BackupError) {
        switch options.type {
        case .none, .preserve, .immediate:
            self = .current
            return
        default:
            break
        }
        switch options.targetTimeline {
        case nil:
            self = version < PostgresVersion(number: 120000) ? .current : .latest
        case "current":
            self = .current
        case "latest":
            self = .latest
        case .some(let text):
            let isHexadecimal = text.lowercased().hasPrefix("0x")
            guard
                let number = UInt32(isHexadecimal ? text.dropFirst(2) : text[...], radix: isHexadecimal ? 16 : 10),
                number > 0
            else {
                throw BackupError(
                    .optionInvalidValue, "'\(text)' is not allowed for 'target-timeline' option",
                    hint: "it is 'current', 'latest', or a number, hexadecimal with 0x in front")
            }
            self = .number(number)
        }
    }

    /// The name of a timeline's history file.
    package static func historyFile(_ timeline: UInt32) -> String { "\(hexadecimal(timeline)).history" }

    /// The newest timeline with a history file among `names`, nil when there is none: then it is 1.
    package static func newest(among names: [String]) -> UInt32? {
        names.compactMap { name -> UInt32? in
            guard case .history(let timeline) = WALFileName(name) else { return nil }
            return timeline
        }.max()
    }

    private static func hexadecimal(_ number: UInt32) -> String {
        let digits = String(number, radix: 16, uppercase: true)
        return String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }

    /// Where a backup became consistent: its timeline and last LSN; nil for an offline backup.
    package static func end(archiveStart: String?, lsnStop: String?) -> (timeline: UInt32, position: LSN)? {
        guard let segment = archiveStart.flatMap({ WALSegment($0) }), let position = lsnStop.flatMap({ LSN($0) }) else {
            return nil
        }
        return (segment.timeline, position)
    }

    /// Whether WAL of `timeline` continues a backup. `history` is of `timeline`, nil for a timeline without ancestors.
    package static func isReachable(
        _ timeline: UInt32, history: TimelineHistory?, from end: (timeline: UInt32, position: LSN)
    ) -> Bool {
        // The last byte of the backup counts, which lies before its last LSN.
        let last = LSN(rawValue: max(1, end.position.rawValue) - 1)
        return timeline == end.timeline || history?.contains(timeline: end.timeline, position: last) == true
    }

    package static func unreachable(_ timeline: UInt32, label: String, end: (timeline: UInt32, position: LSN))
        -> BackupError
    {
        BackupError(
            .databaseMismatch,
            "target timeline \(timeline) does not descend from backup set \(label), which ends at \(end.position) on"
                + " timeline \(end.timeline)",
            hint: "was timeline \(timeline) made by promoting another server or a test restore? Use"
                + " --target-timeline=current or the timeline of the backup, or name an older set with --set")
    }
}

extension Repository {
    /// The history of a timeline from the archive; nil when it has no file.
    func loadTimelineHistory(
        _ timeline: UInt32, stanza: String, archiveID: String
    ) async throws(BackupError) -> TimelineHistory? {
        let path = RepositoryPaths.archiveFile(
            stanza: stanza, archiveID: archiveID, name: RestoreTimeline.historyFile(timeline))
        let pass = cipherPass == nil ? nil : try await loadArchiveInfo(stanza: stanza).cipherPass
        let form = StoredForm(compress: .none, cipherPass: pass)
        guard let bytes = try await readWhole(path, as: form, limit: 1 << 20) else { return nil }
        do throws(BackupError) {
            return try TimelineHistory(timeline: timeline, parsing: bytes.span.bytes)
        } catch {
            throw error.within("\(name): '\(path)'")
        }
    }

    /// Throws `.databaseMismatch` when recovery cannot get from the backup to the timeline that was asked for.
    func checkTimeline(
        _ options: RestoreOptions, of manifest: Manifest, stanza: String
    ) async throws(BackupError) {
        let version = manifest.database.version
        guard let end = RestoreTimeline.end(archiveStart: manifest.archiveStart, lsnStop: manifest.lsnStop) else {
            return
        }
        let archiveID = RepositoryPaths.archiveID(version: version, historyID: manifest.database.id)
        let timeline: UInt32
        switch try RestoreTimeline(options, version: version) {
        case .current:
            return
        case .number(let number):
            timeline = number
        case .latest:
            let directory = "\(RepositoryPaths.archive(stanza: stanza))/\(archiveID)"
            let names = try await listAll(directory).map(\.name)
            // The backup's own timeline counts although its history file may be expired.
            timeline = max(RestoreTimeline.newest(among: names) ?? 1, end.timeline)
        }
        if timeline == end.timeline { return }
        let history = try await loadTimelineHistory(timeline, stanza: stanza, archiveID: archiveID)
        if history == nil, timeline != 1 {
            throw BackupError(
                .fileMissing,
                "\(name): the archive has no '\(RestoreTimeline.historyFile(timeline))' for the target timeline",
                hint: "check --target-timeline; decimal unless it begins with 0x")
        }
        guard RestoreTimeline.isReachable(timeline, history: history, from: end) else {
            throw RestoreTimeline.unreachable(timeline, label: manifest.label, end: end)
        }
    }
}
