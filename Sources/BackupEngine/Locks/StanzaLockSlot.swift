import BackupModel
import RepositoryFormats
import RepositoryStorage

/// Where the lock object of a stanza lies in a store that creates only what is absent, and how it changes hands.
struct StanzaLockSlot: Sendable {
    let repository: Repository
    let stanza: String
    let now: @Sendable () -> Int64

    /// Seconds that a claim is valid: a few requests.
    private static let claimValidity: Int64 = 60

    var path: String { RepositoryPaths.lock(stanza: stanza) }
    private var claimPath: String { path + ".claim" }
    /// Of several that create an object exactly one wins. False once the store was seen to heed no conditions.
    var isExclusive: Bool { repository.store.capabilities.contains(.createIfAbsent) }

    func read() async throws(BackupError) -> StanzaLockBody? { try await read(path) }
    func write(_ body: StanzaLockBody) async throws(BackupError) { try await repository.writeWhole(path, body.bytes) }
    func delete(_ path: String) async throws(BackupError) {
        try await repository.describing { try await repository.store.delete([path]) }
    }

    /// Puts `body` in the place of `old`, which must not be held by a living other; false when someone else was faster.
    func replace(_ old: StanzaLockBody?, with body: StanzaLockBody) async throws(BackupError) -> Bool {
        guard let old else { return try await create(path, body) }
        var claim = body
        claim.expires = now() + Self.claimValidity
        guard try await createClaim(claim) else { return false }
        do throws(BackupError) {
            // Nobody else is past this line: whoever was before has written what is read now.
            let isUnchanged = try await read() == old
            if isUnchanged { try await write(body) }
            try await delete(claimPath)
            return isUnchanged
        } catch {
            try? await delete(claimPath)
            throw error
        }
    }

    private func read(_ path: String) async throws(BackupError) -> StanzaLockBody? {
        try await StanzaLockBody.read(path, repository, stanza: stanza)
    }

    private func createClaim(_ claim: StanzaLockBody) async throws(BackupError) -> Bool {
        if try await create(claimPath, claim) { return true }
        guard let other = try await read(claimPath) else { return try await create(claimPath, claim) }
        guard other.expires <= now() || claim.process.knowsGone(other.process) else {
            throw StanzaLockBody.busy(other, repository, stanza: stanza, now: now())
        }
        try await delete(claimPath)
        return try await create(claimPath, claim)
    }

    private func create(_ path: String, _ body: StanzaLockBody) async throws(BackupError) -> Bool {
        try await repository.describing {
            do {
                let writer = try await repository.store.write(path, .create)
                do {
                    try await writer.append(body.bytes.span.bytes)
                    try await writer.commit()
                } catch {
                    await writer.abort()
                    throw error
                }
                return true
            } catch let error as StorageError where error.isAlreadyThere {
                return false
            }
        }
    }
}
