import BackupModel
import CLinux
import CertificateAuthority
import Glibc

/// `tls` from its options: it works on no repository, so there is no log and no lock, and root may run it.
enum CertificateComposition {
    static func run(_ configuration: Configuration) throws(BackupError) {
        for warning in configuration.warnings { warn(warning) }
        // It would hold keys.
        if linux_disable_core_dumps() != 0 { warn("core dumps cannot be switched off: one would hold private keys") }
        guard let path = configuration.string(.tlsPath) else {
            throw BackupError(.optionRequired, "tls command requires option: tls-path")
        }
        try TLSCommand(
            path: path, days: configuration.integer(.tlsDays), isForced: configuration.bool(.force),
            now: Int64(time(nil)), say: { print($0) }, warn: warn
        ).run(configuration.parameters)
    }

    private static func warn(_ text: String) {
        let bytes = Array("WARN: \(text.split(separator: "\n").joined(separator: "\n      "))\n".utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }
}
