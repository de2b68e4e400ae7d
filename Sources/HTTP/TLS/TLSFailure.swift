import Glibc
import NIOSSL

/// What went wrong with TLS, out of what the library says of it.
struct TLSFailure {
    /// Of an error stack, as `CERTIFICATE_VERIFY_FAILED`.
    let codes: [String]
    /// The peer went away in the middle of the handshake.
    let isEnd: Bool

    /// nil when the error is none of TLS.
    init?(_ error: any Error) {
        let cause: BoringSSLError
        switch error {
        case NIOSSLError.handshakeFailed(let reason), NIOSSLError.shutdownFailed(let reason): cause = reason
        case let error as BoringSSLError: cause = error
        default: return nil
        }
        switch cause {
        case .sslError(let stack), .unknownError(let stack):
            isEnd = stack.contains(.eofDuringHandshake)
            codes = stack.compactMap { Self.code("\($0)") }
        default:
            isEnd = false
            codes = []
        }
    }

    /// `Error: 268435700 error:100000f4:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL at file:line`.
    private static func code(_ text: String) -> String? {
        guard let mark = text.firstRange(of: "OPENSSL_internal:") else { return nil }
        return String(text[mark.upperBound...].prefix { $0 != " " })
    }

    func has(_ parts: String...) -> Bool { parts.contains { part in codes.contains { $0.contains(part) } } }

    /// The peer's certificate did not pass.
    var isDistrust: Bool { has("CERTIFICATE_VERIFY_FAILED") }

    /// The alert that the peer sent, in words; nil when there is none about certificates.
    var refusal: String? {
        guard has("_ALERT_") else { return nil }
        if has("CERTIFICATE_EXPIRED") { return "it says that ours has expired" }
        if has("UNKNOWN_CA") { return "it says that ours is of an authority that it does not know" }
        if has("CERTIFICATE_REQUIRED") { return "it wants one, and we have shown none" }
        if has("CERTIFICATE_REVOKED") { return "it says that ours was revoked" }
        if has("BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "UNSUPPORTED_CERTIFICATE", "ACCESS_DENIED", "DECRYPT_ERROR") {
            return "it does not accept ours"
        }
        return nil
    }

    /// Why a certificate that was shown did not pass, as far as it can be told by looking at it.
    static func flaw(_ certificate: NIOSSLCertificate, authorities: [NIOSSLCertificate]) -> (kind: String, text: String)
    {
        let subject = CertificateText.subject(certificate)
        if certificate.notValidAfter < time(nil) {
            let when = CertificateText.time(certificate.notValidAfter)
            return ("an expired certificate", "its certificate \(subject) expired at \(when)")
        }
        if certificate.notValidBefore > time(nil) {
            let when = CertificateText.time(certificate.notValidBefore)
            return ("a certificate that is not valid yet", "its certificate \(subject) is valid from \(when) only")
        }
        let issuer = certificate.issuerName
        let isOurs = authorities.contains { $0.subjectName == issuer }
        if isOurs, let expired = authorities.first(where: { $0.subjectName == issuer && $0.notValidAfter < time(nil) })
        {
            let when = CertificateText.time(expired.notValidAfter)
            return ("an expired authority", "the authority \(CertificateText.subject(expired)) expired at \(when)")
        }
        if isOurs {
            return (
                "a certificate that is not accepted",
                "its certificate \(subject) was not signed by the authority that it names, or is for another use"
            )
        }
        return (
            "a certificate of another authority",
            "its certificate \(subject) is of another authority, \(CertificateText.issuer(certificate))"
        )
    }
}
