import Foundation
import Glibc
import Synchronization
import TestSupport

/// DNS for pods: one thread, IPv4 addresses, nothing kept.
final class Nameserver: Sendable {
    private let socket: Int32
    private let isOver = Atomic(false)

    /// - Parameter lookUp: the addresses of a name in lower case; nil when there is no such name.
    init(address: String, lookUp: @escaping @Sendable (String) -> [String]?) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = in_port_t(53).bigEndian
        inet_pton(AF_INET, address, &place.sin_addr)
        let status = withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw TestSupportError("unable to listen at \(address):53: error \(errno)") }
        var patience = timeval(tv_sec: 0, tv_usec: 200_000)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        Thread.detachNewThread { [self] in
            serve(lookUp)
            close(socket)
        }
    }

    func stop() { isOver.store(true, ordering: .relaxed) }

    private func serve(_ lookUp: (String) -> [String]?) {
        var buffer = [UInt8](repeating: 0, count: 1500)
        while !isOver.load(ordering: .relaxed) {
            var peer = sockaddr_storage()
            var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
            withUnsafeMutablePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
                    let count = recvfrom(socket, &buffer, buffer.count, 0, peer, &size)
                    guard count > 0, let answer = Self.answer(Array(buffer[..<count]), lookUp) else { return }
                    sendto(socket, answer, answer.count, 0, peer, size)
                }
            }
        }
    }

    /// RFC 1035; nil for what is no question.
    static func answer(_ query: [UInt8], _ lookUp: (String) -> [String]?) -> [UInt8]? {
        guard query.count > 12, query[2] & 0x80 == 0 else { return nil }
        var labels: [String] = []
        var place = 12
        while place < query.count, query[place] != 0 {
            let end = place + 1 + Int(query[place])
            guard query[place] < 64, end < query.count else { return nil }
            labels.append(String(decoding: query[(place + 1)..<end], as: UTF8.self).lowercased())
            place = end
        }
        guard place + 5 <= query.count else { return nil }
        let question = query[12..<(place + 5)]
        let isAddress = query[place + 1] == 0 && query[place + 2] == 1
        let found = lookUp(labels.joined(separator: "."))
        let addresses = isAddress ? (found ?? []).prefix(20) : []
        // Recursion is available; 3 says that there is no such name.
        var answer = Array(query[..<2]) + [0x84 | query[2] & 1, 0x80 | (found == nil ? 3 : 0)]
        answer += [0, 1, 0, UInt8(addresses.count), 0, 0, 0, 0] + question
        for address in addresses {
            let bytes = address.split(separator: ".").compactMap { UInt8($0) }
            guard bytes.count == 4 else { return nil }
            answer += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4] + bytes
        }
        return answer
    }
}
