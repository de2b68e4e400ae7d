package import BackupModel
import RepositoryFormats
import RepositoryStorage
import Synchronization

/// The lock of a stanza in one repository, which hosts that share the repository heed: pgBackRest's format has none.
///
/// It is an object that says who holds it until when. The holder renews it; one that is past its time may be taken over
/// by anyone, one whose process is known to be gone by commands on the same host at once. Where a store can create an
/// object only if it is absent, exactly one gets it, and take-over goes through a second such object, the claim; on
/// other stores the lock is written and read back after a while.
package final class StanzaLock: Sendable {
    /// Seconds that a lock is valid after it was taken or renewed. The clocks of the hosts must agree to less.
    package static let validity: Int64 = 300
    /// How often the holder calls ``renew()``.
    package static let renewalInterval = Duration.seconds(60)
    /// With less than this many seconds left the holder, too, must go through a claim.
    private static let margin: Int64 = 60

    private let slot: StanzaLockSlot
    private let body: Mutex<StanzaLockBody>

    /// The fencing value: greater than that of everyone who held the lock before.
    package var epoch: UInt64 { body.withLock { $0.epoch } }

    /// The `N` of `repoN-…`.
    package var repositoryKey: Int { slot.repository.key }

    private init(_ slot: StanzaLockSlot, _ body: StanzaLockBody) {
        self.slot = slot
        self.body = Mutex(body)
    }

    /// Takes the lock; does not wait for it.
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - settle: how long another writer's object may take to show, on stores without `createIfAbsent`.
    /// - Throws: `.lockAcquire` when another holds it, naming the holder.
    package static func acquire(
        _ repository: Repository, stanza: String, now: @escaping @Sendable () -> Int64,
        process: ProcessIdentity = .current(), settle: Duration = .seconds(2)
    ) async throws(BackupError) -> StanzaLock {
        let slot = StanzaLockSlot(repository: repository, stanza: stanza, now: now, settle: settle)
        let owner = "\(ExecutionID.new())-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        for _ in 0..<3 {
            let found = try await slot.read()
            if let found, found.expires > now(), !process.knowsGone(found.process) { throw slot.busy(found) }
            let body = StanzaLockBody(
                owner: owner, process: process,
                epoch: max((found?.epoch).map { $0 == .max ? $0 : $0 + 1 } ?? 0, UInt64(max(now(), 0))),
                expires: now() + validity)
            do throws(BackupError) {
                if try await slot.replace(found, with: body) { return StanzaLock(slot, body) }
            } catch {
                // It may have been written before the failure.
                await withdraw(body, from: slot)
                throw error
            }
        }
        throw slot.busy(try await slot.read())
    }

    /// Extends the lock.
    /// - Throws: `.lockAcquire` when it was lost to another or removed: stop writing at once. Any other code means that
    ///   the repository did not answer, and the lock is held until its time is over.
    package func renew() async throws(BackupError) {
        let mine = body.withLock { $0 }
        let found = try await slot.read()
        guard let found, found.owner == mine.owner else { throw slot.lost(to: found) }
        var next = mine
        next.expires = slot.now() + Self.validity
        if mine.expires - slot.now() > Self.margin {
            try await slot.write(next)
        } else if try await !slot.replace(found, with: next) {
            throw slot.lost(to: try await slot.read())
        }
        body.withLock { $0 = next }
    }

    /// Gives the lock up if it is still ours, in a cancelled task too; what cannot be removed runs out.
    package func release() async {
        let mine = body.withLock { $0 }
        await Self.withdraw(mine, from: slot)
    }

    /// A task of its own: stores refuse the calls of one that was cancelled.
    private static func withdraw(_ mine: StanzaLockBody, from slot: StanzaLockSlot) async {
        await Task {
            guard let found = try? await slot.read(), found.owner == mine.owner, found.expires - slot.now() > margin
            else { return }
            try? await slot.delete(slot.path)
        }.value
    }
}
