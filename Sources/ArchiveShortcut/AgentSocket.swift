package import Glibc

/// The launcher's end of the agent's socket. Blocking, for a bounded time.
package struct AgentSocket {
    private let path: String
    /// Who else than root may be the agent.
    private let user: uid_t

    /// Milliseconds in which the agent must take the request.
    private let patience: Int

    package init(path: String, user: uid_t = geteuid(), patience: Int = 1000) {
        self.path = path
        self.user = user
        self.patience = patience
    }

    /// Whether the agent says that the file is pushed. False when it does not answer, or leaves it to the program.
    /// - Parameter timeout: milliseconds.
    package func ask(_ request: AgentRequest, timeout: Int) -> Bool {
        guard let descriptor = connected() else { return false }
        defer { close(descriptor) }
        guard isTrusted(descriptor), send(request.bytes, descriptor) else { return false }
        var answer = receive(descriptor, within: patience)
        if answer == .working { answer = receive(descriptor, within: timeout) }
        return answer == .done
    }

    private func connected() -> Int32? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // Where too many wait already, this fails at once.
        guard status == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    private func isTrusted(_ descriptor: Int32) -> Bool {
        guard let peer = SocketPeer.user(descriptor) else { return false }
        return peer == user || peer == 0
    }

    /// A request is smaller than any buffer of a socket.
    private func send(_ bytes: [UInt8], _ descriptor: Int32) -> Bool {
        Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }

    private func receive(_ descriptor: Int32, within milliseconds: Int) -> AgentAnswer? {
        let deadline = Self.now() + milliseconds
        while true {
            var byte: UInt8 = 0
            let count = read(descriptor, &byte, 1)
            if count == 1 { return AgentAnswer(rawValue: byte) }
            guard count < 0, errno == EAGAIN || errno == EINTR else { return nil }
            let left = deadline - Self.now()
            guard left > 0 else { return nil }
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&polled, 1, Int32(clamping: left))
        }
    }

    /// Milliseconds of a clock that is never set.
    private static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}

/// Who is at the other end of a Unix socket.
package enum SocketPeer {
    /// `struct ucred` of socket(7).
    private struct Credentials {
        var processID: Int32 = 0
        var userID: UInt32 = 0
        var groupID: UInt32 = 0
    }

    package static func user(_ descriptor: Int32) -> uid_t? {
        var credentials = Credentials()
        var size = socklen_t(MemoryLayout<Credentials>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 else { return nil }
        return credentials.userID
    }
}
