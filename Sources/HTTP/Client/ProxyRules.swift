/// Which proxy a request goes through, by the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, also in
/// lower case, which wins. `HTTP_PROXY` in upper case counts too: this is no CGI program.
package struct ProxyRules: Sendable {
    package struct Proxy: Sendable, Hashable {
        package var host: String
        package var port: Int
        /// `user:password`.
        package var login: String?
    }

    private let secure: Proxy?
    private let plain: Proxy?
    private let exempt: [String]

    package init(_ environment: [String: String]) {
        func value(_ name: String) -> String? {
            let text = environment[name.lowercased()] ?? environment[name]
            return text?.isEmpty == true ? nil : text
        }
        let all = value("ALL_PROXY")
        secure = (value("HTTPS_PROXY") ?? all).flatMap(Self.parse)
        plain = (value("HTTP_PROXY") ?? all).flatMap(Self.parse)
        exempt = (value("NO_PROXY") ?? "").split(whereSeparator: { $0 == "," || $0 == " " }).map { $0.lowercased() }
    }

    package func proxy(for origin: HTTPOrigin) -> Proxy? {
        guard let proxy = origin.isSecure ? secure : plain else { return nil }
        let host = origin.host.lowercased()
        // The services of the machine itself, its metadata among them, lie behind no proxy.
        if ["localhost", "::1", "metadata.google.internal"].contains(host) { return nil }
        if host.hasPrefix("127.") || host.hasPrefix("169.254.") { return nil }
        return exempt.contains { Self.matches($0, host, origin.port) } ? nil : proxy
    }

    /// A name with all below it, `.name` for the same, `name:port`, an address, a block of addresses, `*`.
    private static func matches(_ rule: String, _ host: String, _ port: Int) -> Bool {
        if rule == "*" { return true }
        if let block = IPv4Block(rule), let address = IPv4Block.address(host) { return block.contains(address) }
        var name = Substring(rule)
        if let colon = name.lastIndex(of: ":"), name.firstIndex(of: ":") == colon {
            guard Int(name[name.index(after: colon)...]) == port else { return false }
            name = name[..<colon]
        }
        if name.hasPrefix("*") { name = name.dropFirst() }
        while name.hasPrefix(".") { name = name.dropFirst() }
        return !name.isEmpty && (host == name || host.hasSuffix("." + name))
    }

    /// `http://user:password@host:port/`; the scheme may be left out.
    private static func parse(_ text: String) -> Proxy? {
        var rest = Substring(text)
        var port = 80
        if let scheme = rest.firstRange(of: "://") {
            if rest[..<scheme.lowerBound].lowercased() == "https" { port = 443 }
            rest = rest[scheme.upperBound...]
        }
        rest = rest.prefix { $0 != "/" }
        var login: String?
        if let at = rest.lastIndex(of: "@") {
            login = PercentEncoding.decode(String(rest[..<at]))
            rest = rest[rest.index(after: at)...]
        }
        if let colon = rest.lastIndex(of: ":"), !rest.hasSuffix("]") {
            guard let given = Int(rest[rest.index(after: colon)...]), (1...65535).contains(given) else { return nil }
            port = given
            rest = rest[..<colon]
        }
        if rest.hasPrefix("["), rest.hasSuffix("]") { rest = rest.dropFirst().dropLast() }
        return rest.isEmpty ? nil : Proxy(host: String(rest), port: port, login: login)
    }
}

/// `10.0.0.0/8`.
private struct IPv4Block {
    let base: UInt32
    let mask: UInt32

    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = Self.address(String(parts[0])), let bits = Int(parts[1]),
            (0...32).contains(bits)
        else { return nil }
        mask = bits == 0 ? 0 : UInt32.max << (32 - bits)
        base = address & mask
    }

    func contains(_ address: UInt32) -> Bool { address & mask == base }

    static func address(_ text: String) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var result: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(part) else { return nil }
            result = result << 8 | UInt32(byte)
        }
        return result
    }
}
