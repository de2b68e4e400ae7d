import BackupModel
import Glibc
import NIOCore

/// The addresses that a server's option means.
enum ListenAddress {
    /// - Parameter text: `*` for all, a name, which may have several, or an address.
    static func resolve(_ text: String, port: Int) throws(BackupError) -> [SocketAddress] {
        guard (0...65535).contains(port) else { throw BackupError(.optionInvalidValue, "\(port) is no port") }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var list: UnsafeMutablePointer<addrinfo>?
        // On the wildcard of IPv6 connections of IPv4 arrive too.
        let name =
            text == "*" ? "::" : text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
        let status = getaddrinfo(name, String(port), &hints, &list)
        guard status == 0 else {
            throw BackupError(
                .hostInvalid, "unable to get the address of '\(text)': \(String(cString: gai_strerror(status)))",
                hint: "give a name or address of this host, or * for all")
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next?.pointee {
            if let address = address(entry, port), !addresses.contains(address) { addresses.append(address) }
            next = entry.ai_next
        }
        if text == "*", let any = try? SocketAddress(ipAddress: "0.0.0.0", port: port) { addresses.append(any) }
        return addresses
    }

    private static func address(_ entry: addrinfo, _ port: Int) -> SocketAddress? {
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard getnameinfo(entry.ai_addr, entry.ai_addrlen, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0
        else { return nil }
        let text = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return try? SocketAddress(ipAddress: text, port: port)
    }

    /// The address is right, but this host does not have it now: such as `::1` where IPv6 is off.
    static func isAbsent(_ error: any Error) -> Bool {
        guard let code = (error as? IOError)?.errnoCode else { return false }
        return [EADDRNOTAVAIL, EAFNOSUPPORT, EPROTONOSUPPORT].contains(code)
    }
}
