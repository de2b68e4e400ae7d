import BackupModel
import RepositoryFormats
import RepositoryStorage

/// Where the lock object of a stanza lies, and how it changes hands.
struct StanzaLockSlot: Sendable {
    let repository: Repository
    let stanza: String
    let now: @Sendable () -> Int64
    let settle: Duration

    /// Seconds that a claim is valid: a few requests.
    private static let claimValidity: Int64 = 60

    var path: String { RepositoryPaths.lock(stanza: stanza) }
    private var claimPath: String { path + ".claim" }
    private var isExclusive: Bool { repository.store.capabilities.contains(.createIfAbsent) }

    func read() async throws(BackupError) -> StanzaLockBody? { try await read(path) }
    func write(_ body: StanzaLockBody) async throws(BackupError) { try await repository.writeWhole(path, body.bytes) }
    func delete(_ path: String) async throws(BackupError) {
        try await repository.describing { try await repository.store.delete([path]) }
    }

    /// Puts `body` in the place of `old`, which must not be held by a living other; false when someone else was faster.
    func replace(_ old: StanzaLockBody?, with body: StanzaLockBody) async throws(BackupError) -> Bool {
        guard isExclusive else {
            try await write(body)
            try await pause()
            return try await read() == body
        }
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

    func busy(_ body: StanzaLockBody?) -> BackupError {
        let hint = "wait until its command is done; after a crash on another host the lock runs out by itself"
        guard let body else {
            return BackupError(
                .lockAcquire, "unable to acquire the lock of stanza '\(stanza)' in \(repository.name): others take it",
                hint: hint)
        }
        let left = max(body.expires - now(), 0)
        return BackupError(
            .lockAcquire,
            "unable to acquire the lock of stanza '\(stanza)' in \(repository.name): process \(body.process.processID) on "
                + "host '\(body.process.host)' holds it for another \(left)s unless it renews it", hint: hint)
    }

    func lost(to body: StanzaLockBody?) -> BackupError {
        let who = body.map { "process \($0.process.processID) on host '\($0.process.host)' has it" } ?? "it was removed"
        return BackupError(
            .lockAcquire, "the lock of stanza '\(stanza)' in \(repository.name) was lost: \(who)",
            hint: "the repository could not be reached for too long, or the clocks of the hosts differ")
    }

    private func read(_ path: String) async throws(BackupError) -> StanzaLockBody? {
        guard let bytes = try await repository.readWhole(path, limit: 1 << 16) else { return nil }
        guard let body = StanzaLockBody(bytes) else {
            throw BackupError(
                .lockAcquire, "'\(path)' in \(repository.name) is no lock of Permafrost",
                hint: "remove it when no command runs for stanza '\(stanza)'")
        }
        return body
    }

    private func createClaim(_ claim: StanzaLockBody) async throws(BackupError) -> Bool {
        if try await create(claimPath, claim) { return true }
        guard let other = try await read(claimPath) else { return try await create(claimPath, claim) }
        guard other.expires <= now() || claim.process.knowsGone(other.process) else { throw busy(other) }
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

    private func pause() async throws(BackupError) {
        do {
            try await Task.sleep(for: settle)
        } catch {
            throw BackupError(.terminated, "cancelled while taking the lock of stanza '\(stanza)'")
        }
    }
}
