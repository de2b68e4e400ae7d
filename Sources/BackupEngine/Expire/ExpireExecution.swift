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
        // Nothing that is listed needs any of it: behind a network many at once, whatever they are.
        let removals =
            directories.map(Removal.tree) + plan.archives.flatMap(removals) + plan.manifests.flatMap(removals)
        try await repository.writingEach(removals) { removal in
            switch removal {
            case .tree(let directory): try await repository.store.deleteTree(directory)
            case .objects(let paths): try await repository.store.delete(paths)
            }
        }
    }

    /// One call of the store.
    private enum Removal {
        case tree(String)
        case objects([String])
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

    private func removals(_ archive: RepositoryExpirePlan.ArchiveExpiry) -> [Removal] {
        let root = "\(RepositoryPaths.archive(stanza: stanza))/\(archive.archiveID)"
        if archive.isWhole { return [.tree(root)] }
        let files = archive.files.flatMap { files in files.names.map { "\(root)/\(files.directory)/\($0)" } }
        return archive.directories.map { .tree("\(root)/\($0)") } + removals(files)
            + removals(archive.histories.map { "\(root)/\($0)" })
    }

    private func removals(_ manifests: RepositoryExpirePlan.ManifestExpiry) -> [Removal] {
        let directory = "\(RepositoryPaths.manifestHistory(stanza: stanza))/\(manifests.year)"
        return manifests.isWholeYear ? [.tree(directory)] : removals(manifests.names.map { "\(directory)/\($0)" })
    }

    /// In as many calls as may be in flight, each with its share.
    private func removals(_ paths: [String]) -> [Removal] {
        let calls = repository.store.concurrency.uploads
        let share = max(1, (paths.count + calls - 1) / calls)
        return stride(from: 0, to: paths.count, by: share).map { start in
            .objects(Array(paths[start..<min(start + share, paths.count)]))
        }
    }
}
