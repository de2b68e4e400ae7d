import AsyncHTTPClient
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// What follows the head of an answer. It is read from the connection only as fast as it is asked for.
///
/// Unchecked: a body is for one task at a time, as ``HTTPBody`` says.
final class NetworkBody: HTTPBody, @unchecked Sendable {
    private let origin: HTTPOrigin
    private var iterator: HTTPClientResponse.Body.AsyncIterator?
    /// Came and was not asked for yet.
    private var piece = ByteBuffer()

    init(_ body: HTTPClientResponse.Body, _ origin: HTTPOrigin) {
        self.origin = origin
        iterator = body.makeAsyncIterator()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int {
        while piece.readableBytes == 0 {
            do {
                guard let next = try await iterator?.next() else {
                    iterator = nil
                    return 0
                }
                piece = next
            } catch {
                iterator = nil
                throw TransportError(error, origin)
            }
        }
        let count = min(buffer.count, piece.readableBytes)
        piece.readWithUnsafeReadableBytes { bytes in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            return count
        }
        return count
    }

    /// Dropping the iterator ends the request, and its connection where something is still to come.
    func close() async {
        iterator = nil
        piece = ByteBuffer()
    }
}

extension TransportError {
    init(_ error: any Error, _ origin: HTTPOrigin) {
        switch error {
        case is CancellationError: self.init(.cancelled, "cancelled")
        case let error as HTTPClientError: self.init(error, origin)
        case let error as NIOSSLError: self.init(error, origin)
        case let error as NIOSSLExtraError:
            self.init(.certificate, "the certificate of \(origin.authority) is not trusted: \(error)")
        case let error as ChannelError: self.init(error, origin)
        case let error as NIOConnectionError: self.init(error, origin)
        case let error as IOError where [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(error.errnoCode):
            self.init(.notConnected, "no connection to \(origin.authority): \(error)")
        case is BoringSSLError: self.init(.certificate, "no TLS with \(origin.authority): \(error)")
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
        case .handshakeFailed(let reason):
            self.init(.certificate, "no TLS with \(origin.authority): \(reason)")
        case .unableToValidateCertificate, .noCertificateToValidate:
            self.init(.certificate, "the certificate of \(origin.authority) is not trusted: \(error)")
        case .uncleanShutdown: self.init(.broken, "\(origin.authority) closed the connection")
        default: self.init(.broken, "the connection to \(origin.authority) broke: \(error)")
        }
    }

    private init(_ error: ChannelError, _ origin: HTTPOrigin) {
        switch error {
        case .connectTimeout: self.init(.notConnected, "no connection to \(origin.authority) in time")
        default: self.init(.broken, "the connection to \(origin.authority) broke: \(error)")
        }
    }

    private init(_ error: NIOConnectionError, _ origin: HTTPOrigin) {
        let reasons = error.connectionErrors.map { "\($0.error)" }
        let dns = [error.dnsAError, error.dnsAAAAError].compactMap { $0.map { "\($0)" } }
        let why = (reasons.isEmpty ? dns : reasons).first ?? "no address"
        self.init(.notConnected, "no connection to \(origin.authority): \(why)")
    }
}
