import BackupModel
import X509

extension TLSCommand {
    func issue(_ words: [String]) throws(BackupError) {
        let names = try CertificateName.list(words)
        guard let stem = names.first?.text else {
            throw BackupError(
                .parameterRequired, "tls issue requires a name",
                hint: "first the name by which tls-server-auth knows the host, then others and addresses of it")
        }
        let authority = try validAuthority()
        try requireReplaceable(stem, authority)
        let key = try directory.keyMadeIfMissing(stem)
        let wanted = Validity(from: now, days: days ?? Self.certificateDays)
        let validity = wanted.within(authority.certificate.validity)
        let alternatives = SubjectAlternativeNames(names)
        try directory.save(
            try authority.issue(
                subject: try DistinguishedName(commonName: stem), names: alternatives, publicKey: key.publicKey,
                validity: validity), stem)
        warnIfCut(stem, validity, wanted: wanted.length)
        let authorityPath = directory.certificatePath(AuthorityDirectory.authorityStem)
        say("certificate for \(alternatives.shown), valid until \(Validity.text(validity.notAfter))")
        say("    \(directory.certificatePath(stem))")
        say("    \(directory.keyPath(stem))    for the user alone who runs permafrost on that host")
        say("configuration of that host (as a client: repo1-host-ca-file, repo1-host-cert-file, repo1-host-key-file):")
        say("    tls-server-ca-file=\(authorityPath)")
        say("    tls-server-cert-file=\(directory.certificatePath(stem))")
        say("    tls-server-key-file=\(directory.keyPath(stem))")
        say("and of those that it may ask for something:")
        say("    tls-server-auth=\(stem)=STANZA")
    }

    /// A certificate that is there gives way when it is ours and over, or by force; its key is kept.
    private func requireReplaceable(_ stem: String, _ authority: Authority) throws(BackupError) {
        let path = directory.certificatePath(stem)
        let present: Certificate?
        do throws(BackupError) {
            guard let certificate = try directory.certificate(stem) else { return }
            present = certificate
        } catch {
            // One that cannot be read.
            guard isForced, error.code == .fileInvalid else { throw error }
            present = nil
        }
        if let present, !isForced {
            guard authority.hasSigned(present) else {
                throw BackupError(
                    .fileExists, "'\(path)' is there already, issued by '\(present.issuer.shown)'",
                    hint: "move it away, or replace it by --force")
            }
            guard present.validity.isOver(at: now) else {
                throw BackupError(
                    .fileExists,
                    "'\(path)' is there already, valid until \(Validity.text(present.validity.notAfter))",
                    hint: "'permafrost tls renew' prolongs it; --force replaces it, by one with other names perhaps")
            }
        }
        // Never a new key beside an old certificate: a crash would leave two that do not fit.
        guard try directory.key(stem) != nil else {
            throw BackupError(
                .fileExists, "'\(path)' is there already, without its key '\(directory.keyPath(stem))'",
                hint: "'permafrost tls renew' needs no key; for a new key move the certificate away first")
        }
    }
}
