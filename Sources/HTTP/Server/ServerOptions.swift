package struct ServerOptions: Sendable {
    package enum Listener: Sendable {
        /// TLS 1.3; a client needs a certificate that the authority signed, and is its common name.
        /// - Parameters:
        ///   - address: `*` for all, a name, an IPv4 or an IPv6 address.
        ///   - port: 0 for any that is free.
        case tls(address: String, port: Int, ServerCertificates)
        /// No encryption; clients are anonymous.
        case plain(address: String, port: Int)
        /// A socket in the file system, which gets exactly `mode`; clients are known by their user.
        case socket(path: String, mode: UInt32)
    }

    package var listener: Listener
    package var limits = ServerLimits()
    /// Where the handler runs; nil for the cooperative pool, on which it must not block.
    package var executor: (any TaskExecutor)?
    /// Gets a line for people where a connection was refused or cut: with the peer's address, and no secret.
    package var log: @Sendable (String) -> Void = { _ in }

    package init(_ listener: Listener) { self.listener = listener }
}

/// Paths of PEM files.
package struct ServerCertificates: Sendable {
    /// The server's own, and those between it and its authority behind it.
    package var certificateFile: String
    package var keyFile: String
    /// Those of the authorities that clients' certificates are signed by.
    package var caFile: String

    package init(certificateFile: String, keyFile: String, caFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.caFile = caFile
    }
}

/// What a client may ask of the server's patience and memory.
package struct ServerLimits: Sendable {
    /// At once. The limit of open files, which is raised as far as it goes, may lower it. One too many takes the place
    /// of the oldest that has not shown yet who it is, or is refused.
    package var connections = 1024
    /// With certificates of one name.
    package var connectionsOfClient = 512
    /// Bytes of a request's head.
    package var head = 64 << 10
    /// For the TLS handshake; for the head of a request, from its first byte.
    package var handshake = Duration.seconds(10)
    /// Between two requests.
    package var idle = Duration.seconds(90)
    /// Without a byte of a body that is waited for; without progress of what is sent: 256 KiB or its end.
    package var silence = Duration.seconds(60)
    /// For the peer to take the last answer, and for the rest of a body that nobody reads.
    package var farewell = Duration.seconds(3)

    package init() {}
}
