package import BackupModel
import RepositoryFormats
package import RepositoryStorage
import Synchronization

/// The lock of a stanza in one repository, which hosts that share the repository heed: pgBackRest's format has none.
///
/// It is an object that says who holds it until when. The holder renews it; one that is past its time may be taken over
/// by anyone, one whose process is known to be gone by commands on the same host at once. Where a store can create an
/// object only if it is absent, exactly one gets it, and take-over goes through a second such object, the claim
/// (``StanzaLockSlot``); on other stores everyone has an object of its own (``StanzaLockFlags``).
package final class StanzaLock: Sendable {
    /// Seconds that a lock is valid after it was taken or renewed. The clocks of the hosts must agree to less.
    package static let validity: Int64 = 300
    /// How often the holder calls ``renew()``.
    package static let renewalInterval = Duration.seconds(60)
    /// With less than this many seconds left the holder, too, must see whether others took it.
    private static let margin: Int64 = 60

    private enum Place: Sendable {
        case slot(StanzaLockSlot)
        case flags(StanzaLockFlags)
    }

    private let repository: Repository
    private let stanza: String
    private let now: @Sendable () -> Int64
    private let place: Place
    private let body: Mutex<StanzaLockBody>

    /// The fencing value: greater than that of everyone who held the lock before.
    package var epoch: UInt64 { body.withLock { $0.epoch } }

    /// The `N` of `repoN-…`.
    package var repositoryKey: Int { repository.key }

    private init(
        _ repository: Repository, _ stanza: String, _ now: @escaping @Sendable () -> Int64, _ place: Place,
        _ body: StanzaLockBody
    ) {
        self.repository = repository
        self.stanza = stanza
        self.now = now
        self.place = place
        self.body = Mutex(body)
    }

    /// Takes the lock; does not wait for it.
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - patience: on stores without `createIfAbsent`, how long others that want the lock too may take to withdraw.
    /// - Throws: `.lockAcquire` when another holds it, naming the holder.
    package static func acquire(
        _ repository: Repository, stanza: String, now: @escaping @Sendable () -> Int64,
        process: ProcessIdentity = .current(), patience: Duration = .seconds(2)
    ) async throws(BackupError) -> StanzaLock {
        let slot = StanzaLockSlot(repository: repository, stanza: stanza, now: now)
        var body = StanzaLockBody(
            owner: "\(ExecutionID.new())-\(String(UInt64.random(in: .min ... .max), radix: 36))", process: process,
            epoch: UInt64(max(now(), 0)), expires: now() + validity)
        for attempt in 0..<4 where slot.isExclusive {
            // Mostly nobody has it: then it takes one call.
            let found = attempt == 0 ? nil : try await slot.read()
            if let found, found.expires > now(), !process.knowsGone(found.process) {
                throw StanzaLockBody.busy(found, repository, stanza: stanza, now: now())
            }
            body.epoch = max((found?.epoch).map { $0 == .max ? $0 : $0 + 1 } ?? 0, UInt64(max(now(), 0)))
            body.expires = now() + validity
            let lock = StanzaLock(repository, stanza, now, .slot(slot), body)
            do throws(BackupError) {
                if try await slot.replace(found, with: body) { return lock }
            } catch {
                // It may have been written before the failure.
                await lock.release()
                throw error
            }
        }
        if slot.isExclusive {
            throw StanzaLockBody.busy(try await slot.read(), repository, stanza: stanza, now: now())
        }
        let flags = StanzaLockFlags(repository: repository, stanza: stanza, now: now, patience: patience)
        body.expires = now() + validity
        let lock = StanzaLock(repository, stanza, now, .flags(flags), body)
        do throws(BackupError) {
            try await flags.take(body)
        } catch {
            await lock.release()
            throw error
        }
        return lock
    }

    /// Extends the lock.
    /// - Throws: `.lockAcquire` when it was lost to another or removed: stop writing at once. Any other code means that
    ///   the repository did not answer, and the lock is held until its time is over.
    package func renew() async throws(BackupError) {
        let mine = body.withLock { $0 }
        var next = mine
        let isLate = mine.expires - now() <= Self.margin
        next.expires = now() + Self.validity
        switch place {
        case .flags(let flags): try await flags.renew(mine, as: next, isLate: isLate)
        case .slot(let slot):
            let found = try await slot.read()
            guard let found, found.owner == mine.owner else { throw lost(to: found) }
            if !isLate {
                try await slot.write(next)
            } else if try await !slot.replace(found, with: next) {
                throw lost(to: try await slot.read())
            }
        }
        body.withLock { $0 = next }
    }

    /// Proves that the lock is still ours; throws as ``renew()`` does.
    func confirm() async throws(BackupError) {
        let mine = body.withLock { $0 }
        // Soon past its time: what follows is to be done within it.
        guard mine.expires - now() > 2 * Self.margin else { return try await renew() }
        let found: StanzaLockBody?
        switch place {
        case .flags(let flags): found = try await flags.read(mine.owner)
        case .slot(let slot): found = try await slot.read()
        }
        guard let found, found.owner == mine.owner else { throw lost(to: found) }
    }

    /// Gives the lock up if it is still ours, in a cancelled task too; what cannot be removed runs out.
    package func release() async {
        let mine = body.withLock { $0 }
        // A task of its own: stores refuse the calls of one that was cancelled.
        await Task { [place, now] in
            switch place {
            case .flags(let flags): await flags.withdraw(mine)
            case .slot(let slot):
                guard let found = try? await slot.read(), found.owner == mine.owner,
                    found.expires - now() > Self.margin
                else { return }
                try? await slot.delete(slot.path)
            }
        }.value
    }

    private func lost(to body: StanzaLockBody?) -> BackupError {
        StanzaLockBody.lost(to: body, repository, stanza: stanza)
    }
}
