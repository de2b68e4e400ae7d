import Glibc

/// A TCP port below 32768 (the kernel hands out those above to outgoing connections) that no other test uses, in this
/// process or another, as long as this value lives.
final class PortReservation: Sendable {
    let port: Int
    // The UDP port of the same number, bound and unused: a lock between processes that leaves nothing behind.
    private let lock: Int32

    init() throws {
        for _ in 0..<200 {
            let candidate = Int.random(in: 20_000..<32_000)
            guard let lock = boundSocket(SOCK_DGRAM, port: candidate) else { continue }
            if let free = boundSocket(SOCK_STREAM, port: candidate) {
                close(free)
                self.port = candidate
                self.lock = lock
                return
            }
            close(lock)
        }
        throw TestSupportError("no free port was found between 20000 and 32000")
    }

    deinit { close(lock) }
}

/// A socket bound to a port of 127.0.0.1, or nil when another has it.
private func boundSocket(_ type: __socket_type, port: Int) -> Int32? {
    let descriptor = socket(AF_INET, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
    }
    if status == 0 { return descriptor }
    close(descriptor)
    return nil
}
