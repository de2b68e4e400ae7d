import BackupEngine
import BackupModel
import Synchronization

/// pgBackRest's lock files on this host, held for clients: for as long as one has the lock object of a stanza in a
/// repository, no command of either program on this host works on it.
package final class HostLocks: Sendable {
    private struct Key: Hashable {
        var repository: Int
        var stanza: String
    }
    private struct Held {
        var lock: HostLock
        /// Seconds since 1970.
        var end: Int64
    }
    private let lockPath: String
    private let now: @Sendable () -> Int64
    private let held = Mutex<[Key: Held]>([:])

    package init(lockPath: String, now: @escaping @Sendable () -> Int64) {
        self.lockPath = lockPath
        self.now = now
    }

    /// The lock object is about to be written: by one who gets it, or who has it and renews it.
    /// - Returns: whether they were not held before.
    /// - Throws: `.lockAcquire` when a command on this host works on the stanza.
    func hold(_ stanza: String, repository: Int) throws(BackupError) -> Bool {
        endOld()
        let end = now() + StanzaLock.validity
        let result = held.withLock { held -> Result<Bool, BackupError> in
            let key = Key(repository: repository, stanza: stanza)
            if held[key] != nil {
                held[key]?.end = end
                return .success(false)
            }
            do throws(BackupError) {
                let lock = try HostLock.acquire(
                    [.backup], stanza: stanza, repositoryKeys: [repository], lockPath: lockPath,
                    executionID: ExecutionID.new())
                held[key] = Held(lock: lock, end: end)
                return .success(true)
            } catch {
                return .failure(error.within("on the repository host"))
            }
        }
        return try result.get()
    }

    /// The lock object is gone.
    func release(_ stanza: String, repository: Int) {
        held.withLock { $0.removeValue(forKey: Key(repository: repository, stanza: stanza)) }?.lock.release()
    }

    /// Gives up those of clients that were not heard of for as long as a lock object is valid.
    package func endOld() {
        let now = now()
        let old = held.withLock { held in
            let old = held.filter { $0.value.end <= now }
            for key in old.keys { held[key] = nil }
            return old.values.map(\.lock)
        }
        for lock in old { lock.release() }
    }
}
