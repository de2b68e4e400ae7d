import BackupModel
import RepositoryFormats
import RepositoryStorage

/// Carries out what was planned for one repository.
///
/// In reverse of how it was written: a listed backup always has its manifest, and a manifest its data. A run that ends
/// in between leaves complete backups, which the next one finds and expires again, or directories that are none.
struct ExpireExecution {
    let context: EngineContext
    let repository: Repository
    let stanza: String

    func run(_ plan: RepositoryExpirePlan) async throws(BackupError) {
        try await unlist(plan)
        let expired = plan.backups.expired.map(\.label)
        for label in (expired + plan.leftovers).sorted(by: >) {
            try await deleteTree(RepositoryPaths.backupSet(stanza: stanza, label: label))
        }
        for archive in plan.archives { try await remove(archive) }
        for manifests in plan.manifests {
            let directory = "\(RepositoryPaths.manifestHistory(stanza: stanza))/\(manifests.year)"
            if manifests.isWholeYear {
                try await deleteTree(directory)
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
            try await delete([manifest])
            try await delete([RepositoryPaths.copy(of: manifest)])
        }
    }

    private func remove(_ archive: RepositoryExpirePlan.ArchiveExpiry) async throws(BackupError) {
        let root = "\(RepositoryPaths.archive(stanza: stanza))/\(archive.archiveID)"
        if archive.isWhole { return try await deleteTree(root) }
        for directory in archive.directories { try await deleteTree("\(root)/\(directory)") }
        for files in archive.files { try await delete(files.names.map { "\(root)/\(files.directory)/\($0)" }) }
        if !archive.histories.isEmpty { try await delete(archive.histories.map { "\(root)/\($0)" }) }
    }

    private func delete(_ paths: [String]) async throws(BackupError) {
        try await repository.describing { try await repository.store.delete(paths) }
    }

    private func deleteTree(_ path: String) async throws(BackupError) {
        try await repository.describing { try await repository.store.deleteTree(path) }
    }
}
