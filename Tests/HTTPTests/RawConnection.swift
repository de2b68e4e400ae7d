import Foundation
import Glibc

/// A connection that sends what a test wants, be it HTTP or not. Its calls block, for thirty seconds at most.
final class RawConnection: Sendable {
    private let descriptor: Int32

    init(port: Int, sendBuffer: Int32? = nil, receiveBuffer: Int32? = nil) throws {
        signal(SIGPIPE, SIG_IGN)
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure("socket: \(errno)") }
        var time = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        for (option, size) in [(SO_SNDBUF, sendBuffer), (SO_RCVBUF, receiveBuffer)] {
            if var size { setsockopt(descriptor, SOL_SOCKET, option, &size, 4) }
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        // A throw from here on runs deinit, which closes it.
        guard status == 0 else { throw Failure("connect: \(errno)") }
    }

    deinit { Glibc.close(descriptor) }

    func end() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// As a host does that was started again: what is on its way is dropped.
    func reset() {
        var time = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &time, socklen_t(MemoryLayout<linger>.size))
        // Ends the connection and keeps the number taken.
        let other = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
        dup2(other, descriptor)
        close(other)
    }

    /// False when the other side has closed.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: offset), bytes.count - offset, 0)
            }
            if count <= 0 { return false }
            offset += count
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    /// How many bytes the other side takes until it takes none for `time`.
    func sendUntilFull(limit: Int, time: Duration = .milliseconds(300)) -> Int {
        let piece = [UInt8](repeating: 0x62, count: 64 << 10)
        var sent = 0
        var last = ContinuousClock.now
        while sent < limit, ContinuousClock.now - last < time {
            let count = Glibc.send(descriptor, piece, piece.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                sent += count
                last = .now
            } else if errno == EAGAIN {
                usleep(2000)
            } else {
                break
            }
        }
        return sent
    }

    /// Some bytes; none at the end, or when the connection was reset or silent for too long.
    func receive() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer[..<count]) : []
    }

    /// All until the other side closes.
    func receiveAll() -> String {
        var bytes: [UInt8] = []
        while true {
            let more = receive()
            if more.isEmpty { return String(decoding: bytes, as: UTF8.self) }
            bytes += more
        }
    }

    /// Until `text` has come, or the end.
    func receive(until text: String) -> String {
        var bytes: [UInt8] = []
        while true {
            let more = receive()
            bytes += more
            let all = String(decoding: bytes, as: UTF8.self)
            if more.isEmpty || all.contains(text) { return all }
        }
    }

    /// Sends all and takes what comes until the other side closes.
    static func exchange(_ text: String, port: Int) async throws -> String {
        try await apart {
            let connection = try RawConnection(port: port)
            connection.send(text)
            return connection.receiveAll()
        }
    }
}
