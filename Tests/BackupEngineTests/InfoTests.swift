@testable import BackupEngine
import BackupModel
import Checksums
import Foundation
import Glibc
import RepositoryFormats
import RepositoryStorage
import Testing

/// What pgBackRest said of the same repositories, see ``InfoCapture``.
@Suite struct InfoCaptureTests {
    /// Our time zone may be another than UTC, and 2.59 tells of restores too.
    static func expected(_ capture: String) -> String {
        let text = capture.replacingOccurrences(
            of: #""lock":{"backup":{"held":false}}"#,
            with: #""lock":{"backup":{"held":false},"restore":{"held":false}}"#)
        return text.replacing(/(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\+00/) { match in
            let output = match.output
            var time = tm()
            time.tm_year = (Int32(output.1) ?? 0) - 1900
            time.tm_mon = (Int32(output.2) ?? 0) - 1
            time.tm_mday = Int32(output.3) ?? 0
            time.tm_hour = Int32(output.4) ?? 0
            time.tm_min = Int32(output.5) ?? 0
            time.tm_sec = Int32(output.6) ?? 0
            return LocalTime.text(Int64(timegm(&time)))
        }
    }

    static func bytes(_ text: String) -> [UInt8] { Array((text + "\n").utf8) }

    static func twoRepositories() async throws -> [Repository] {
        var repositories: [Repository] = []
        for (key, backupInfo) in [(1, InfoCapture.backupInfo1), (2, InfoCapture.backupInfo2)] {
            let memory = MemoryRepository(key: key)
            try await memory.put("backup/main/backup.info", bytes(backupInfo))
            try await memory.put("archive/main/archive.info", bytes(InfoCapture.archiveInfo))
            for number in 1...10 { try await memory.putSegment(BackupSeries.segment(number), archiveID: "15-1") }
            // None of these is an end of the archive.
            try await memory.putSegment(BackupSeries.segment(0), archiveID: "15-1", ending: ".partial")
            try await memory.put("archive/main/15-1/0000000100000000/\(BackupSeries.segment(11)).00000028.backup")
            try await memory.put("archive/main/15-1/0000000200000000/nothing")
            try await memory.put("archive/main/15-1/00000002.history")
            repositories.append(memory.repository)
        }
        // What the manifest adds for --set.
        let memory = MemoryRepository(key: 1)
        var manifest = try BackupSeries.manifest("1F")
        manifest.label = "20261121-045721F_20261121-045756I"
        manifest.references = [manifest.label]
        manifest.databases = [
            ManifestDatabase(name: "app", id: 16390, lastSystemID: 4),
            ManifestDatabase(name: "postgres", id: 5, lastSystemID: 4),
            ManifestDatabase(name: "template0", id: 4, lastSystemID: 4),
            ManifestDatabase(name: "template1", id: 1, lastSystemID: 4),
        ]
        manifest.targets = [
            ManifestTarget(name: "pg_data", kind: .path, path: "/pg"),
            ManifestTarget(
                name: "pg_tblspc/16384", kind: .link, path: "/tmp/info-real/a/ts", tablespaceID: 16384,
                tablespaceName: "ts1"),
        ]
        for (name, check) in [
            ("pg_data/base/5/1", PageCheckResult.valid), ("pg_data/PG_VERSION", .notChecked),
            ("pg_tblspc/16384/PG_15_202209061/5/16385", .invalid([1...1, 3...4])),
        ] {
            var file = ManifestFile(name: name, size: 1, timestamp: 1, mode: 0o600, user: "postgres", group: "postgres")
            file.checksum = SHA1.hash([1].span.bytes)
            file.pageCheck = check
            manifest.files.append(file)
        }
        manifest.files.sort()
        manifest.paths = [ManifestPath(name: "pg_data", mode: 0o700, user: "postgres", group: "postgres")]
        try await memory.save(manifest)
        let path = RepositoryPaths.manifest(stanza: "main", label: manifest.label)
        let bytes = try #require(try await memory.repository.readWhole(path))
        try await repositories[0].writeWhole(path, bytes)
        return repositories
    }

    func info(_ options: String, _ repositories: [Repository]) async throws -> String {
        let context = try EngineContext.test("--repo1-path=/1 --repo2-path=/2 info \(options)", repositories)
        return try await InfoCommand(context) { _, _, _ in nil }.run()
    }

    @Test("Two repositories read as pgBackRest reads them")
    func twoRepositories() async throws {
        let repositories = try await Self.twoRepositories()
        #expect(try await info("", repositories) == Self.expected(InfoCapture.text))
        #expect(try await info("--output=json", repositories) == Self.expected(InfoCapture.json))
    }

    @Test("A set of backups reads as pgBackRest reads it")
    func set() async throws {
        let repositories = try await Self.twoRepositories()
        let options = "--stanza=main --set=20261121-045721F_20261121-045756I"
        #expect(try await info(options, repositories) == Self.expected(InfoCapture.setText))
        #expect(try await info("\(options) --output=json", repositories) == Self.expected(InfoCapture.setJSON))
    }

    @Test("One of two info files is enough")
    func tornInfo() async throws {
        let repositories = try await Self.twoRepositories()
        for repository in repositories {
            for path in ["backup/main/backup.info", "archive/main/archive.info"] {
                let bytes = try #require(try await repository.readWhole(path))
                try await repository.writeWhole(RepositoryPaths.copy(of: path), bytes)
                try await repository.writeWhole(path, Array(bytes.dropLast(70)))
            }
        }
        #expect(try await info("", repositories) == Self.expected(InfoCapture.text))
    }

    @Test("Bundled, block incremental backups read as pgBackRest reads them")
    func blockIncremental() async throws {
        let memory = MemoryRepository()
        try await memory.put("backup/main/backup.info", Self.bytes(InfoCapture.blockBackupInfo))
        try await memory.put("archive/main/archive.info", Self.bytes(InfoCapture.blockArchiveInfo))
        for number in 1...8 { try await memory.putSegment(BackupSeries.segment(number), archiveID: "17-1") }
        #expect(try await info("", [memory.repository]) == Self.expected(InfoCapture.blockText))
        #expect(try await info("--output=json", [memory.repository]) == Self.expected(InfoCapture.blockJSON))

        var manifest = try BackupSeries.manifest("1F")
        manifest.label = "20261121-045937F"
        manifest.references = [manifest.label]
        manifest.databases = [ManifestDatabase(name: "postgres", id: 5, lastSystemID: 4)]
        manifest.targets = [
            ManifestTarget(name: "pg_data", kind: .path, path: "/pg"),
            ManifestTarget(name: "pg_data/pg_hba.conf", kind: .link, path: "/tmp/info-real/b/lnk", file: "pg_hba.conf"),
            ManifestTarget(name: "pg_data/pg_stat", kind: .link, path: "/tmp/info-real/b/lnk/stat"),
        ]
        manifest.paths = [ManifestPath(name: "pg_data", mode: 0o700, user: "postgres", group: "postgres")]
        try await memory.save(manifest)
        let options = "--stanza=main --set=20261121-045937F"
        #expect(try await info(options, [memory.repository]) == Self.expected(InfoCapture.blockSetText))
        #expect(
            try await info("\(options) --output=json", [memory.repository]) == Self.expected(InfoCapture.blockSetJSON))
    }
}

@Suite struct InfoTests {
    func info(
        _ options: String, _ repositories: [MemoryRepository],
        lockHolder: @escaping @Sendable (LockType, String, Int) -> LockHolder? = { _, _, _ in nil }
    ) async throws -> String {
        let paths = "--repo1-path=/1 --repo2-path=/2"
        let context = try EngineContext.test("\(paths) info \(options)", repositories.map(\.repository))
        return try await InfoCommand(context, lockHolder: lockHolder).run()
    }

    /// The first lines, up to the databases.
    func head(_ options: String, _ repositories: [MemoryRepository]) async throws -> String {
        let text = try await info(options, repositories)
        return String(text.split(separator: "\n\n", maxSplits: 1)[0])
    }

    func filled(_ key: Int, database: Int = 1, _ shorts: [String] = ["2F", "2F_3D"]) async throws -> MemoryRepository {
        let memory = MemoryRepository(key: key)
        let manifests = try BackupSeries.manifests(shorts, database: database)
        for manifest in manifests { try await memory.save(manifest) }
        try await memory.save(BackupSeries.info(manifests, databases: database))
        return memory
    }

    @Test("Nothing anywhere is no stanza")
    func nothing() async throws {
        let empty = MemoryRepository()
        #expect(try await info("", [empty]) == "No stanzas exist in the repository.")
        #expect(try await info("--output=json", [empty]) == "[]")
        #expect(
            try await info("--stanza=main --output=json", [empty])
                == #"[{"archive":[],"backup":[],"cipher":"none","db":[],"name":"main","repo":[{"cipher":"none","key":1,"status":{"code":1,"message":"missing stanza path"}}],"status":{"code":1,"lock":{"backup":{"held":false},"restore":{"held":false}},"message":"missing stanza path"}}]"#
        )
        #expect(try await info("--stanza=main", [empty]) == "stanza: main\n    status: error (missing stanza path)")
    }

    @Test("The states of a stanza have pgBackRest's words")
    func states() async throws {
        let good = try await filled(1)
        let alsoGood = try await filled(2)
        let empty = MemoryRepository(key: 2)
        let noBackup = try await filled(2, [])
        let noData = MemoryRepository(key: 2)
        try await noData.put("backup/main/\(BackupSeries.label("1F"))/x")
        let other = try await filled(2, database: 2)
        let broken = MemoryRepository(key: 2) { operation, _ in
            operation == .list ? .before(StorageError(BackupError(.pathOpen, "no way in", hint: "ask\nagain"))) : nil
        }
        let cases: [([MemoryRepository], String)] = [
            ([good, alsoGood], "ok\n    cipher: none"),
            ([good], "ok\n    cipher: none"),
            ([noBackup], "error (no valid backups)\n    cipher: none"),
            ([noData], "error (missing stanza data)\n    cipher: none"),
            (
                [good, empty],
                "mixed\n        repo1: ok\n        repo2: error (missing stanza path)\n    cipher: none"
            ),
            ([good, noBackup], "mixed\n        repo1: ok\n        repo2: error (no valid backups)\n    cipher: none"),
            (
                [good, other],
                "error (database mismatch across repos)\n        repo1: ok\n        repo2: ok\n    cipher: none"
            ),
            (
                [good, broken],
                """
                mixed
                        repo1: ok
                        repo2: error (other)
                               [PathOpenError] repo2: no way in
                               HINT: ask
                               again
                    cipher: none
                """
            ),
            (
                [broken],
                """
                error (other)
                            [PathOpenError] repo2: no way in
                            HINT: ask
                            again
                    cipher: none
                """
            ),
        ]
        for (repositories, expected) in cases {
            #expect(try await head("--stanza=main", repositories) == "stanza: main\n    status: " + expected)
        }
        #expect(try await head("", [broken]).hasPrefix("stanza: [invalid]\n    status: error (other)"))
        #expect(
            try await head("--stanza=main --set=\(BackupSeries.label("9F"))", [good, alsoGood])
                == "stanza: main\n    status: error (requested backup not found)\n    cipher: none")
    }

    @Test("Both info files torn: the repository says so, and the other is shown")
    func tornTwice() async throws {
        let good = try await filled(1)
        let torn = try await filled(2)
        for path in ["backup/main/backup.info", "backup/main/backup.info.copy"] {
            try await torn.put(path, Array("torn".utf8))
        }
        let text = try await info("", [good, torn])
        #expect(text.contains("        repo2: error (other)\n               [FormatError] "))
        #expect(text.contains("full backup: \(BackupSeries.label("2F"))\n"))
        let json = try await info("--output=json", [good, torn])
        let value = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [[String: Any]])
        let repo = try #require(value[0]["repo"] as? [[String: Any]])
        let status = try #require(repo[1]["status"] as? [String: Any])
        #expect(status["code"] as? Int == 99)
        #expect((value[0]["backup"] as? [Any])?.count == 2)
    }

    @Test("Stanzas of all repositories are listed by name, with an empty line between")
    func stanzas() async throws {
        let one = try await filled(1)
        let two = MemoryRepository(key: 2)
        try await two.put("backup/alpha/x")
        try await two.put("backup/a file", [])
        let text = try await info("", [one, two])
        #expect(
            text.hasPrefix(
                """
                stanza: alpha
                    status: mixed
                        repo1: error (missing stanza path)
                        repo2: error (missing stanza data)
                    cipher: none

                stanza: main
                    status: mixed
                        repo1: ok
                """))
    }

    @Test("After an upgrade the earlier database comes first, if anything of it is left")
    func upgrade() async throws {
        let one = MemoryRepository()
        let manifests = try BackupSeries.manifests(["2F"]) + BackupSeries.manifests(["5F"], database: 2)
        try await one.fill(manifests, databases: 2, wal: 1...3)
        let text = try await info("", [one])
        let lines = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        #expect(
            lines.filter { $0.hasPrefix("db") || $0.hasPrefix("wal archive") || $0.contains(" backup: 2") } == [
                "db (prior)", "wal archive min/max (14): \(BackupSeries.segment(1))/\(BackupSeries.segment(3))",
                "full backup: \(BackupSeries.label("2F"))", "db (current)", "wal archive min/max (15): none present",
                "full backup: \(BackupSeries.label("5F"))",
            ])
        // Only its own database is shown with a set.
        #expect(try await !info("--stanza=main --set=\(BackupSeries.label("2F"))", [one]).contains("db (current)"))
        try await one.store.deleteTree("archive/main/14-1")
        try await one.save(BackupSeries.info(BackupSeries.manifests(["5F"], database: 2), databases: 2))
        #expect(try await !info("", [one]).contains("db (prior)"))
    }

    @Test("Backups without WAL, of one type only")
    func offlineAndType() async throws {
        let one = MemoryRepository()
        try await one.fill([BackupSeries.manifest("2F", online: false)] + BackupSeries.manifests(["3F", "3F_4D"]))
        #expect(try await info("", [one]).contains("            wal start/stop: n/a\n"))
        let text = try await info("--type=diff", [one])
        #expect(text.contains("diff backup") && !text.contains("full backup"))
        #expect(try await info("--type=incr", [one]).hasPrefix("stanza: main\n    status: ok\n"))
    }

    @Test("What is running is told, with how far it is")
    func locks() async throws {
        let one = try await filled(1)
        let two = try await filled(2)
        func holder(_ size: UInt64? = nil, _ done: UInt64? = nil, share: UInt64? = nil) -> LockHolder {
            LockHolder(processID: 1, executionID: "1-a", progress: share, size: size, sizeDone: done)
        }
        func status(
            _ backup: [Int: LockHolder], _ restore: LockHolder? = nil, options: String = ""
        ) async throws -> String {
            let text = try await info(options, [one, two]) { type, stanza, key in
                switch type {
                case .backup: backup[key]
                case .restore: restore
                case .archive: nil
                }
            }
            return text.components(separatedBy: "\n    cipher")[0]
        }
        let head = "stanza: main\n    status: "
        #expect(try await status([1: holder()]) == head + "ok (backup/expire running)")
        #expect(try await status([1: holder(share: 1234)]) == head + "ok (backup/expire running - 12.34% complete)")
        #expect(try await status([2: holder(3, 1)]) == head + "ok (backup/expire running - 33.33% complete)")
        #expect(
            try await status([2: holder(100_000, 99_999)]) == head + "ok (backup/expire running - 100.00% complete)")
        #expect(
            try await status([1: holder(100, 50), 2: holder(300, 30)])
                == head
                + "ok (backup/expire running - 20.00% complete)\n        repo1 backup: 50.00% complete\n        repo2 backup: 10.00% complete"
        )
        #expect(try await status([:], holder(200, 1)) == head + "ok (restore running - 0.50% complete)")
        #expect(
            try await status([1: holder()], holder(), options: "--detail-level=progress")
                == head + "ok (backup/expire running, restore running)")
        let json = try await status(
            [1: holder(100, 50), 2: holder()], holder(9, 9), options: "--detail-level=progress --output=json")
        #expect(
            json
                == #"[{"name":"main","status":{"code":0,"lock":{"backup":{"held":true,"repo":[{"key":1,"size":100,"size-cplt":50}],"size":100,"size-cplt":50},"restore":{"held":true,"size":9,"size-cplt":9}},"message":"ok"}}]"#
        )
        // No more than there is, whatever a file says.
        #expect(
            try await status([1: holder(1 << 63, 5), 2: holder(1 << 63, 1 << 63)]).hasPrefix(
                head + "ok (backup/expire running - 50.00% complete)"))
        #expect(
            try await status([1: holder(.max, .max), 2: holder(.max, 0)]).hasPrefix(head + "ok (backup/expire running"))
        #expect(try await status([1: holder(5, 9)]) == head + "ok (backup/expire running - 100.00% complete)")
    }

    @Test("Progress alone reads no repository file")
    func progress() async throws {
        let one = try await filled(1)
        let two = MemoryRepository(key: 2) { operation, path in
            operation == .read ? .before(StorageError(BackupError(.fileOpen, path))) : nil
        }
        try await two.put("backup/main/x")
        #expect(try await info("--detail-level=progress", [one, two]) == "stanza: main\n    status: ok")
        #expect(
            await errorCode {
                _ = try await info("--stanza=main --set=20200101-000000F --detail-level=progress", [one])
            } == .optionInvalid)
    }

    @Test("A held backup says so, with its reason; JSON has it among the notes, as pgBackRest")
    func hold() async throws {
        let one = MemoryRepository(key: 1)
        var manifests = try BackupSeries.manifests(["2F", "2F_3D"])
        manifests[0].annotations = [Hold.key: "audit 2026", "who": "me"]
        manifests[1].annotations = [Hold.key: ""]
        for manifest in manifests { try await one.save(manifest) }
        try await one.save(BackupSeries.info(manifests))
        let text = try await info("", [one])
        #expect(text.components(separatedBy: "held: ").count == 2)
        #expect(text.contains("\n            held: audit 2026\n"))
        let set = try await info("--stanza=main --set=\(BackupSeries.label("2F"))", [one])
        #expect(
            set.hasSuffix(
                "held: audit 2026\n            annotation(s)\n                hold: audit 2026\n                who: me"
            ))
        #expect(try await info("--output=json", [one]).contains(#""annotation":{"hold":"audit 2026","who":"me"}"#))
    }

    @Test("Repositories that are encrypted differently are told apart")
    func mixedCipher() async throws {
        var states: [InfoReport.RepositoryState] = []
        for (key, cipher) in [(1, "none"), (2, "aes-256-cbc")] {
            states.append(InfoReport.RepositoryState(key: key, cipher: cipher, status: .noBackup))
        }
        let report = InfoReport(stanzas: [InfoReport.Stanza(name: "main", repositories: states)])
        #expect(
            InfoText.text(report)
                == """
                stanza: main
                    status: error (no valid backups)
                    cipher: mixed
                        repo1: none
                        repo2: aes-256-cbc

                """)
        #expect(InfoJSON.text(report).contains(#""cipher":"mixed""#))
    }

    @Test("Of a large archive only the ends are listed, and no manifest is read")
    func fewReads() async throws {
        let seen = Lines()
        let one = MemoryRepository(key: 1) { operation, path in
            seen.add("\(operation) \(path)")
            return nil
        }
        let manifests = try BackupSeries.manifests(["2F", "2F_3D", "5F", "8F"])
        for manifest in manifests { try await one.save(manifest) }
        try await one.save(BackupSeries.info(manifests))
        for log in 1...60 { try await one.putSegment(BackupSeries.segment(log << 8 | 7)) }
        let before = seen.all.count
        let text = try await info("--stanza=main", [one])
        #expect(text.contains("\(BackupSeries.segment(0x107))/\(BackupSeries.segment(0x3C07))"))
        let asked = Set(seen.all.dropFirst(before))
        let listed = asked.filter { $0.hasPrefix("list") && $0.contains("archive/main/14-1") }
        #expect(listed.count == 3, "\(listed.sorted())")
        #expect(!asked.contains { $0.contains("manifest") }, "\(asked.sorted())")
    }

    @Test("JSON has no byte that a strict reader refuses")
    func json() throws {
        let text = "quote \" backslash \\ line\n tab\t return\r back\u{8} feed\u{c} bell\u{7} ü 💾 /"
        let value = JSONValue.object([
            "b": .array([.null, .bool(true), .unsigned(.max), .signed(.min)]), "a": .string(text),
        ])
        let parsed = try #require(try JSONSerialization.jsonObject(with: Data(value.text.utf8)) as? [String: Any])
        #expect(parsed["a"] as? String == text)
        #expect(
            value.text.hasPrefix(
                #"{"a":"quote \" backslash \\ line\n tab\t return\r back\b feed\f bell\u0007 ü 💾 /","b":[null,true,18446744073709551615,-9223372036854775808]}"#
            ))
    }
}
