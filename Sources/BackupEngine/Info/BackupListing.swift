package import BackupModel
package import Logging
package import RepositoryFormats
import RepositoryStorage

/// What lies under `backup/<stanza>`: the directories of backups, complete or not.
package struct BackupListing: Sendable {
    /// Labels of all backup directories, ascending.
    package var labels: [String]
    /// Of those, the ones that have `backup.manifest`.
    package var complete: Set<String>

    package static func load(_ repository: Repository, stanza: String) async throws(BackupError) -> BackupListing {
        let entries = try await repository.listAll(RepositoryPaths.backup(stanza: stanza))
        let labels = entries.filter { $0.kind == .directory && BackupLabel($0.name) != nil }.map(\.name).sorted()
        let isComplete = try await repository.readingEach(labels) { label in
            try await repository.exists(RepositoryPaths.manifest(stanza: stanza, label: label))
        }
        return BackupListing(labels: labels, complete: Set(zip(labels, isComplete).filter(\.1).map(\.0)))
    }

    /// The newest directory when its backup never ended: what an interrupted run left.
    package var unfinished: String? {
        guard let newest = labels.last, !complete.contains(newest) else { return nil }
        return newest
    }
}

extension BackupInfo {
    /// Makes the list agree with the directories: the manifest is what makes a backup exist (section B.4 of the
    /// reference). A listed backup without one goes with its dependents; a complete one that is not listed is added.
    package mutating func reconcile(
        with listing: BackupListing, in repository: Repository, stanza: String, logger: Logger
    ) async throws(BackupError) {
        for label in backups.map(\.label) where !listing.complete.contains(label) {
            for gone in withDependents(label) {
                logger.warning(
                    "\(repository.name): backup '\(gone)' is listed but '\(label)' has no manifest: removed from the list"
                )
                backups.removeAll { $0.label == gone }
            }
        }
        let listed = Set(backups.map(\.label))
        for label in listing.labels where listing.complete.contains(label) && !listed.contains(label) {
            let manifest: Manifest
            do throws(BackupError) {
                manifest = try await repository.loadManifest(
                    stanza: stanza, label: label, cipherPass: cipherPass)
            } catch {
                logger.warning(
                    "\(repository.name): backup '\(label)' has an unusable manifest and is left out: \(error.message)")
                continue
            }
            let isOurs = history.contains {
                $0.id == manifest.database.id && $0.systemIdentifier == manifest.database.systemIdentifier
                    && $0.version == manifest.database.version
            }
            let hasPrior = manifest.prior.map { prior in backups.contains { $0.label == prior } } ?? true
            guard isOurs, hasPrior else {
                logger.warning(
                    "\(repository.name): backup '\(label)' is not listed and cannot be added: \(isOurs ? "its prior backup is missing" : "it is of another database")"
                )
                continue
            }
            logger.warning("\(repository.name): backup '\(label)' was found in the repository and added to the list")
            backups.append(BackupInfoEntry(manifest))
            backups.sort { $0.label < $1.label }
        }
    }
}
