import ArchiveShortcut
import BackupModel
import CLinux
import Glibc
import RepositoryStorage

/// The agent's end of its socket: launchers ask, each once. Does not block, and bounds what a client may take: bytes,
/// time until its request is whole, places.
final class AskerSocket {
    typealias Asker = Int

    private struct Client {
        let descriptor: Int32
        var bytes: [UInt8] = []
        /// Until when the request must be there; nil when it is.
        var deadline: ContinuousClock.Instant?
    }

    private let file: SocketFile
    private let listener: Int32
    private let user: uid_t
    private let warn: (String) -> Void
    private var clients: [Asker: Client] = [:]
    private var next = 0
    private var refused: Set<uid_t> = []
    /// When no descriptor was left.
    private var pausedUntil: ContinuousClock.Instant?

    /// PostgreSQL has one archiver a cluster.
    private static let places = 64
    private static let patience = Duration.seconds(1)

    /// - Parameter user: who may ask, beside root.
    init(path: String, user: uid_t = geteuid(), warn: @escaping (String) -> Void) throws(BackupError) {
        self.user = user
        self.warn = warn
        file = SocketFile(path: path, mode: 0o600)
        if let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.startIndex {
            try LocalFile.makeDirectories(String(path[..<slash]), mode: 0o755)
        }
        try file.prepare()
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw Self.failure(path) }
        listener = descriptor
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: file.temporary.utf8.prefix($0.count - 1)) }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0, listen(descriptor, Int32(Self.places)) == 0 else {
            let error = Self.failure(path)
            Glibc.close(descriptor)
            throw error
        }
        do throws(BackupError) {
            try file.publish()
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    private static func failure(_ path: String) -> BackupError {
        BackupError(.fileOpen, "unable to make the socket '\(path)': \(String(cString: strerror(errno)).lowercased())")
    }

    func close() {
        file.remove()
        Glibc.close(listener)
        for client in clients.values { Glibc.close(client.descriptor) }
        clients = [:]
    }

    // MARK: - Waiting

    /// What is to be waited on, with the asker whose it is; nil: the listener.
    func polled(_ now: ContinuousClock.Instant) -> [(asker: Asker?, poll: pollfd)] {
        var list: [(asker: Asker?, poll: pollfd)] = clients.map {
            ($0.key, pollfd(fd: $0.value.descriptor, events: Int16(POLLIN), revents: 0))
        }
        if pausedUntil.map({ $0 <= now }) ?? true {
            list.append((nil, pollfd(fd: listener, events: Int16(POLLIN), revents: 0)))
        }
        return list
    }

    /// When something is to be done though nothing has arrived.
    var deadline: ContinuousClock.Instant? {
        (clients.values.compactMap(\.deadline) + (pausedUntil.map { [$0] } ?? [])).min()
    }

    /// Cuts off those who have not said what they want. Returns them.
    func expire(_ now: ContinuousClock.Instant) {
        if let until = pausedUntil, until <= now { pausedUntil = nil }
        for (asker, client) in clients {
            if let deadline = client.deadline, deadline <= now { drop(asker) }
        }
    }

    // MARK: - Clients

    /// Takes all that knock.
    func accept(_ now: ContinuousClock.Instant) {
        while true {
            let descriptor = linux_accept(listener)
            guard descriptor >= 0 else {
                if errno == EINTR || errno == ECONNABORTED { continue }
                if errno != EAGAIN { pausedUntil = now + Self.patience }
                return
            }
            guard clients.count < Self.places, isAllowed(descriptor) else {
                Glibc.close(descriptor)
                continue
            }
            clients[next] = Client(descriptor: descriptor, deadline: now + Self.patience)
            next += 1
        }
    }

    private func isAllowed(_ descriptor: Int32) -> Bool {
        guard let peer = SocketPeer.user(descriptor) else { return false }
        if peer == user || peer == 0 { return true }
        if refused.insert(peer).inserted { warn("user \(peer) is not allowed to use the socket '\(file.path)'") }
        return false
    }

    enum Reading: Equatable {
        case request(AgentRequest)
        case nothingYet
        /// It hung up, or said what is none; it is no client any more.
        case gone
    }

    /// Takes what a client has sent.
    func read(_ asker: Asker) -> Reading {
        guard var client = clients[asker] else { return .gone }
        var buffer = [UInt8](repeating: 0, count: AgentRequest.limit + 1)
        let count = recv(client.descriptor, &buffer, buffer.count, 0)
        if count < 0, errno == EAGAIN || errno == EINTR { return .nothingYet }
        // Nothing may follow a request.
        guard count > 0, client.deadline != nil else {
            drop(asker)
            return .gone
        }
        client.bytes += buffer[..<count]
        switch AgentRequest.read(client.bytes) {
        case .part:
            clients[asker] = client
            return .nothingYet
        case .none:
            drop(asker)
            return .gone
        case .whole(let request):
            client.deadline = nil
            clients[asker] = client
            return .request(request)
        }
    }

    /// False when the client is gone.
    @discardableResult
    func tell(_ asker: Asker, _ answer: AgentAnswer) -> Bool {
        guard let client = clients[asker] else { return false }
        var byte = answer.rawValue
        let isSent = send(client.descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) == 1
        if !isSent || answer != .working { drop(asker) }
        return isSent
    }

    private func drop(_ asker: Asker) {
        if let client = clients.removeValue(forKey: asker) { Glibc.close(client.descriptor) }
    }
}
