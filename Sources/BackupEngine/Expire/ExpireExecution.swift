import BackupModel
import RepositoryFormats
import RepositoryStorage

/// Carries out what was planned for one repository.
///
/// In reverse of how it was written: a listed backup always has its manifest, and a manifest its data. A run that ends
/// in between leaves complete backups, which the next one finds and expires again, or directories that are none.
/// What no order is needed for is deleted many at once where the store is behind a network.
struct ExpireExecution {
    let context: EngineContext
    let repository: Repository
    let stanza: String

    func run(_ plan: RepositoryExpirePlan) async throws(BackupError) {
        try await unlist(plan)
        let expired = plan.backups.expired.map(\.label)
        let directories = (expired + plan.leftovers).sorted(by: >).map { label in
            RepositoryPaths.backupSet(stanza: stanza, label: label)
        }
        // Nothing that is listed needs any of it: behind a network all three at once.
        try await repository.writingEach(Removal.allCases) { removal in
            switch removal {
            case .directories: try await deleteTrees(directories)
            case .archives: for archive in plan.archives { try await remove(archive) }
            case .histories: try await remove(plan.manifests)
            }
        }
    }

    private enum Removal: CaseIterable { case directories, archives, histories }

    private func remove(_ histories: [RepositoryExpirePlan.ManifestExpiry]) async throws(BackupError) {
        for manifests in histories {
            let directory = "\(RepositoryPaths.manifestHistory(stanza: stanza))/\(manifests.year)"
            if manifests.isWholeYear {
                try await deleteTrees([directory])
            } else {
                try await delete(manifests.names.map { "\(directory)/\($0)" })
            }
        }
    }

    private func unlist(_ plan: RepositoryExpirePlan) async throws(BackupError) {
        try await repository.saveBackupInfo(plan.info, stanza: stanza)
        if let newest = plan.info.backups.last, repository.store.capabilities.contains(.symlinks),
            context.configuration.bool(.repoSymlink, repository.key)
        {
            let link = RepositoryPaths.latest(stanza: stanza)
            try await repository.describing { try await repository.store.link(link, to: newest.label) }
        }
        for backup in plan.backups.expired.reversed() {
            let manifest = RepositoryPaths.manifest(stanza: stanza, label: backup.label)
            // By one call, in whatever order: all of its data is still there.
            try await repository.describing {
                try await repository.store.delete([manifest, RepositoryPaths.copy(of: manifest)])
            }
        }
    }

    private func remove(_ archive: RepositoryExpirePlan.ArchiveExpiry) async throws(BackupError) {
        let root = "\(RepositoryPaths.archive(stanza: stanza))/\(archive.archiveID)"
        if archive.isWhole { return try await deleteTrees([root]) }
        try await deleteTrees(archive.directories.map { "\(root)/\($0)" })
        try await delete(
            archive.files.flatMap { files in files.names.map { "\(root)/\(files.directory)/\($0)" } })
        try await delete(archive.histories.map { "\(root)/\($0)" })
    }

    /// In as many calls as may be in flight, each with its share.
    private func delete(_ paths: [String]) async throws(BackupError) {
        guard !paths.isEmpty else { return }
        let calls = repository.store.concurrency.uploads
        let share = (paths.count + calls - 1) / calls
        let shares = stride(from: 0, to: paths.count, by: share).map { start in
            Array(paths[start..<min(start + share, paths.count)])
        }
        try await repository.writingEach(shares) { try await repository.store.delete($0) }
    }

    private func deleteTrees(_ paths: [String]) async throws(BackupError) {
        try await repository.writingEach(paths) { try await repository.store.deleteTree($0) }
    }
}
