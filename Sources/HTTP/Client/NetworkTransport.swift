import AsyncHTTPClient
package import BackupModel
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import RepositoryStorage
import Synchronization

/// HTTP/1.1 over TCP and TLS, with AsyncHTTPClient.
package final class NetworkTransport: HTTPTransport {
    private let options: TransportOptions
    private let tls: TLSConfiguration
    private let authorities: [NIOSSLCertificate]
    private let refusals = RefusalWatch()
    private let clients = Mutex<[ProxyRules.Proxy?: HTTPClient]>([:])

    /// A body is copied out in pieces of this size, as the connection takes them.
    static let pieceSize = 256 << 10
    /// Servers close what was idle for longer.
    private static let idleTime = TimeAmount.seconds(15)

    /// - Throws: when the certificates cannot be read.
    package init(_ options: TransportOptions) throws(BackupError) {
        self.options = options
        (tls, authorities) = try Self.tlsConfiguration(options)
    }

    deinit {
        let clients = clients.withLock { Array($0.values) }
        guard !clients.isEmpty else { return }
        Task { for client in clients { try? await client.shutdown() } }
    }

    package func send(_ request: HTTPRequest) async throws(TransportError) -> HTTPResponse {
        let proxy = options.proxies.proxy(for: request.origin)
        let client = client(for: proxy)
        let refusalsBefore = refusals.count
        do {
            // Time limits are those of silence: what moves may take as long as it takes.
            let response = try await client.execute(Self.outgoing(request), deadline: .now() + .hours(24 * 7))
            let headers = HTTPHeaders(response.headers.map { (name: $0.name, value: $0.value) })
            return HTTPResponse(
                status: Int(response.status.code), headers: headers, body: NetworkBody(response.body, request.origin))
        } catch {
            if proxy == nil, TLSFailure(error)?.isDistrust == true, let flaw = await flaw(of: request.origin) {
                throw TransportError(
                    .certificate, "the certificate of \(request.origin.authority) is not trusted: \(flaw)")
            }
            let error = TransportError(error, request.origin)
            if error.kind == .broken, let refusal = refusals.reason(after: refusalsBefore) {
                throw TransportError(refusal: refusal, request.origin)
            }
            throw error
        }
    }

    /// Why a server's certificate did not pass.
    private func flaw(of origin: HTTPOrigin) async -> String? {
        let time = TimeAmount.nanoseconds(min(options.timeout, .seconds(5)).nanoseconds)
        guard let certificate = await CertificateProbe.certificate(of: origin, tls, within: time) else { return nil }
        return TLSFailure.flaw(certificate, authorities: authorities).text
    }

    private func client(for proxy: ProxyRules.Proxy?) -> HTTPClient {
        clients.withLock { clients in
            if let client = clients[proxy] { return client }
            let client = HTTPClient(
                eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton),
                configuration: configuration(proxy))
            clients[proxy] = client
            return client
        }
    }

    private func configuration(_ proxy: ProxyRules.Proxy?) -> HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls, redirectConfiguration: .disallow)
        let timeout = TimeAmount.nanoseconds(options.timeout.nanoseconds)
        let connect = TimeAmount.nanoseconds((options.connectTimeout ?? options.timeout).nanoseconds)
        configuration.timeout = .init(connect: connect, read: timeout, write: timeout)
        configuration.connectionPool.idleTimeout = Self.idleTime
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = options.connections
        // Whoever sends repeats requests, and tells why the last attempt failed.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        if tls.privateKey != nil || options.minimumTLS == .v13 {
            configuration.http1_1ConnectionDebugInitializer = { [refusals] in refusals.observe($0) }
        }
        configuration.decompression = .disabled
        if let proxy {
            configuration.proxy = .server(
                host: proxy.host, port: proxy.port,
                authorization: proxy.login.map { login in
                    let parts = login.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                    return .basic(username: String(parts[0]), password: parts.count > 1 ? String(parts[1]) : "")
                })
        }
        return configuration
    }

    private static func outgoing(_ request: HTTPRequest) -> HTTPClientRequest {
        let scheme = request.origin.isSecure ? "https" : "http"
        let query = request.query.isEmpty ? "" : "?" + PercentEncoding.query(request.query)
        var outgoing = HTTPClientRequest(url: "\(scheme)://\(request.origin.authority)\(request.path)\(query)")
        outgoing.method = HTTPMethod(rawValue: request.method)
        for field in request.headers.fields { outgoing.headers.add(name: field.name, value: field.value) }
        if request.body.count > pieceSize {
            outgoing.body = .stream(BodyPieces(bytes: request.body), length: .known(Int64(request.body.count)))
        } else if !request.body.isEmpty || ["PUT", "POST"].contains(request.method) {
            outgoing.body = .bytes(ByteBuffer(bytes: request.body))
        }
        return outgoing
    }

    private static func tlsConfiguration(
        _ options: TransportOptions
    ) throws(BackupError) -> (TLSConfiguration, [NIOSSLCertificate]) {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = options.minimumTLS == .v13 ? .tlsv13 : .tlsv12
        if !options.verifiesPeer { tls.certificateVerification = .none }
        if let ciphers = options.ciphers { tls.cipherSuites = try CipherList.validated(ciphers) }
        try setCertificate(options, &tls)
        guard options.caFile != nil || options.caPath != nil || options.caBytes != nil else { return (tls, []) }
        var roots: [NIOSSLCertificate] = []
        if let bytes = options.caBytes {
            roots = try CertificateFiles.certificates(bytes, from: "the authority's certificates")
        }
        if let file = options.caFile { roots += try CertificateFiles.certificates(file) }
        if let path = options.caPath {
            // Not OpenSSL's look-up by hashed names, which would not find files that were merely put there.
            for name in try LocalFile.names(in: path) {
                roots += (try? NIOSSLCertificate.fromPEMFile("\(path)/\(name)")) ?? []
            }
        }
        guard !roots.isEmpty else {
            let places = [options.caFile, options.caPath].compactMap { $0.map { "'\($0)'" } }
            throw BackupError(.fileInvalid, "no certificate in \(places.joined(separator: " and "))")
        }
        tls.trustRoots = .certificates(roots)
        return (tls, roots)
    }

    /// Our own, for servers that ask who we are.
    private static func setCertificate(
        _ options: TransportOptions, _ tls: inout TLSConfiguration
    ) throws(BackupError) {
        if let certificate = options.certificateBytes, let key = options.keyBytes {
            let chain = try CertificateFiles.certificates(certificate, from: "the client certificate")
            let privateKey = try CertificateFiles.key(key.revealed, from: "the client key")
            try CertificateFiles.check(
                chain[0], privateKey, "the client key does not fit the client certificate",
                hint: "both must be of the same issue")
            tls.certificateChain = chain.map { .certificate($0) }
            tls.privateKey = .privateKey(privateKey)
            return
        }
        guard options.certificateBytes == nil, options.keyBytes == nil else {
            throw BackupError(.optionInvalid, "a client certificate needs its key, and a key its certificate")
        }
        guard let certificateFile = options.certificateFile, let keyFile = options.keyFile else {
            guard options.certificateFile == nil, options.keyFile == nil else {
                throw BackupError(.optionInvalid, "a client certificate needs its key, and a key its certificate")
            }
            return
        }
        let chain = try CertificateFiles.certificates(certificateFile)
        let key = try CertificateFiles.key(keyFile)
        try CertificateFiles.check(chain[0], certificateFile, key, keyFile)
        tls.certificateChain = chain.map { .certificate($0) }
        tls.privateKey = .privateKey(key)
    }
}

/// A request's body, piece by piece.
///
/// The client asks for the next one as soon as it has queued the last, and hears of a full connection only when the event
/// loop gets to it: with TLS, which takes longer than a copy, most of the body would be queued. So a piece waits here
/// until the one before the last few has gone through its event loop, whichever that is.
private struct BodyPieces: AsyncSequence, Sendable {
    let bytes: [UInt8]

    func makeAsyncIterator() -> Iterator { Iterator(bytes: bytes) }

    struct Iterator: AsyncIteratorProtocol {
        let bytes: [UInt8]
        var offset = 0
        /// For each of the last pieces: all loops have done what was queued before.
        private var passed: [EventLoopFuture<Void>] = []

        private static let ahead = 4

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func next() async -> ByteBuffer? {
            guard offset < bytes.count else { return nil }
            if offset > 0 { passed.append(Self.marker()) }
            if passed.count >= Self.ahead { try? await passed.removeFirst().get() }
            let end = Swift.min(offset + NetworkTransport.pieceSize, bytes.count)
            defer { offset = end }
            return ByteBuffer(bytes: bytes[offset..<end])
        }

        private static func marker() -> EventLoopFuture<Void> {
            let group = MultiThreadedEventLoopGroup.singleton
            return EventLoopFuture.andAllComplete(group.makeIterator().map { $0.submit {} }, on: group.next())
        }
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
