import AsyncHTTPClient
import Glibc
import NIOCore
import NIOPosix
import NIOSSL

extension TransportError {
    init(_ error: any Error, _ origin: HTTPOrigin) {
        switch error {
        case is CancellationError: self.init(.cancelled, "cancelled")
        case let error as HTTPClientError: self.init(error, origin)
        case let error as NIOSSLError: self.init(error, origin)
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            self.init(.certificate, "the certificate of \(origin.authority) is for another host name")
        case let error as NIOSSLExtraError:
            self.init(.certificate, "the certificate of \(origin.authority) is not trusted: \(error)")
        case let error as ChannelError: self.init(error, origin)
        case let error as NIOConnectionError: self.init(error, origin)
        case let error as IOError where [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(error.errnoCode):
            self.init(.notConnected, "no connection to \(origin.authority): \(Self.words(error))")
        case let error as BoringSSLError: self.init(error, origin)
        default: self.init(.broken, "the connection to \(origin.authority) broke: \(error)")
        }
    }

    private init(_ error: HTTPClientError, _ origin: HTTPOrigin) {
        switch error {
        case .cancelled: self.init(.cancelled, "cancelled")
        case .readTimeout, .writeTimeout, .deadlineExceeded:
            self.init(.timeout, "\(origin.authority) was silent for too long")
        case .connectTimeout, .tlsHandshakeTimeout, .httpProxyHandshakeTimeout, .getConnectionFromPoolTimeout:
            self.init(.notConnected, "no connection to \(origin.authority) in time")
        case .proxyAuthenticationRequired:
            self.init(.notConnected, "the proxy on the way to \(origin.authority) wants a login")
        case .remoteConnectionClosed: self.init(.broken, "\(origin.authority) closed the connection")
        default: self.init(.broken, "the connection to \(origin.authority) broke: \(error)")
        }
    }

    private init(_ error: NIOSSLError, _ origin: HTTPOrigin) {
        switch error {
        case .handshakeFailed(let reason): self.init(handshake: reason, origin)
        case .unableToValidateCertificate, .noCertificateToValidate:
            self.init(.certificate, "the certificate of \(origin.authority) is not trusted: \(error)")
        case .uncleanShutdown: self.init(.broken, "\(origin.authority) closed the connection")
        default: self.init(.broken, "the connection to \(origin.authority) broke: \(error)")
        }
    }

    /// - Parameter refusal: what the server says of our certificate.
    init(refusal: String, _ origin: HTTPOrigin) {
        self.init(.certificate, "\(origin.authority) refused our certificate: \(refusal)")
    }

    private init(handshake error: BoringSSLError, _ origin: HTTPOrigin) {
        let failure = TLSFailure(error)
        if let refusal = failure?.refusal {
            self.init(refusal: refusal, origin)
        } else if failure?.isEnd == true {
            self.init(.notConnected, "\(origin.authority) closed the connection in the TLS handshake")
        } else if failure?.isDistrust == true {
            self.init(.certificate, "the certificate of \(origin.authority) is not trusted")
        } else {
            self.init(.certificate, "no TLS with \(origin.authority): \(failure?.codes.first ?? "\(error)")")
        }
    }

    /// After the handshake. With TLS 1.3 it is only then that a server's refusal of our certificate arrives.
    private init(_ error: BoringSSLError, _ origin: HTTPOrigin) {
        if let refusal = TLSFailure(error)?.refusal {
            self.init(refusal: refusal, origin)
        } else {
            self.init(.broken, "the connection to \(origin.authority) broke: \(error)")
        }
    }

    private init(_ error: ChannelError, _ origin: HTTPOrigin) {
        switch error {
        case .connectTimeout: self.init(.notConnected, "no connection to \(origin.authority) in time")
        default: self.init(.broken, "the connection to \(origin.authority) broke: \(error)")
        }
    }

    private init(_ error: NIOConnectionError, _ origin: HTTPOrigin) {
        let reasons = error.connectionErrors.map { Self.words($0.error) }
        let dns = [error.dnsAError, error.dnsAAAAError].compactMap { $0.map { Self.words($0) } }
        let why = (reasons.isEmpty ? dns : reasons).first ?? "no address"
        self.init(.notConnected, "no connection to \(origin.authority): \(why)")
    }

    /// As the system has them, without the places in the network's code that pass them on.
    private static func words(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode)).lowercased()
        case let error as SocketAddressError.UnknownHost:
            "the name of the host is not known (\(error.errorDescription.lowercased()))"
        default: "\(error)"
        }
    }
}
