import BackupModel
import SwiftASN1
import X509

/// A certificate that signs others, with its key.
struct Authority {
    let certificate: Certificate
    let key: Certificate.PrivateKey

    /// A certificate that signs itself, and others for hosts and clients, but no other authority.
    static func certificate(
        subject: DistinguishedName, key: Certificate.PrivateKey, validity: Validity
    ) throws(BackupError) -> Certificate {
        try signing {
            let identifier = SubjectKeyIdentifier(hash: key.publicKey)
            return try Certificate(
                publicKey: key.publicKey, validity: validity, issuer: subject, subject: subject,
                extensions: Certificate.Extensions {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                    Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                    identifier
                    AuthorityKeyIdentifier(keyIdentifier: identifier.keyIdentifier)
                }, signedBy: key)
        }
    }

    /// A certificate for a host, which may be server and client: a database host is both.
    func issue(
        subject: DistinguishedName, names: SubjectAlternativeNames, publicKey: Certificate.PublicKey,
        validity: Validity
    ) throws(BackupError) -> Certificate {
        try Self.signing {
            try Certificate(
                publicKey: publicKey, validity: validity, issuer: certificate.subject, subject: subject,
                extensions: Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    try ExtendedKeyUsage([.serverAuth, .clientAuth])
                    if !names.isEmpty { names }
                    SubjectKeyIdentifier(hash: publicKey)
                    // Not by serial number: that changes when the authority is renewed.
                    AuthorityKeyIdentifier(keyIdentifier: try keyIdentifier)
                }, signedBy: key)
        }
    }

    /// Whether `other` was made by this authority, or by the one that it is the renewal of.
    func hasSigned(_ other: Certificate) -> Bool {
        other.issuer == certificate.subject && certificate.publicKey.isValidSignature(other.signature, for: other)
    }

    private var keyIdentifier: ArraySlice<UInt8> {
        get throws {
            try certificate.extensions.subjectKeyIdentifier?.keyIdentifier
                ?? SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier
        }
    }

    private static func signing(_ body: () throws -> Certificate) throws(BackupError) -> Certificate {
        do {
            return try body()
        } catch {
            throw BackupError(.crypto, "unable to sign the certificate: \(error)")
        }
    }
}

extension DistinguishedName {
    init(commonName: String) throws(BackupError) {
        do {
            try self.init { CommonName(commonName) }
        } catch {
            throw BackupError(.crypto, "unable to write '\(printable(commonName))' into a certificate: \(error)")
        }
    }

    /// Its first common name; all of it where there is none. For messages.
    var shown: String {
        for attribute in lazy.flatMap({ $0 }) where attribute.type == .RDNAttributeType.commonName {
            if let text = String(attribute.value) { return printable(text) }
        }
        return printable(description)
    }
}

extension Certificate {
    /// Whether it says of itself that it may sign others.
    var isAuthority: Bool {
        guard let constraints = try? extensions.basicConstraints, case .isCertificateAuthority = constraints else {
            return false
        }
        return true
    }

    /// Throws when the extension is there and unreadable.
    var names: SubjectAlternativeNames {
        get throws { try extensions.subjectAlternativeNames ?? SubjectAlternativeNames() }
    }
}

extension SubjectAlternativeNames {
    init(_ names: [CertificateName]) {
        self.init(
            names.map { name in
                switch name {
                case .dns(let text): GeneralName.dnsName(text)
                case .address(let bytes): GeneralName.ipAddress(ASN1OctetString(contentBytes: bytes[...]))
                }
            })
    }

    var shown: String {
        map { name in
            switch name {
            case .dnsName(let text): printable(text)
            case .ipAddress(let octets) where [4, 16].contains(octets.bytes.count):
                CertificateName.address(Array(octets.bytes)).text
            default: printable("\(name)")
            }
        }.joined(separator: ", ")
    }
}
