import BackupEngine
import BackupModel
import Glibc
import HTTP
import Jobs
import RepositoryFormats
import RepositoryStorage

/// What one client may do in one repository, asked before each call.
struct StorageAccess {
    let volume: HostVolume
    let authorization: HostAuthorization
    let client: ClientIdentity

    func requireRead(_ path: String) throws(BackupError) {
        switch RepositoryPlace(path) {
        case .top?: try authorization.requireKnown(client)
        case .stanza(let stanza, _)?: try authorization.require(.read, of: client, stanza: stanza)
        case nil: try authorization.require(.all, of: client, stanza: "*")
        }
    }

    /// Whether a list of `directory` shows `name`.
    func shows(_ name: String, in directory: String) -> Bool {
        guard RepositoryPlace(directory) == .top, !directory.isEmpty else { return true }
        return authorization.shows(name, to: client)
    }

    func requireDirectory(_ path: String) throws(BackupError) {
        switch RepositoryPlace(path) {
        case .top?: try authorization.requireKnown(client)
        case .stanza(let stanza, _)?: try authorization.require(.add, of: client, stanza: stanza)
        case nil: try authorization.require(.all, of: client, stanza: "*")
        }
    }

    /// - Throws: `.access` where the rule is ``WriteRule/refuse``.
    func rule(writing path: String) async throws(BackupError) -> WriteRule {
        guard case .stanza(let stanza, let place)? = RepositoryPlace(path) else {
            try authorization.require(.all, of: client, stanza: "*")
            return .replace
        }
        let right = try authorization.right(of: client, stanza: stanza)
        let rule = place.rule(for: right, isComplete: try await isComplete(place, stanza, right))
        if rule == .refuse { throw try refusal("write '\(path)'", needs: right < .add ? .add : .all, stanza) }
        return rule
    }

    func requireRemoval(_ path: String) async throws(BackupError) {
        guard case .stanza(let stanza, let place)? = RepositoryPlace(path) else {
            return try authorization.require(.all, of: client, stanza: "*")
        }
        let right = try authorization.right(of: client, stanza: stanza)
        guard !place.mayRemove(right, isComplete: try await isComplete(place, stanza, right)) else { return }
        let needed: AccessVerb =
            switch place {
            case .directory, .other, .info: .all
            default: right == .read ? .add : .expire
            }
        throw try refusal("remove '\(path)'", needs: needed, stanza)
    }

    private func refusal(_ attempt: String, needs right: AccessVerb, _ stanza: String) throws(BackupError)
        -> BackupError
    {
        HostAuthorization.missing(right, try HostAuthorization.name(client), stanza)
            .within("unable to \(attempt) in \(volume.repository.name)")
    }

    /// Only where it matters: reading `backup.info` for each file of a backup would be much.
    private func isComplete(
        _ place: RepositoryPlace.StanzaPlace, _ stanza: String, _ right: AccessVerb
    ) async throws(BackupError) -> Bool {
        guard right == .add, case .backup(let label) = place else { return false }
        return try await volume.isComplete(label, stanza: stanza)
    }

    /// That `temporaryPath`, which is to replace the info file `path`, keeps all that it says. Where an encrypted one
    /// cannot be read here, a copy of the old one is kept instead.
    func requireGrowth(_ path: String, _ temporaryPath: String) async throws {
        guard case .stanza(let stanza, _)? = RepositoryPlace(path), try await volume.store.info(path) != nil else {
            return
        }
        let keeps: Bool
        if path.hasPrefix("archive/") {
            guard
                let old = try await readable({ () async throws(BackupError) in
                    try await volume.repository.loadArchiveInfo(stanza: stanza)
                })
            else { return try await keepCopy(of: path, stanza) }
            keeps = InfoGrowth.keeps(
                old, in: try required(await volume.repository.archiveInfo(at: temporaryPath), path))
        } else {
            guard
                let old = try await readable({ () async throws(BackupError) in
                    try await volume.repository.loadBackupInfo(stanza: stanza)
                })
            else { return try await keepCopy(of: path, stanza) }
            keeps = InfoGrowth.keeps(
                old, in: try required(await volume.repository.backupInfo(at: temporaryPath), path))
        }
        guard keeps else { throw try refusal("take something out of '\(path)'", needs: .expire, stanza) }
    }

    /// nil for what is encrypted with a passphrase that this host was not told. What is there counts, not what was sent.
    private func readable<Info>(
        _ load: () async throws(BackupError) -> Info
    ) async throws(BackupError) -> Info? {
        do throws(BackupError) {
            return try await load()
        } catch {
            if error.code == .crypto { return nil }
            throw error
        }
    }

    private func keepCopy(of path: String, _ stanza: String) async throws {
        let name = path.split(separator: "/").last ?? ""
        // Unique: two in one second would leave the second.
        let kept = "\(name).\(time(nil))-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        let directory = RepositoryPaths.replaced(stanza: stanza)
        try await volume.store.hardLink("\(directory)/\(kept)", to: path)
        try await volume.store.syncAll(under: directory)
    }

    private func required<Info>(_ info: Info?, _ path: String) throws(BackupError) -> Info {
        guard let info else { throw BackupError(.fileMissing, "what was sent for '\(path)' is gone") }
        return info
    }
}
