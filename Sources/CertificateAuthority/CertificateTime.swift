// swift-certificates gives and takes times in this form alone.
import struct FoundationEssentials.Date
import X509

extension Certificate {
    /// Whole seconds between the years 0 and 9999: a certificate holds no others.
    var validity: Validity {
        Validity(
            notBefore: Int64(notValidBefore.timeIntervalSince1970), notAfter: Int64(notValidAfter.timeIntervalSince1970)
        )
    }

    init(
        publicKey: PublicKey, validity: Validity, issuer: DistinguishedName, subject: DistinguishedName,
        extensions: Extensions, signedBy key: PrivateKey
    ) throws {
        try self.init(
            version: .v3, serialNumber: SerialNumber(), publicKey: publicKey,
            notValidBefore: Date(timeIntervalSince1970: Double(validity.notBefore)),
            notValidAfter: Date(timeIntervalSince1970: Double(validity.notAfter)), issuer: issuer, subject: subject,
            extensions: extensions, issuerPrivateKey: key)
    }
}
