import RepositoryFormats

/// When times of modification cannot be trusted to tell which files changed (section C.5 of the reference).
enum DeltaRule {
    /// What was found that makes contents to be compared, as a warning says it; nil: size and time tell.
    /// - Parameters:
    ///   - files: as scanned, sorted.
    ///   - rows: of each file in the prior, or -1.
    ///   - copyStart: seconds since 1970.
    ///   - timeline: of the start of the backup; nil offline.
    static func reason(
        files: ManifestFiles, rows: [Int32], prior: Manifest?, copyStart: Int64, timeline: UInt32?
    ) -> String? {
        if let prior {
            if prior.options.online != (timeline != nil) {
                return "the online option has changed since the \(prior.label) backup"
            }
            if let timeline, let stop = prior.archiveStop, UInt32(stop.prefix(8), radix: 16) != timeline {
                return
                    "a timeline switch has occurred since the \(prior.label) backup: it ended on \(stop.prefix(8)), this one began on \(timeline)"
            }
        }
        for row in 0..<files.count {
            let time = files.timestamp(row)
            if time > copyStart {
                return
                    "file '\(files.name(row))' has a timestamp in the future (\(time), but the copy starts at \(copyStart))"
            }
            guard let prior, rows[row] >= 0 else { continue }
            let priorRow = Int(rows[row])
            let priorTime = prior.files.timestamp(priorRow)
            if time < priorTime {
                return
                    "file '\(files.name(row))' has a timestamp (\(time)) earlier than in the prior backup (\(priorTime))"
            }
            if time == priorTime, files.size(row) != prior.files.sizeOriginal(priorRow) {
                return
                    "file '\(files.name(row))' has the timestamp of the prior backup (\(time)), but another size (\(files.size(row)), not \(prior.files.sizeOriginal(priorRow)))"
            }
        }
        return nil
    }
}
