package import BackupModel
import Crypto
import SwiftASN1
import X509

/// A certificate with its key, both as PEM, for those who keep them elsewhere than in files.
package struct IssuedCertificate: Sendable {
    package var certificate: String
    package var key: Secret<String>

    package init(certificate: String, key: Secret<String>) {
        self.certificate = certificate
        self.key = key
    }

    /// A new authority.
    /// - Parameter now: seconds since 1970.
    package static func authority(
        named name: String, now: Int64, days: Int
    ) throws(BackupError) -> IssuedCertificate {
        let key = P256.Signing.PrivateKey()
        let certificate = try Authority.certificate(
            subject: try DistinguishedName(commonName: name), key: Certificate.PrivateKey(key),
            validity: Validity(from: now, days: days))
        return IssuedCertificate(certificate: try pem(certificate), key: Secret(key.pemRepresentation + "\n"))
    }

    /// A certificate for a host, which may be server and client, with a new key; over with the authority at the latest.
    /// - Parameter names: the first is the common name.
    /// - Throws: also when this is no authority, or key and certificate are not each other's.
    package func issue(names: [String], now: Int64, days: Int) throws(BackupError) -> IssuedCertificate {
        let authority = try parsed()
        let list = try CertificateName.list(names)
        guard let first = list.first else { throw BackupError(.parameterRequired, "a certificate needs a name") }
        let key = P256.Signing.PrivateKey()
        let certificate = try authority.issue(
            subject: try DistinguishedName(commonName: first.text), names: SubjectAlternativeNames(list),
            publicKey: Certificate.PrivateKey(key).publicKey,
            validity: Validity(from: now, days: days).within(authority.certificate.validity))
        return IssuedCertificate(certificate: try Self.pem(certificate), key: Secret(key.pemRepresentation + "\n"))
    }

    /// From when to when a certificate, the first of a PEM text, is valid; nil for what is none.
    package static func validity(_ pem: String) -> Validity? { (try? Certificate(pemEncoded: pem))?.validity }

    /// Whether a certificate, as PEM, has all of these names and was signed by this authority.
    package func hasIssued(_ pem: String, names: [String]) -> Bool {
        guard let authority = try? parsed(), let other = try? Certificate(pemEncoded: pem),
            let present = try? other.names, let wanted = try? CertificateName.list(names)
        else { return false }
        let written = SubjectAlternativeNames(wanted)
        return authority.hasSigned(other) && written.allSatisfy { name in present.contains(name) }
    }

    private func parsed() throws(BackupError) -> Authority {
        do {
            let authority = Authority(
                certificate: try Certificate(pemEncoded: certificate),
                key: try Certificate.PrivateKey(pemEncoded: key.revealed))
            guard authority.certificate.publicKey == authority.key.publicKey, authority.certificate.isAuthority else {
                throw BackupError(.fileInvalid, "")
            }
            return authority
        } catch {
            // What was wrong is not told, since that could show a part of the key.
            throw BackupError(.fileInvalid, "the authority's certificate and key cannot be used")
        }
    }

    private static func pem(_ certificate: Certificate) throws(BackupError) -> String {
        do {
            return try certificate.serializeAsPEM().pemString + "\n"
        } catch {
            throw BackupError(.crypto, "unable to write the certificate as PEM: \(error)")
        }
    }
}
