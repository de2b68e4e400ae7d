import BackupModel
import Glibc
import NIOCore
import NIOSSL

/// The certificates of a server, read and checked, as new connections use them.
struct ServerTLS: Sendable {
    let context: NIOSSLContext
    let authorities: [NIOSSLCertificate]
    /// What is wrong with our own certificate, though it can be used.
    let warning: String?
    /// When our own certificate ends, in seconds since 1970.
    let end: Int64

    /// - Parameter farewell: how long a peer may take to say goodbye.
    init(_ files: ServerCertificates, farewell: Duration) throws(BackupError) {
        let chain = try CertificateFiles.certificates(files.certificateFile)
        let key = try CertificateFiles.key(files.keyFile)
        try CertificateFiles.check(chain[0], files.certificateFile, key, files.keyFile)
        authorities = try CertificateFiles.certificates(files.caFile)
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        tls.minimumTLSVersion = .tlsv13
        tls.certificateVerification = .noHostnameVerification
        tls.trustRoots = .certificates(authorities)
        tls.sendCANameList = true
        tls.applicationProtocols = ["http/1.1"]
        tls.shutdownTimeout = TimeAmount(farewell)
        do {
            context = try NIOSSLContext(configuration: tls)
        } catch {
            throw BackupError(
                .crypto, "unable to use the certificates of '\(files.certificateFile)' and '\(files.caFile)': \(error)")
        }
        end = Int64(chain[0].notValidAfter)
        let expired = chain[0].notValidAfter < time(nil)
        warning =
            expired
            ? "the certificate '\(files.certificateFile)' expired at \(CertificateText.time(chain[0].notValidAfter))"
            : nil
    }
}
