package import BackupModel
import Logging
import RepositoryFormats
import Synchronization

/// `annotate`: sets notes of a backup, replaces them, or removes those whose value is empty, in every repository that
/// has the backup. They are kept in `backup.info` only; the manifest keeps those that the backup was made with.
package struct AnnotateCommand: Sendable {
    private let context: EngineContext
    private let stanza: String
    private let set: String
    private let annotations: [(key: String, value: String)]

    /// Throws `.optionInvalidValue` when the set is no label.
    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
        set = context.configuration.string(.set) ?? ""
        annotations = context.configuration.pairs(.annotation)
        guard BackupLabel(set) != nil else {
            throw BackupError(
                .optionInvalidValue, "'\(set)' is not a valid backup label", hint: "'info' lists the backups")
        }
    }

    /// Tries every repository; throws `.command` at the end when one of several failed, and `.backupSetInvalid` when
    /// none has the backup.
    package func run() async throws {
        let found = Mutex<[String]>([])
        try await CommandLocks.inEachRepository(context) { repository in
            if try await annotate(repository) { found.withLock { $0.append(repository.name) } }
        }
        let names = found.withLock { $0 }
        guard !names.isEmpty else {
            throw BackupError(
                .backupSetInvalid, "no backup set '\(set)' to annotate was found", hint: "'info' lists the backups")
        }
        Hold.warn(annotations, of: "backup \(set) in \(names.joined(separator: ", "))", context)
    }

    /// False when the backup is not in this repository.
    private func annotate(_ repository: Repository) async throws(BackupError) -> Bool {
        var info = try await repository.loadBackupInfo(stanza: stanza)
        let listing = try await BackupListing.load(repository, stanza: stanza)
        try await info.reconcile(with: listing, in: repository, stanza: stanza, logger: context.logger)
        guard let index = info.backups.firstIndex(where: { $0.label == set }) else { return false }
        context.logger.notice("backup set '\(set)' to annotate found in \(repository.name)")
        for (key, value) in annotations {
            info.backups[index].annotations[key] = value.isEmpty ? nil : value
        }
        info.writerVersion = ProgramVersion.repositoryText
        try await repository.saveBackupInfo(info, stanza: stanza)
        return true
    }
}
