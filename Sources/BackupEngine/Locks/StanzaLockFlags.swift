import BackupModel
import RepositoryFormats
import RepositoryStorage

/// The lock of a stanza in a store that heeds no conditions: everyone who wants it puts up a flag, an object of its own
/// name, and then looks for those of others. Of two that do so at least one sees the other's, whatever their speed, as
/// long as an object that was written is listed; who sees none but its own has the lock.
///
/// Of several that see each other the one whose name comes first waits for the rest to take theirs down.
struct StanzaLockFlags: Sendable {
    let repository: Repository
    let stanza: String
    let now: @Sendable () -> Int64
    /// How long others that want the lock may take to withdraw; who stays longer has it.
    let patience: Duration

    func take(_ body: StanzaLockBody) async throws(BackupError) {
        try await write(body)
        let end = ContinuousClock.now + patience
        while let other = try await others(body).min(by: { $0.owner < $1.owner }) {
            guard body.owner < other.owner, ContinuousClock.now < end else {
                throw StanzaLockBody.busy(other, repository, stanza: stanza, now: now())
            }
            do {
                try await Task.sleep(for: .milliseconds(50))
            } catch {
                throw BackupError(.terminated, "cancelled while taking the lock of stanza '\(stanza)'")
            }
        }
    }

    /// - Parameter isLate: others may have taken the flag for a dead process's.
    func renew(_ mine: StanzaLockBody, as next: StanzaLockBody, isLate: Bool) async throws(BackupError) {
        guard try await read(mine.owner) != nil else {
            throw StanzaLockBody.lost(to: try await others(mine).first, repository, stanza: stanza)
        }
        try await write(next)
        guard isLate, let other = try await others(mine).first else { return }
        await withdraw(mine)
        throw StanzaLockBody.lost(to: other, repository, stanza: stanza)
    }

    func withdraw(_ mine: StanzaLockBody) async { try? await delete(mine.owner) }

    /// The living ones' bodies; the flags of others are taken down.
    private func others(_ mine: StanzaLockBody) async throws(BackupError) -> [StanzaLockBody] {
        var living: [StanzaLockBody] = []
        for name in try await repository.listAll(RepositoryPaths.lockFlags(stanza: stanza)).map(\.name)
        where name != mine.owner {
            guard let body = try await read(name) else { continue }
            if body.expires > now(), !mine.process.knowsGone(body.process) {
                living.append(body)
            } else {
                try await delete(name)
            }
        }
        return living
    }

    private func path(_ owner: String) -> String { "\(RepositoryPaths.lockFlags(stanza: stanza))/\(owner)" }
    func read(_ owner: String) async throws(BackupError) -> StanzaLockBody? {
        try await StanzaLockBody.read(path(owner), repository, stanza: stanza)
    }
    private func write(_ body: StanzaLockBody) async throws(BackupError) {
        try await repository.writeWhole(path(body.owner), body.bytes)
    }
    private func delete(_ owner: String) async throws(BackupError) {
        try await repository.describing { try await repository.store.delete([path(owner)]) }
    }
}
