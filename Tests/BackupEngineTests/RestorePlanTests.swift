import BackupEngine
import BackupModel
import Checksums
import Foundation
import PostgresFormats
import RepositoryFormats
import Testing

struct BackupSetSelectionTests {
    /// Stop times 100, 200, 300; last LSNs 0/1000, 0/2000, 1/0; the first of an older database.
    private func info() throws -> BackupInfo {
        var entries: [BackupInfoEntry] = []
        let facts: [(String, Int64, String, Int)] = [
            ("20260101-000000F", 100, "0/1000", 1), ("20260102-000000F", 200, "0/2000", 2),
            ("20260102-000000F_20260103-000000I", 300, "1/0", 2),
        ]
        for (label, stop, lsn, database) in facts {
            var entry = BackupInfoEntry(try RestoreFixture.emptyManifest(label: label))
            entry.timestampStop = stop
            entry.lsnStop = lsn
            entry.databaseID = database
            entries.append(entry)
        }
        return BackupInfo(
            currentID: 2, history: [try RestoreFixture.database(), try RestoreFixture.database(id: 2)],
            backups: entries)
    }

    @Test(
        arguments: [
            (RestoreType.default, nil, 2), (.immediate, nil, 2), (.xid, "55", 2), (.name, "before", 2),
            (.time, "1970-01-01 00:05:01+00", 2), (.time, "1970-01-01 00:05:00+00", 1),
            (.time, "1970-01-01 00:03:20+00", 0), (.time, "1970-01-01 00:01:40+00", nil),
            (.lsn, "1/0", 2), (.lsn, "0/FFFFFFFF", 1), (.lsn, "0/2000", 1), (.lsn, "0/1FFF", nil),
        ] as [(RestoreType, String?, Int?)])
    func choosesByTarget(_ type: RestoreType, _ target: String?, _ expected: Int?) throws {
        let info = try info()
        var options = RestoreOptions(stanza: "main", dataDirectory: "/pg")
        options.type = type
        options.target = target
        let chosen = try BackupSetSelection(options).choose(from: info)
        #expect(chosen?.label == expected.map { info.backups[$0].label })
    }

    @Test func choosesByName() throws {
        let info = try info()
        #expect(try BackupSetSelection.named("20260102-000000F").choose(from: info) == info.backups[1])
        #expect(try BackupSetSelection.named("20260102-000001F").choose(from: info) == nil)
    }

    @Test func passesOverWhatTheTimelineDoesNotDescendFrom() throws {
        let info = try info()
        let chosen = try BackupSetSelection.latest.choose(from: info) { $0.label.hasSuffix("F") }
        #expect(chosen == info.backups[1])
    }

    @Test func refusesTheNewestOfAnotherDatabase() throws {
        var info = try info()
        info.currentID = 1
        #expect(throws: BackupError.self) { try BackupSetSelection.latest.choose(from: info) }
    }

    @Test func namesTheOldest() throws {
        let error = BackupSetSelection.stoppedBefore(50).failure(oldest: (1, try info().backups[0]))
        #expect(error.code == .backupSetInvalid)
        #expect(error.message.contains("20260101-000000F"))
    }

    @Test(
        arguments: [
            ("2026-11-21 03:40:00+00", 1_795_232_400), ("2026-11-21 03:40:00.999999+00", 1_795_232_400),
            ("2026-11-21 03:40:00Z", 1_795_232_400), ("2026-11-21 05:40:00+02", 1_795_232_400),
            ("2026-11-20 22:10:00-0530", 1_795_232_400), ("2026-11-21T09:25:00,5+05:45", 1_795_232_400),
            ("2024-02-29 00:00:00+00", 1_709_164_800), ("1970-01-01 00:00:00+00", 0),
        ] as [(String, Int64)])
    func parsesTimes(_ text: String, _ seconds: Int64) throws { #expect(try TargetTime.parse(text) == seconds) }

    @Test(
        arguments: [
            ("2026-11-21 03:40:00+00", 0), ("2026-11-21 03:40:00.5Z", 500_000), ("2026-11-21 05:40:00,000001+02", 1),
            ("2026-11-21 03:40:00.123456+00", 123_456), ("2026-11-21 03:40:00.1234560+00", 123_456),
            ("2026-11-21 03:40:00.9999991+00", 1_000_000),
        ] as [(String, Int64)])
    func parsesFractions(_ text: String, _ fraction: Int64) throws {
        #expect(try TargetTime.microseconds(text) == 1_795_232_400_000_000 + fraction)
    }

    @Test(arguments: [
        "", "2026-11-21", "2026-11-21 03:40", "2026-13-01 00:00:00", "2026-02-29 00:00:00+00", "2026-11-21 24:00:00",
        "2026-11-21 03:40:00.", "2026-11-21 03:40:00+0", "2026-11-21 03:40:00+2x", "2026-11-21 03:40:00 CET",
        "yesterday", "2026-11-21 03:40:00+00 ", "2026-11-21 03:60:00", "2026-11-31 00:00:00",
    ])
    func refusesTimes(_ text: String) {
        #expect { try TargetTime.parse(text) } throws: { ($0 as? BackupError)?.code == .format }
    }
}

struct RecoverySettingsTests {
    private func settings(
        _ version: String, _ type: RestoreType, _ change: (inout RestoreOptions) -> Void = { _ in }
    ) throws -> RecoverySettings {
        var options = RestoreOptions(stanza: "main", dataDirectory: "/pg")
        options.restoreCommand = "get"
        options.type = type
        change(&options)
        return try RecoverySettings(options, version: try #require(PostgresVersion(version)))
    }

    @Test(arguments: ["9.6", "10", "11", "12", "13", "14", "15", "16", "17", "18"], RestoreType.allCases)
    func followsVersionAndType(_ version: String, _ type: RestoreType) throws {
        let result = try settings(version, type) {
            if [.time, .lsn, .xid, .name].contains(type) {
                $0.target = "T"
                $0.targetExclusive = type != .name
            }
        }
        let isOld = ["9.6", "10", "11"].contains(version)
        let settings = result.settings.map { "\($0.name)=\($0.value)" }
        switch type {
        case .preserve:
            #expect(result.file == nil && settings.isEmpty)
            return
        case .none: #expect(settings == [])
        case .default: #expect(settings == ["restore_command=get"])
        case .standby: #expect(settings == ["restore_command=get"] + (isOld ? ["standby_mode=on"] : []))
        case .immediate:
            #expect(
                settings == ["restore_command=get", "recovery_target=immediate"]
                    + (isOld ? [] : ["recovery_target_timeline=current"]))
        case .name: #expect(settings == ["restore_command=get", "recovery_target_name=T"])
        case .time, .lsn, .xid:
            #expect(
                settings == [
                    "restore_command=get", "recovery_target_\(type.rawValue)=T", "recovery_target_inclusive=false",
                ])
        }
        #expect(result.file == (isOld ? .recoveryConf : .autoConf))
        let signal = type == .none ? nil : type == .standby ? "standby.signal" : "recovery.signal"
        #expect(result.signalFile == (isOld ? nil : signal))
    }

    @Test func addsActionTimelineAndOptions() throws {
        func change(_ options: inout RestoreOptions) {
            options.target = "T"
            options.targetAction = "promote"
            options.targetTimeline = "current"
            options.recoveryOptions = [("primary-conninfo", "host=h"), ("restore-command", "mine")]
        }
        let common = ["primary_conninfo", "restore_command", "recovery_target_time", "recovery_target_action"]
        #expect(try settings("11", .time, change).settings.map(\.name) == common)
        #expect(try settings("15", .time, change).settings.map(\.name) == common + ["recovery_target_timeline"])
    }

    @Test func turnsArchivingOff() throws {
        #expect(throws: BackupError.self) { try settings("11", .default) { $0.disablesArchiveMode = true } }
        let result = try settings("12", .none) { $0.disablesArchiveMode = true }
        #expect(result.settings.map(\.name) == ["archive_mode"])
    }

    @Test(arguments: [
        ("plain", "'plain'"), ("it's", "'it''s'"), ("a\\b", "'a\\\\b'"), ("two\nlines", "'two\\nlines'"), ("", "''"),
    ])
    func quotes(_ value: String, _ expected: String) { #expect(RecoverySettings.quoted(value) == expected) }

    @Test func rewritesTheConfiguration() throws {
        let present = "work_mem = '4MB'\nrecovery_target_xid = '5'\n\t Recovery_Target_Time='x'\nshared_buffers=1"
        let text = try settings("15", .name) { $0.target = "it's" }.autoConf(rewriting: present, time: "NOW")
        #expect(
            text == """
                work_mem = '4MB'
                # Removed by Permafrost restore on NOW # recovery_target_xid = '5'
                # Removed by Permafrost restore on NOW # \t Recovery_Target_Time='x'
                shared_buffers=1

                # Recovery settings generated by Permafrost restore on NOW
                restore_command = 'get'
                recovery_target_name = 'it''s'

                """)
        #expect(try settings("9.6", .none).recoveryConf(time: "NOW") == nil)
    }

    /// Words are quoted once, for the shell that PostgreSQL starts, and `%` is doubled once, for PostgreSQL.
    @Test func buildsTheRestoreCommand() throws {
        let configuration = try Configuration.parse(arguments: [
            "--stanza=it's", "--pg1-path=/a b", "--config-path=/100%", "--target=$x", "--type=name", "restore",
        ])
        #expect(
            RestoreCommandText.text(
                program: "/usr/bin/it's permafrost",
                arguments: configuration.arguments(for: .archiveGet) + ["--repo1-s3-key=<redacted>"])
                == "'/usr/bin/it'\\''s permafrost' --config-path=/100%% --pg1-path=\"/a b\" --stanza=\"it's\" "
                + "archive-get %f \"%p\"")
    }
}

struct RestorePlanTests {
    private func manifest(_ change: (inout Manifest) -> Void = { _ in }) throws -> Manifest {
        var manifest = try RestoreFixture.emptyManifest()
        manifest.references = ["20261120-000000F", RestoreFixture.label]
        manifest.paths.append(ManifestPath(name: "pg_data", mode: 0o700, user: "postgres", group: nil))
        manifest.paths.append(ManifestPath(name: "pg_data/pg_wal", mode: 0o700, user: "postgres", group: nil))
        let files: [(String, UInt64, UInt64, UInt64, Int?)] = [
            ("pg_data/global/pg_control", 8192, 0, 0, nil), ("pg_data/a", 10, 1, 20, nil), ("pg_data/b", 20, 1, 0, nil),
            ("pg_data/c", 5, 1, 0, 0), ("pg_data/d", 1000, 0, 0, nil), ("pg_data/empty", 0, 0, 0, nil),
            ("pg_data/tablespace_map", 3, 0, 0, nil),
        ]
        for (name, size, bundle, offset, reference) in files {
            var file = ManifestFile(name: name, size: size, timestamp: 1, mode: 0o600, user: "postgres", group: nil)
            file.checksum = SHA1.hash([UInt8](name.utf8).span.bytes)
            file.bundleID = bundle
            file.bundleOffset = offset
            file.reference = reference
            manifest.files.append(file)
        }
        manifest.files.sort()
        change(&manifest)
        return manifest
    }

    private let options = RestoreOptions(stanza: "main", dataDirectory: "/pg")

    @Test func ordersJobs() throws {
        let plan = try RestorePlan(try manifest(), options)
        let names = plan.jobs.map { job in
            plan.order[job.files].map { String(plan.manifest.files.name(Int($0)).dropFirst("pg_data/".count)) }
        }
        #expect(names == [["d"], ["b", "a"], ["c"], ["empty"]])
        #expect(plan.jobs.map(\.isBundle) == [false, true, true, false])
        #expect(plan.hasUnnamedOwners && plan.users == ["postgres"])
        let row = try #require(plan.manifest.files.index(of: "pg_data/c"))
        #expect(
            plan.manifest.object(of: plan.manifest.files[row], stanza: "main")
                == "backup/main/20261120-000000F/bundle/1")
    }

    @Test(arguments: ["../x", "pg_data/../x", "/etc/passwd", "other/x"])
    func refusesNamesOutside(_ name: String) throws {
        let manifest = try manifest {
            var file = ManifestFile(name: name, size: 0, timestamp: 1, mode: 0o600, user: nil, group: nil)
            file.checksum = .ofNothing
            $0.files.append(file)
            $0.files.sort()
        }
        #expect { try RestorePlan(manifest, options) } throws: { ($0 as? BackupError)?.code == .format }
    }

    @Test func mapsLinksThatWereNone() throws {
        var options = options
        options.linkMap = ["pg_wal": "/wal", "d": "../conf/d.conf"]
        let plan = try RestorePlan(try manifest(), options)
        #expect(plan.manifest.links.map(\.destination) == ["../conf/d.conf", "/wal"])
        #expect(plan.roots.map(\.path) == ["/pg", "/conf/d.conf", "/wal"])
        #expect(plan.roots.map(\.isFile) == [false, true, false])
    }

    @Test(
        arguments: [
            (["nothing": "/x"], [:], ErrorCode.linkMap), (["pg_wal": "/pg/inside"], [:], .linkDestination),
            (["d": "/pg/d2"], [:], .linkDestination), ([:], ["ts": "/x"], .tablespaceMap),
            (["pg_tblspc/1": "/x"], [:], .linkMap),
        ] as [([String: String], [String: String], ErrorCode)])
    func refusesMaps(_ links: [String: String], _ tablespaces: [String: String], _ code: ErrorCode) throws {
        var options = options
        options.linkMap = links
        options.tablespaceMap = tablespaces
        let manifest = try manifest()
        #expect { try RestorePlan(manifest, options) } throws: { ($0 as? BackupError)?.code == code }
    }

    @Test func preservesRecoveryFiles() throws {
        var options = options
        options.type = .preserve
        options.isTypeGiven = true
        let plan = try RestorePlan(try manifest(), options)
        #expect(plan.preserved == ["postgresql.auto.conf", "recovery.signal", "standby.signal"])
    }

    @Test func offlineBackupsDoNotRecover() throws {
        let plan = try RestorePlan(try manifest { $0.options.online = false }, options)
        #expect(plan.recovery.signalFile == nil && plan.recovery.settings.isEmpty)
    }
}

struct RestoreTimelineTests {
    @Test(
        arguments: [
            (nil, "15", .latest), (nil, "11", .current), ("current", "15", .current), ("latest", "11", .latest),
            ("17", "15", .number(17)), ("0x11", "15", .number(17)), ("0", "15", nil), ("x", "15", nil),
            ("-1", "15", nil),
        ] as [(String?, String, RestoreTimeline?)])
    func reads(_ text: String?, _ version: String, _ expected: RestoreTimeline?) throws {
        var options = RestoreOptions(stanza: "main", dataDirectory: "/pg")
        options.targetTimeline = text
        let version = try #require(PostgresVersion(version))
        guard let expected else {
            #expect(throws: BackupError.self) { try RestoreTimeline(options, version: version) }
            return
        }
        #expect(try RestoreTimeline(options, version: version) == expected)
    }

    @Test func findsTheNewest() {
        #expect(RestoreTimeline.newest(among: ["00000002.history", "0000000A.history", "0000000100000000"]) == 10)
        #expect(RestoreTimeline.newest(among: []) == nil)
    }

    @Test(arguments: [("0/3000000", true), ("0/2000100", true), ("0/2000000", false)])
    func refusesATimelineThatForkedBefore(_ fork: String, _ isReachable: Bool) async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        fixture.manifest.options.online = true
        fixture.content["pg_data/global/pg_control"] = try control()
        try await fixture.store()
        try await fixture.put("archive/main/15-1/00000002.history", Array("1\t\(fork)\tno recovery target\n".utf8))
        let code = await errorCode { try await fixture.restore() }
        #expect(code == (isReachable ? nil : .databaseMismatch))
        if isReachable {
            // The checkpoint is not the one of the backup any more.
            #expect(fixture.restored("pg_data/global/pg_control") != fixture.content["pg_data/global/pg_control"])
            let bytes = fixture.restored("pg_data/global/pg_control") ?? []
            let control = try PostgresControl(parsing: bytes.span.bytes)
            #expect(control.checkpoint == PostgresControl.invalidCheckpoint)
        } else {
            #expect(!fixture.exists("pg_data"))
        }
    }

    /// A pg_control of PostgreSQL 15.
    private func control() throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8192)
        func put(_ value: UInt64, _ size: Int, at offset: Int) {
            for index in 0..<size { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
        }
        put(7_000_000_000_000_000_001, 8, at: 0)
        put(1300, 4, at: 8)
        put(202_209_061, 4, at: 12)
        put(0x2000060, 8, at: 32)
        put(1, 4, at: 48)
        put(8192, 4, at: 216)
        put(16 << 20, 4, at: 228)
        let summed = Array(bytes[..<288])
        put(UInt64(crc32c(summed.span.bytes)), 4, at: 288)
        return bytes
    }
}
