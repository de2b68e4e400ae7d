import BackupModel
import Glibc
import NIOSSL
import RepositoryStorage

/// Reads certificates and keys, and says in words what is wrong with their files.
enum CertificateFiles {
    /// All certificates of a PEM file, at least one.
    static func certificates(_ path: String) throws(BackupError) -> [NIOSSLCertificate] {
        try certificates(try LocalFile.readAll(path, limit: limit), from: "'\(path)'")
    }

    /// - Parameter source: as messages name it.
    static func certificates(_ bytes: [UInt8], from source: String) throws(BackupError) -> [NIOSSLCertificate] {
        let certificates: [NIOSSLCertificate]
        do {
            certificates = try NIOSSLCertificate.fromPEMBytes(bytes)
        } catch {
            throw BackupError(
                .fileInvalid, "unable to read certificates from \(source)",
                hint: "it must hold certificates in PEM form")
        }
        guard !certificates.isEmpty else { throw BackupError(.fileInvalid, "no certificate in \(source)") }
        return certificates
    }

    /// - Throws: when others may read it too: a key of ours must be 0600 or less, one of root's 0640 or less.
    static func key(_ path: String) throws(BackupError) -> NIOSSLPrivateKey {
        try checkMode(path)
        return try key(try LocalFile.readAll(path, limit: limit), from: "'\(path)'")
    }

    /// - Parameter source: as messages name it.
    static func key(_ bytes: [UInt8], from source: String) throws(BackupError) -> NIOSSLPrivateKey {
        do {
            return try NIOSSLPrivateKey(bytes: bytes, format: .pem)
        } catch {
            throw BackupError(
                .fileInvalid, "unable to read a private key from \(source)",
                hint: "it must hold a key in PEM form that has no passphrase")
        }
    }

    /// - Throws: when the certificate of `certificatePath` was made for another key.
    static func check(
        _ certificate: NIOSSLCertificate, _ certificatePath: String, _ key: NIOSSLPrivateKey, _ keyPath: String
    ) throws(BackupError) {
        try check(
            certificate, key, "the key '\(keyPath)' does not fit the certificate '\(certificatePath)'",
            hint: "both files must be of the same issue")
    }

    static func check(
        _ certificate: NIOSSLCertificate, _ key: NIOSSLPrivateKey, _ message: String, hint: String
    ) throws(BackupError) {
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
        tls.certificateVerification = .none
        do {
            _ = try NIOSSLContext(configuration: tls)
        } catch {
            throw BackupError(.fileInvalid, message, hint: hint)
        }
    }

    private static func checkMode(_ path: String) throws(BackupError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw BackupError(
                errno == ENOENT ? .fileMissing : .fileOpen,
                "unable to open '\(path)': \(String(cString: strerror(errno)))")
        }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw BackupError(
                .fileRead, "key file '\(path)' belongs to another user",
                hint: "it must be owned by the user that runs this or by root")
        }
        let forbidden: mode_t = status.st_uid == 0 ? 0o137 : 0o177
        guard status.st_mode & forbidden == 0 else {
            throw BackupError(
                .fileRead, "key file '\(path)' has group or other permissions",
                hint: "it must have mode 0600 or less, or 0640 or less if owned by root")
        }
    }

    private static let limit = 1 << 20
}

/// What certificates say, for people: names come from outside and may hold anything.
enum CertificateText {
    static func commonNames(_ names: [SSLCertificateName]) -> [String] {
        names.filter { $0.type == .commonName }.map(\.value)
    }

    static func subject(_ certificate: NIOSSLCertificate) -> String { name(certificate.subjectName) }
    static func issuer(_ certificate: NIOSSLCertificate) -> String { name(certificate.issuerName) }

    private static func name(_ names: [SSLCertificateName]) -> String {
        let text = commonNames(names).first ?? names.map(\.value).joined(separator: ", ")
        return "'" + String(text.prefix(64).unicodeScalars.map { isPrintable($0) ? Character($0) : "?" }) + "'"
    }

    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
        default: true
        }
    }

    /// `2026-11-21 18:00:00 UTC`.
    static func time(_ time: time_t) -> String {
        var seconds = time
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(Int(parts.tm_year) + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) UTC"
    }
}
