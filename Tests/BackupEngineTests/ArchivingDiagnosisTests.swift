import BackupModel
import PostgresAccess
import Testing

@testable import BackupEngine

/// What `check` says of a server's settings.
struct ArchivingDiagnosisTests {
    private static func diagnosis(
        _ command: String, mode: String = "on", library: String = "", level: String = "replica", timeout: Int64 = 60
    ) -> ArchivingDiagnosis {
        ArchivingDiagnosis(
            settings: ArchivingSettings(
                archiveMode: mode, archiveCommand: command, archiveLibrary: library, walLevel: level,
                archiveTimeout: timeout),
            stanza: "main", configFile: "/etc/permafrost/permafrost.conf",
            fileExists: { ["/usr/bin/permafrost", "/etc/there.conf", "/opt/text/permafrost"].contains($0) },
            isExecutable: { $0 == "/usr/bin/permafrost" ? true : $0.hasPrefix("/secret") ? nil : false })
    }

    @Test(
        arguments: [
            ("permafrost --stanza=main archive-push %p", nil),
            ("/usr/bin/permafrost --config=/etc/there.conf --stanza main archive-push \"%p\"", nil),
            ("test -f x && '/usr/bin/permafrost' --stanza=main archive-push %p || exit 1", nil),
            ("envdir /etc/env pgbackrest --stanza=main archive-push %p", nil),
            ("/opt/permafrost-push.sh %p", nil),
            ("/secret/permafrost --stanza=main archive-push %p", nil),
            ("", "is empty"), ("  ", "is empty"),
            ("cp %p /archive/%f", "calls neither permafrost nor pgbackrest"),
            ("permafrost --stanza=other archive-push %p", "archives to stanza 'other', not to 'main'"),
            ("permafrost --stanza=main --stanza=other archive-push %p", "archives to stanza 'other'"),
            (
                "/usr/local/bin/permafrost --stanza=main archive-push %p",
                "'/usr/local/bin/permafrost', which does not exist"
            ),
            ("/opt/text/permafrost --stanza=main archive-push %p", "'/opt/text/permafrost', which may not be run"),
            (
                "permafrost --stanza=main --config=/etc/gone.conf archive-push %p",
                "'/etc/gone.conf', which does not exist"
            ),
            ("permafrost --stanza=main backup", "does not call archive-push"),
            ("permafrost --stanza=main archive-push", "does not pass %p"),
            ("permafrost --stanza=main; archive-push %p", "does not call archive-push"),
        ] as [(String, String?)])
    func commands(command: String, reason: String?) {
        let failure = Self.diagnosis(command).failure
        #expect((failure == nil) == (reason == nil), "\(failure?.message ?? "no failure")")
        if let reason, let failure {
            #expect(failure.code == .archiveCommandInvalid)
            #expect(failure.message.contains(reason), "\(failure.message)")
            #expect(failure.hint != nil)
        }
    }

    @Test func settings() {
        let good = "permafrost --stanza=main archive-push %p"
        let off = Self.diagnosis("(disabled)", mode: "off").failure
        #expect(off?.code == .archiveDisabled && off?.message.contains("wal_level") == false)
        let minimal = Self.diagnosis("(disabled)", mode: "off", level: "minimal").failure
        #expect(minimal?.code == .archiveDisabled && minimal?.message.contains("wal_level is minimal") == true)
        #expect(Self.diagnosis(good, mode: "always").failure?.code == .featureNotSupported)
        var always = Self.diagnosis(good, mode: "always")
        always.checksMode = false
        #expect(always.failure == nil)
        let library = Self.diagnosis("", library: "basic_archive").failure
        #expect(library?.code == .archiveCommandInvalid && library?.message.contains("'basic_archive'") == true)
        #expect(Self.diagnosis(good, timeout: 0).notes.count == 1)
        #expect(Self.diagnosis(good).notes.isEmpty)
    }

    @Test(
        arguments: [
            ("permafrost --stanza=main archive-push %p", 0), ("permafrost archive-push %p", 1),
            ("permafrost --config=/etc/there.conf archive-push %p", 2), ("/opt/permafrost.sh %p", 0),
            ("permafrost --config=/etc/permafrost/permafrost.conf --stanza=main archive-push %p", 0),
        ])
    func warnings(command: String, count: Int) { #expect(Self.diagnosis(command).warnings.count == count) }

    @Test(
        arguments: [
            (
                "permafrost --a='b c' d\\ e archive-push \"%p\" && true", "permafrost",
                ["--a=b c", "d e", "archive-push", "%p"]
            ),
            ("false # permafrost archive-push", nil, []),
            ("echo a#b; pgbackrest x;y", "pgbackrest", ["x"]),
            ("'unclosed permafrost", nil, []), ("", nil, []),
        ] as [(String, String?, [String])])
    func lines(text: String, program: String?, arguments: [String]) {
        let line = ArchiveCommandLine(text)
        #expect(line.program == program)
        #expect(line.arguments == arguments)
    }

    @Test(
        arguments: [
            (1000, 1000, 1005, nil), (995, 1000, 1005, nil), (1014, 1000, 1005, nil), (0, 1000, 1005, nil),
            (1065, 1000, 1005, 60), (900, 1000, 1005, -100),
        ] as [(Int64, Int64, Int64, Int64?)])
    func clocks(stored: Int64, start: Int64, end: Int64, skew: Int64?) {
        #expect(ClockSkew.seconds(stored: stored, after: start, before: end) == skew)
    }
}
