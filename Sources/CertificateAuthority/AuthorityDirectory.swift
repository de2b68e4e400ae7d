import BackupModel
import Crypto
import RepositoryStorage
import SwiftASN1
import X509

/// The files of an authority: `ca.crt` and `ca.key`, and `NAME.crt` and `NAME.key` for each certificate that it gave.
///
/// A key is made only where there is neither it nor a certificate, and never changes; a certificate is written for the
/// key that is there, and changes by one rename. So whoever reads, or crashes, at any moment finds no certificate or
/// one that fits its key.
struct AuthorityDirectory {
    let path: String
    /// Path, bytes, mode; with `true` it throws `.fileExists` where the file is there.
    let write: (String, [UInt8], UInt32, Bool) throws(BackupError) -> Void

    static let authorityStem = "ca"
    private static let certificateSuffix = ".crt"
    /// Files are this large at most; whole bundles of public authorities are smaller.
    private static let sizeLimit = 1 << 20

    init(
        _ path: String,
        write: @escaping (String, [UInt8], UInt32, Bool) throws(BackupError) -> Void = {
            (path, bytes, mode, isNew) throws(BackupError) in
            try LocalFile.writeDurably(path, bytes, mode: mode, isNew: isNew)
        }
    ) {
        self.path = path
        self.write = write
    }

    func certificatePath(_ stem: String) -> String { "\(path)/\(stem)\(Self.certificateSuffix)" }
    func keyPath(_ stem: String) -> String { "\(path)/\(stem).key" }

    func make() throws(BackupError) { try LocalFile.makeDirectories(path, mode: 0o755) }

    /// The certificates that are here, the authority's own left out, by name.
    func stems() throws(BackupError) -> [String] {
        try LocalFile.names(in: path).filter { $0.hasSuffix(Self.certificateSuffix) }
            .map { String($0.dropLast(Self.certificateSuffix.utf8.count)) }
            .filter { $0 != Self.authorityStem && !$0.isEmpty }
    }

    /// The first certificate of `NAME.crt`; nil when there is no such file.
    func certificate(_ stem: String) throws(BackupError) -> Certificate? {
        let path = certificatePath(stem)
        guard let text = try text(path) else { return nil }
        do {
            let document = try PEMDocument.parseMultiple(pemString: text).first {
                $0.discriminator == Certificate.defaultPEMDiscriminator
            }
            if let document { return try Certificate(pemDocument: document) }
        } catch {}
        throw BackupError(
            .fileInvalid, "'\(path)' has no certificate in PEM form", hint: "restore the file or move it away")
    }

    /// The key in `NAME.key`; nil when there is no such file.
    func key(_ stem: String) throws(BackupError) -> Certificate.PrivateKey? {
        let path = keyPath(stem)
        guard let text = try text(path) else { return nil }
        do {
            // OpenSSL may write a block of parameters before it.
            let document = try PEMDocument.parseMultiple(pemString: text).first {
                $0.discriminator.hasSuffix("PRIVATE KEY")
            }
            if let document { return try Certificate.PrivateKey(pemDocument: document) }
        } catch {}
        // What was wrong is not told, since that could show a part of the key.
        throw BackupError(
            .fileInvalid, "'\(path)' has no private key in PEM form that could be read",
            hint: "it must be without passphrase, of type EC, RSA or Ed25519; restore the file or move it away")
    }

    /// The key in `NAME.key`, made when there is none: an earlier run may have ended before it wrote the certificate.
    func keyMadeIfMissing(_ stem: String) throws(BackupError) -> Certificate.PrivateKey {
        if let key = try key(stem) { return key }
        let made = P256.Signing.PrivateKey()
        do throws(BackupError) {
            try write(keyPath(stem), Array((made.pemRepresentation + "\n").utf8), 0o600, true)
        } catch {
            // Another run was faster; its certificate is for its key.
            if error.code == .fileExists, let key = try key(stem) { return key }
            throw error
        }
        return Certificate.PrivateKey(made)
    }

    func save(_ certificate: Certificate, _ stem: String) throws(BackupError) {
        let text: String
        do {
            text = try certificate.serializeAsPEM().pemString
        } catch {
            throw BackupError(.crypto, "unable to write the certificate as PEM: \(error)")
        }
        try write(certificatePath(stem), Array((text + "\n").utf8), 0o644, false)
    }

    /// Certificate and key of the authority, which must fit; whether it is valid now is for the caller to ask.
    func authority() throws(BackupError) -> Authority {
        let stem = Self.authorityStem
        guard let certificate = try certificate(stem) else {
            throw BackupError(
                .fileMissing, "there is no authority: '\(certificatePath(stem))' is missing",
                hint: "'permafrost tls init' makes one; --tls-path names the directory of one that is elsewhere")
        }
        guard let key = try key(stem) else {
            throw BackupError(
                .fileMissing, "the authority's key '\(keyPath(stem))' is missing",
                hint: "certificates are issued and renewed on the host where 'tls init' was run")
        }
        guard certificate.publicKey == key.publicKey else {
            throw BackupError(
                .fileInvalid, "'\(keyPath(stem))' is not the key of '\(certificatePath(stem))'",
                hint: "restore the two files of one authority")
        }
        guard certificate.isAuthority else {
            throw BackupError(
                .fileInvalid, "'\(certificatePath(stem))' is not the certificate of an authority",
                hint: "it must say CA:TRUE, as those of 'permafrost tls init' do")
        }
        return Authority(certificate: certificate, key: key)
    }

    private func text(_ path: String) throws(BackupError) -> String? {
        do throws(BackupError) {
            return String(decoding: try LocalFile.readAll(path, limit: Self.sizeLimit), as: UTF8.self)
        } catch {
            if error.code == .fileMissing { return nil }
            throw error
        }
    }
}
