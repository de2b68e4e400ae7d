package import BackupModel
import X509

/// `permafrost tls`: a small certificate authority in a directory, for those who have none.
package struct TLSCommand {
    let directory: AuthorityDirectory
    /// nil: as long as is usual, or as before.
    let days: Int?
    let isForced: Bool
    /// Seconds since 1970.
    let now: Int64
    let say: (String) -> Void
    let warn: (String) -> Void

    static let actions = "init, issue, renew"
    static let authorityDays = 3650
    static let certificateDays = 90

    /// - Parameters:
    ///   - path: the authority's directory.
    ///   - days: how long what is made is valid.
    ///   - isForced: certificates that are still valid are replaced.
    ///   - now: seconds since 1970.
    package init(
        path: String, days: Int?, isForced: Bool, now: Int64, say: @escaping (String) -> Void,
        warn: @escaping (String) -> Void
    ) {
        self.init(
            directory: AuthorityDirectory(path), days: days, isForced: isForced, now: now, say: say, warn: warn)
    }

    init(
        directory: AuthorityDirectory, days: Int? = nil, isForced: Bool = false, now: Int64,
        say: @escaping (String) -> Void, warn: @escaping (String) -> Void
    ) {
        self.directory = directory
        self.days = days
        self.isForced = isForced
        self.now = now
        self.say = say
        self.warn = warn
    }

    /// - Parameter parameters: what to do, and the names to do it for.
    package func run(_ parameters: [String]) throws(BackupError) {
        guard let action = parameters.first else {
            throw BackupError(.parameterRequired, "tls requires what to do", hint: "it is one of \(Self.actions)")
        }
        let words = Array(parameters.dropFirst())
        switch action {
        case "init": try initialize(words)
        case "issue": try issue(words)
        case "renew": try renew(words)
        default:
            throw BackupError(
                .parameterInvalid, "tls cannot '\(printable(action))'", hint: "it is one of \(Self.actions)")
        }
    }

    private func initialize(_ words: [String]) throws(BackupError) {
        guard words.count <= 1 else {
            throw BackupError(
                .parameterInvalid, "tls init takes one name at most", hint: "put a name of several words in quotes")
        }
        let name = words.first ?? "Permafrost CA"
        guard (1...CertificateName.commonNameLimit).contains(name.unicodeScalars.count),
            !name.unicodeScalars.contains(where: isControl)
        else {
            throw BackupError(
                .parameterInvalid, "'\(printable(name))' is not valid as the name of an authority",
                hint: "1 to \(CertificateName.commonNameLimit) characters, none of them a control character")
        }
        let stem = AuthorityDirectory.authorityStem
        try directory.make()
        if let present = try directory.certificate(stem) {
            throw BackupError(
                .fileExists,
                "the authority '\(present.subject.shown)' is there already: '\(directory.certificatePath(stem))'",
                hint:
                    "'permafrost tls issue' makes certificates by it, 'permafrost tls renew ca' prolongs it; to begin "
                    + "anew move '\(stem).crt' and '\(stem).key' away, and issue every certificate again")
        }
        let key = try directory.keyMadeIfMissing(stem)
        let validity = Validity(from: now, days: days ?? Self.authorityDays)
        try directory.save(
            try Authority.certificate(subject: try DistinguishedName(commonName: name), key: key, validity: validity),
            stem)
        say("authority '\(name)', valid until \(Validity.text(validity.notAfter))")
        say("    \(directory.certificatePath(stem))    goes to every host")
        say("    \(directory.keyPath(stem))    signs: it stays here; keep a copy in a safe place")
        say("next, for each host: permafrost tls issue NAME [OTHER NAME OR ADDRESS...]")
    }

    /// The authority, which must be valid now.
    func validAuthority() throws(BackupError) -> Authority {
        let authority = try directory.authority()
        let validity = authority.certificate.validity
        let path = directory.certificatePath(AuthorityDirectory.authorityStem)
        if validity.isOver(at: now) {
            throw BackupError(
                .crypto, "the authority's certificate '\(path)' ended on \(Validity.text(validity.notAfter))",
                hint: "run 'permafrost tls renew ca' and take the new file to every host")
        }
        if now < validity.notBefore {
            throw BackupError(
                .clock,
                "the authority's certificate '\(path)' is valid from \(Validity.text(validity.notBefore)) on, "
                    + "and now is \(Validity.text(now))", hint: "set the clock of this host right")
        }
        if validity.isEnding(at: now) {
            warn(
                "the authority's certificate '\(path)' ends on \(Validity.text(validity.notAfter))\n"
                    + "HINT: run 'permafrost tls renew ca' and take the new file to every host; until then the old one "
                    + "works beside it.")
        }
        return authority
    }

    /// Says when a certificate had to end before its time.
    func warnIfCut(_ name: String, _ validity: Validity, wanted: Int64) {
        guard validity.length < wanted else { return }
        warn(
            "the certificate of '\(name)' ends with that of the authority, on \(Validity.text(validity.notAfter))\n"
                + "HINT: after 'permafrost tls renew ca' give it its time again: 'permafrost tls renew --force "
                + "--tls-days=N \(name)'.")
    }
}
