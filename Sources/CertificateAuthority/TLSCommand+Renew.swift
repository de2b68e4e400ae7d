import BackupModel
import X509

extension TLSCommand {
    /// Certificates are renewed by their own: same names, same key, same length of life. So one file changes, by a
    /// rename, and what runs meanwhile works with the old one or the new one. The key itself is not needed.
    func renew(_ words: [String]) throws(BackupError) {
        let names = try words.map { (word) throws(BackupError) in try CertificateName(word).text }
        if names.contains(AuthorityDirectory.authorityStem) {
            try renewAuthority()
            if names.count == 1 { return }
        }
        let authority = try validAuthority()
        let stems = names.isEmpty ? try directory.stems() : names.filter { $0 != AuthorityDirectory.authorityStem }
        var kept: [Int64] = []
        var failures: [(stem: String, error: BackupError)] = []
        for stem in stems {
            do throws(BackupError) {
                if let due = try renew(stem, authority, isNamed: !names.isEmpty) { kept.append(due) }
            } catch {
                // The others are renewed all the same.
                failures.append((stem, error))
            }
        }
        if let next = kept.min() {
            let count = kept.count == 1 ? "1 certificate needs" : "\(kept.count) certificates need"
            say("\(count) no renewal before \(Validity.text(next))")
        } else if stems.isEmpty {
            say("there are no certificates in '\(directory.path)'")
        }
        guard let first = failures.first else { return }
        if failures.count == 1 { throw first.error }
        for failure in failures { warn("'\(printable(failure.stem))' is not renewed: \(failure.error)") }
        throw BackupError(
            first.error.code, "\(failures.count) of \(stems.count) certificates could not be renewed",
            hint: "the reasons are above")
    }

    /// - Returns: from when on it is to be renewed, when that is not now; nil when it was renewed or is not ours.
    private func renew(_ stem: String, _ authority: Authority, isNamed: Bool) throws(BackupError) -> Int64? {
        let path = directory.certificatePath(stem)
        guard let present = try directory.certificate(stem) else {
            throw BackupError(
                .fileMissing, "there is no certificate '\(path)'", hint: "'permafrost tls issue \(stem)' makes one")
        }
        guard authority.hasSigned(present), !present.isAuthority else {
            let why = "'\(path)' was not issued by this authority, but by '\(present.issuer.shown)'"
            guard isNamed else {
                say("\(why): left as it is")
                return nil
            }
            throw BackupError(.fileInvalid, why, hint: "who issued it must renew it")
        }
        guard isForced || present.validity.isDue(at: now) else { return present.validity.dueTime }
        if let key = try directory.key(stem), key.publicKey != present.publicKey {
            throw BackupError(
                .fileInvalid, "'\(directory.keyPath(stem))' is not the key of '\(path)'",
                hint: "restore the key, or issue a certificate for this one: 'permafrost tls issue --force \(stem)'")
        }
        let names: SubjectAlternativeNames
        do {
            names = try present.names
        } catch {
            throw BackupError(.fileInvalid, "the names in '\(path)' cannot be read: \(error)")
        }
        let wanted = days.map { Validity(from: now, days: $0) } ?? present.validity.renewed(at: now)
        let validity = wanted.within(authority.certificate.validity)
        try directory.save(
            try authority.issue(
                subject: present.subject, names: names, publicKey: present.publicKey, validity: validity), stem)
        warnIfCut(stem, validity, wanted: wanted.length)
        say("renewed '\(path)' for \(names.shown), valid until \(Validity.text(validity.notAfter))")
        return nil
    }

    /// By the same key: certificates that it signed before are valid under the new one too, and those that it signs from
    /// now on under the old one, for as long as that lasts.
    private func renewAuthority() throws(BackupError) {
        let stem = AuthorityDirectory.authorityStem
        let path = directory.certificatePath(stem)
        let present = try directory.authority()
        let old = present.certificate.validity
        guard present.hasSigned(present.certificate) else {
            throw BackupError(
                .fileInvalid, "'\(path)' was issued by '\(present.certificate.issuer.shown)'",
                hint: "who issued it must renew it")
        }
        guard isForced || old.isDue(at: now) else {
            say("'\(path)' needs no renewal before \(Validity.text(old.dueTime))")
            return
        }
        let validity = days.map { Validity(from: now, days: $0) } ?? old.renewed(at: now)
        try directory.save(
            try Authority.certificate(
                subject: present.certificate.subject, key: present.key, validity: validity), stem)
        say("renewed '\(path)', valid until \(Validity.text(validity.notAfter))")
        say("take it to every host before \(Validity.text(old.notAfter)), when the old one ends")
    }
}
