import BackupModel
import NIOPosix
import RepositoryStorage
import Synchronization

/// The token that requests carry. One in a file is read again after a minute, since Kubernetes writes a new one long
/// before the last one ends, and at once when a server did not take it.
final class BearerToken: Sendable {
    private struct Cached: Sendable {
        var token: Secret<String>
        var readAt: ContinuousClock.Instant
    }

    private let credential: ClusterAccess.Credential
    private let cached = Mutex<Cached?>(nil)

    private static let lifetime = Duration.seconds(60)

    init(_ credential: ClusterAccess.Credential) { self.credential = credential }

    /// nil where none is needed.
    func current() async throws(BackupError) -> Secret<String>? {
        let path: String
        switch credential {
        case .none: return nil
        case .token(let token): return token
        case .tokenFile(let file): path = file
        }
        let now = ContinuousClock.now
        let last = cached.withLock { $0 }
        if let last, now - last.readAt < Self.lifetime { return last.token }
        do throws(BackupError) {
            let token = try await Self.readAside(path)
            cached.withLock { $0 = Cached(token: token, readAt: now) }
            return token
        } catch {
            // While a volume is renewed the file may be gone for a moment.
            if let last { return last.token }
            throw error
        }
    }

    /// The server did not take it.
    /// - Returns: whether another one may come.
    func refused() -> Bool {
        guard case .tokenFile = credential else { return false }
        cached.withLock { $0?.readAt -= Self.lifetime }
        return true
    }

    private static func readAside(_ path: String) async throws(BackupError) -> Secret<String> {
        do {
            return try await NIOThreadPool.singleton.runIfActive { try read(path) }
        } catch let error as BackupError {
            throw error
        } catch {
            throw BackupError(.fileRead, "unable to read '\(path)': \(error)")
        }
    }

    static func read(_ path: String) throws(BackupError) -> Secret<String> {
        var bytes = try LocalFile.readAll(path, limit: 1 << 16)[...]
        while let last = bytes.last, last == 0x0a || last == 0x0d || last == 0x20 { bytes = bytes.dropLast() }
        guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw BackupError(.fileInvalid, "there is no token in '\(path)'")
        }
        return Secret(String(decoding: bytes, as: UTF8.self))
    }
}
