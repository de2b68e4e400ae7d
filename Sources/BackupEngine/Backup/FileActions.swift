import RepositoryFormats

/// What one repository needs done with a file.
enum FileAction: UInt8, Sendable {
    /// Nothing: the file's row says where its bytes are, or it has none.
    case none
    /// To be read and stored, unless it turns out in time to be what its row refers to.
    case copy
    /// As `copy`, but all of it is read and compared before anything is stored.
    case compare
    /// An interrupted run has stored it: it stays if what is stored is whole.
    case keep
    /// As `keep`, if the content is the same too.
    case keepIfEqual
}

/// Which files change hands (section C.5 of the reference). Pure: from the scan and the manifests before it.
enum FileActions {
    static let controlFile = "pg_data/global/pg_control"

    /// Of a new backup: makes rows refer to `prior` where it has, or may have, the same.
    /// - Parameters:
    ///   - rows: of each file in the prior, or -1.
    ///   - usesBlocks: changed files are stored by blocks; their rows keep where the prior's block map is.
    static func plan(
        _ files: inout ManifestFiles, prior: Manifest?, rows: [Int32], isDelta: Bool, isOnline: Bool, isBundle: Bool,
        usesBlocks: Bool
    ) -> [FileAction] {
        var actions = [FileAction](repeating: .copy, count: files.count)
        let controlRow = isOnline ? files.index(of: controlFile) : nil
        for row in 0..<files.count {
            let size = files.size(row)
            if size == 0, isBundle {
                files.setEmpty(row)
                actions[row] = .none
                continue
            }
            // A running server's is never that of another backup.
            guard let prior, rows[row] >= 0, row != controlRow else { continue }
            let priorRow = Int(rows[row])
            guard size == prior.files.size(priorRow) else {
                let blockSize = UInt64(prior.files.blockSize(priorRow))
                if usesBlocks, prior.files.blockMapSize(priorRow) > 0, size >= blockSize {
                    files.inherit(row, from: prior.files, priorRow, ownReference: prior.references.count - 1)
                    files.forgetContent(row)
                }
                continue
            }
            // In a bundling backup nothing was stored that could be referred to.
            if size == 0, prior.isBundle { continue }
            files.inherit(row, from: prior.files, priorRow, ownReference: prior.references.count - 1)
            if size == 0 {
                actions[row] = .none
            } else if isDelta || prior.mayLack(changesOf: files.timestamp(row)) {
                actions[row] = .compare
            } else if files.timestamp(row) == prior.files.timestamp(priorRow) {
                actions[row] = .none
            }
        }
        return actions
    }

    /// Takes over what an interrupted run of the same backup has stored (section C.4 of the reference).
    static func resume(
        _ files: inout ManifestFiles, _ actions: inout [FileAction], from interrupted: Manifest, isDelta: Bool
    ) {
        let saved = interrupted.files
        let rows = files.rows(in: saved)
        for row in 0..<files.count where actions[row] == .copy {
            guard rows[row] >= 0 else { continue }
            let savedRow = Int(rows[row])
            guard saved.checksum(savedRow) != nil, !saved.hasReference(savedRow), saved.repoSize(savedRow) > 0,
                files.size(row) > 0, files.size(row) == saved.size(savedRow),
                files.size(row) == saved.sizeOriginal(savedRow),
                files.timestamp(row) == saved.timestamp(savedRow),
                !interrupted.mayLack(changesOf: files.timestamp(row))
            else { continue }
            if files.name(row) == controlFile { continue }
            files.inherit(row, from: saved, savedRow, ownReference: nil)
            actions[row] = isDelta ? .keepIfEqual : .keep
        }
    }
}

extension Manifest {
    /// Whether what this backup has of a file may be older than the file's time of modification says.
    ///
    /// The time is the primary's. A standby's files hold what was written before the backup began; what came later may
    /// have reached them after they were copied, and the backup has it as WAL, which no later backup has.
    func mayLack(changesOf time: Int64) -> Bool { options.backupStandby == true && time >= timestampStart }
}
