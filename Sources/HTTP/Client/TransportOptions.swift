package import BackupModel

/// How connections are made.
package struct TransportOptions: Sendable {
    /// Until a connection is there, and for each wait for bytes: `io-timeout`.
    package var timeout = Duration.seconds(60)
    /// Until a connection is there, where that is another time than `timeout`.
    package var connectTimeout: Duration?
    /// A file of certificates (PEM) that a server's must be signed by, instead of the system's.
    package var caFile: String?
    /// A directory of such files; with `caFile` either will do.
    package var caPath: String?
    /// Certificates (PEM) that are in memory; with `caFile` and `caPath` any will do.
    package var caBytes: [UInt8]?
    /// Our certificate (PEM), with those between it and its authority behind it, and its key: for servers that want one.
    /// Both are read when the transport is made. The key must be readable by its owner only, or by root and a group.
    package var certificateFile: String?
    package var keyFile: String?
    /// The same in memory, instead of the files; both or none.
    package var certificateBytes: [UInt8]?
    package var keyBytes: Secret<[UInt8]>?
    package var minimumTLS = MinimumTLS.v12
    /// False takes any certificate of anybody.
    package var verifiesPeer = true
    /// Those of TLS 1.2 by OpenSSL's names, with colons between them; nil for the library's choice.
    package var ciphers: String?
    /// Of one server. Requests that find none free wait for one.
    package var connections = 256
    package var proxies = ProxyRules([:])

    package init() {}

    package enum MinimumTLS: Sendable {
        case v12
        case v13
    }
}
