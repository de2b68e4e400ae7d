import Glibc
import NIOSSL

/// What a server makes of the certificate of a client.
enum ClientCertificate {
    /// The client's name. The library has verified the certificate; with a resumed session that was some time ago.
    static func identity(_ certificate: NIOSSLCertificate?) -> Result<ClientIdentity, RequestFault> {
        guard let certificate else { return .failure(RequestFault(403, "no certificate")) }
        guard certificate.notValidAfter >= time(nil) else {
            return .failure(RequestFault(403, "an expired certificate"))
        }
        let names = CertificateText.commonNames(certificate.subjectName)
        guard let name = names.first, !name.isEmpty else {
            return .failure(RequestFault(403, "a certificate without a common name"))
        }
        guard names.count == 1 else { return .failure(RequestFault(403, "a certificate with two common names")) }
        guard name.unicodeScalars.allSatisfy(CertificateText.isPrintable) else {
            return .failure(RequestFault(403, "a certificate with an unprintable common name"))
        }
        return .success(.certificate(commonName: name))
    }

    /// Why there was no handshake; nil when the peer just went away, as those do that look whether a port is open.
    /// - Returns: the kind, of which there are few, and what is known of this one.
    static func refusal(
        _ error: any Error, _ certificate: NIOSSLCertificate?, authorities: [NIOSSLCertificate]
    ) -> (kind: String, text: String?)? {
        guard let failure = TLSFailure(error), !failure.isEnd else { return nil }
        if failure.has("PEER_DID_NOT_RETURN_A_CERTIFICATE") { return ("no certificate", nil) }
        if failure.isDistrust {
            guard let certificate else { return ("a certificate that is not accepted", nil) }
            let flaw = TLSFailure.flaw(certificate, authorities: authorities)
            return (flaw.kind, flaw.text)
        }
        if failure.has("HTTP_REQUEST", "HTTPS_PROXY_REQUEST") { return ("HTTP without TLS", nil) }
        if failure.has("UNSUPPORTED_PROTOCOL", "NO_SUPPORTED_VERSIONS", "ALERT_PROTOCOL_VERSION") {
            return ("a protocol older than TLS 1.3", nil)
        }
        if let refusal = failure.refusal { return ("the client does not trust our certificate", refusal) }
        return ("no TLS", failure.codes.first)
    }
}
