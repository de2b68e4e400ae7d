@testable import BackupEngine
import BackupModel
import RepositoryFormats
import RepositoryStorage
import Testing

@Suite struct ExpireCommandTests {
    static let base = "--stanza=main expire"

    func expire(
        _ options: String, _ repositories: [MemoryRepository], now: Int64 = BackupSeries.time(40), log: Lines = Lines(),
        printed: Lines = Lines()
    ) async throws {
        let repositories = repositories.map(\.repository)
        let context = try EngineContext.test("\(Self.base) \(options)", repositories, now: now, log: log)
        try await ExpireCommand(context) { printed.add($0) }.run()
    }
    func labels(_ shorts: String...) -> [String] { shorts.map(BackupSeries.label) }
    func segments(_ numbers: [Int]) -> [String] { numbers.map { BackupSeries.segment($0) } }

    @Test("Backups beyond the retention go with their directories and the WAL that only they needed")
    func retention() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "2F_3D", "5F", "8F"]), wal: 1...9)
        try await one.put("archive/main/14-1/00000001.history")
        try await expire("--repo1-retention-full=2", [one])
        #expect(try await one.labels() == labels("5F", "8F"))
        #expect(try await one.names("backup/main").filter { BackupLabel($0) != nil } == labels("5F", "8F"))
        #expect(try await one.segments() == segments([5, 6, 7, 8, 9]))
        // The copy tells the same.
        #expect(
            try await one.repository.readWhole("backup/main/backup.info")
                == one.repository.readWhole("backup/main/backup.info.copy"))
    }

    @Test("Archive retention below the backups' leaves older backups what makes them consistent")
    func archiveRetention() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F", "8F"]), wal: 1...9)
        try await expire("--repo1-retention-full=3 --repo1-retention-archive=1", [one])
        #expect(try await one.labels() == labels("2F", "5F", "8F"))
        #expect(try await one.segments() == segments([2, 5, 8, 9]))
    }

    @Test("Whole directories of WAL go, partial segments and history backups with them")
    func directories() async throws {
        let one = MemoryRepository()
        var manifests = try BackupSeries.manifests(["2F", "5F"])
        manifests[1].archiveStart = BackupSeries.segment(0x305)
        manifests[1].archiveStop = BackupSeries.segment(0x306)
        try await one.fill(manifests, wal: 1...2)
        for number in [0x101, 0x304, 0x305, 0x401] { try await one.putSegment(BackupSeries.segment(number)) }
        try await one.putSegment(BackupSeries.segment(0x303), ending: ".partial")
        try await one.put("archive/main/14-1/0000000100000003/\(BackupSeries.segment(0x304)).00000028.backup")
        try await one.put("archive/main/14-1/0000000100000003/# segment, but a long name")
        try await one.put("archive/main/14-1/(sixteen chars!)/file")
        try await expire("--repo1-retention-full=1", [one])
        #expect(
            try await one.names("archive/main/14-1") == [
                "(sixteen chars!)", "0000000100000003", "0000000100000004",
            ])
        let left = try await one.names("archive/main/14-1/0000000100000003")
        #expect(left.map { String($0.prefix(24)) } == ["# segment, but a long na", BackupSeries.segment(0x305)])
    }

    @Test("History files of timelines before all kept backups go")
    func histories() async throws {
        let one = MemoryRepository()
        let manifests = try [
            BackupSeries.manifest("2F", timeline: 2), BackupSeries.manifest("5F", timeline: 3),
            BackupSeries.manifest("8F", timeline: 5),
        ]
        try await one.fill(manifests)
        for timeline in 2...6 { try await one.put("archive/main/14-1/0000000\(timeline).history") }
        try await expire("--repo1-retention-full=2 --repo1-retention-archive=1", [one])
        // Backup 5F still needs the history of its own timeline.
        #expect(try await one.names("archive/main/14-1") == (3...6).map { "0000000\($0).history" })
    }

    @Test("The archive of an earlier database goes with its last backup, the current one never")
    func upgrade() async throws {
        let one = MemoryRepository()
        let old = try BackupSeries.manifests(["2F"])
        let new = try BackupSeries.manifests(["5F"], database: 2)
        try await one.fill(old + new, databases: 3, wal: 1...3)
        try await one.putSegment(BackupSeries.segment(5), archiveID: "15-2")
        try await one.putSegment(BackupSeries.segment(1), archiveID: "16-3")
        try await one.putSegment(BackupSeries.segment(1), archiveID: "9.6-9")
        try await expire("--repo1-retention-full=1", [one])
        #expect(try await one.names("archive/main") == ["15-2", "16-3", "9.6-9", "archive.info", "archive.info.copy"])
    }

    @Test("A dry run changes nothing and needs no right to write")
    func dryRun() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F", "8F"]), wal: 1...9)
        try await one.put("archive/main/14-1/00000000.history")
        try await one.put("backup/main/\(BackupSeries.label("1F"))/pg_data/PG_VERSION")
        try await one.put("backup/main/backup.history/2025/20250101-000000F.manifest.gz")
        let before = try await one.snapshot()
        let repository = Repository(key: 1, store: ReadOnlyStore(one.store))
        let line = "\(Self.base) --dry-run --repo1-retention-full=1 --repo1-retention-history=1"
        try await ExpireCommand(.test(line, [repository])).run()
        #expect(try await one.snapshot() == before)
    }

    @Test("Leftovers go, an unfinished newest backup stays")
    func leftovers() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F"]))
        try await one.put("backup/main/\(BackupSeries.label("1F"))/pg_data/PG_VERSION")
        try await one.save(BackupSeries.manifest("9F"), complete: false)
        try await expire("", [one])
        #expect(try await one.names("backup/main").filter { BackupLabel($0) != nil } == labels("2F", "5F", "9F"))
    }

    @Test("A complete backup that the list forgot is listed again, not removed")
    func forgotten() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F"]))
        try await one.save(BackupSeries.info(["5F"]))
        try await expire("--repo1-retention-full=9", [one])
        #expect(try await one.labels() == labels("2F", "5F"))
    }

    @Test("A backup whose manifest cannot be read now is not taken for a leftover")
    func unreadable() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F"]))
        try await one.save(BackupSeries.info(["5F"]))
        let path = RepositoryPaths.manifest(stanza: "main", label: BackupSeries.label("2F"))
        for path in [path, RepositoryPaths.copy(of: path)] { try await one.put(path, Array("torn".utf8)) }
        try await expire("--repo1-retention-full=9", [one])
        #expect(try await one.labels() == labels("5F"))
        #expect(try await one.names("backup/main").contains(BackupSeries.label("2F")))
    }

    @Test("A listed backup without manifest goes from the list with what rests on it")
    func torn() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "2F_3I", "5F"]))
        try await one.store.delete([RepositoryPaths.manifest(stanza: "main", label: BackupSeries.label("2F"))])
        try await expire("--repo1-retention-full=9", [one])
        #expect(try await one.labels() == labels("5F"))
    }

    @Test("A requested set goes, and the newest backup is linked anew")
    func requestedSet() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F", "5F_6I", "5F_7I"]))
        try await expire("--set=\(BackupSeries.label("5F_6I"))", [one])
        #expect(try await one.labels() == labels("2F", "5F"))
        #expect(try await one.repository.exists("backup/main/latest"))
    }

    @Test("A set that no repository has is an error, one that some have is not")
    func missingSet() async throws {
        let one = MemoryRepository()
        let two = MemoryRepository(key: 2)
        try await one.fill(BackupSeries.manifests(["2F", "5F"]))
        try await two.fill(BackupSeries.manifests(["3F", "5F"]))
        let paths = "--repo1-path=/one --repo2-path=/two"
        #expect(
            await errorCode { try await expire("\(paths) --set=\(BackupSeries.label("9F"))", [one, two]) }
                == .backupSetInvalid)
        #expect(await errorCode { try await expire("--set=\(BackupSeries.label("9F"))", [one]) } == .backupSetInvalid)
        #expect(await errorCode { try await expire("--set=last", [one]) } == .optionInvalidValue)
        try await expire("\(paths) --set=\(BackupSeries.label("3F"))", [one, two])
        #expect(try await one.labels() == labels("2F", "5F"))
        #expect(try await two.labels() == labels("5F"))
    }

    @Test("Each repository has its own retention, and one that fails does not keep the others from expiring")
    func repositories() async throws {
        let error = StorageError(BackupError(.fileOpen, "no route to the store"))
        let broken = MemoryRepository(key: 1) { operation, path in
            operation == .read && path.contains("backup.info") ? .before(error) : nil
        }
        let two = MemoryRepository(key: 2)
        let three = MemoryRepository(key: 3)
        for repository in [broken, two, three] {
            try await repository.fill(BackupSeries.manifests(["2F", "5F", "8F"]))
        }
        let options = "--repo1-retention-full=1 --repo2-retention-full=2 --repo3-retention-full=1"
        let paths = "--repo1-path=/1 --repo2-path=/2 --repo3-path=/3"
        #expect(await errorCode { try await expire("\(paths) \(options)", [broken, two, three]) } == .command)
        #expect(try await broken.names("backup/main").contains(BackupSeries.label("2F")))
        #expect(try await two.labels() == labels("5F", "8F"))
        #expect(try await three.labels() == labels("8F"))
        #expect(await errorCode { try await expire("--repo1-retention-full=1", [broken]) } == .fileOpen)
    }

    @Test("Info files of different stanzas expire no WAL")
    func disagreement() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F"]), wal: 1...5)
        var archiveInfo = try await one.repository.loadArchiveInfo(stanza: "main")
        archiveInfo.history[0].systemIdentifier = 1
        try await one.repository.saveArchiveInfo(archiveInfo, stanza: "main")
        #expect(await errorCode { try await expire("--repo1-retention-full=1", [one]) } == .fileInvalid)
        #expect(try await one.segments().count == 5)
    }

    @Test("Old manifests of backups that are gone leave the history")
    func manifestHistory() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "8F"]))
        for label in ["20240101-000000F", "20251231-000000F", "20251231-000000F_20260101-000000D"] {
            try await one.put(RepositoryPaths.manifestHistory(stanza: "main", label: label))
        }
        for short in ["1F", "2F", "5F", "7F", "8F"] {
            try await one.put(RepositoryPaths.manifestHistory(stanza: "main", label: BackupSeries.label(short)))
        }
        try await one.put("backup/main/backup.history/2026/README")
        try await expire("--repo1-retention-history=10", [one], now: BackupSeries.time(15, hours: 23))
        #expect(try await one.names("backup/main/backup.history") == ["2026"])
        let left = ["2F", "7F", "8F"].map { "\(BackupSeries.label($0)).manifest.gz" } + ["README"]
        #expect(try await one.names("backup/main/backup.history/2026") == left)
    }

    // MARK: - What is said

    @Test("A dry run prints what goes and why, a real one logs the same")
    func reasons() async throws {
        let one = MemoryRepository()
        var manifests = try BackupSeries.manifests(["1F", "2F", "2F_3D", "5F", "8F"])
        manifests[0].annotations[Hold.key] = "audit 2026"
        try await one.fill(manifests, wal: 1...9)
        try await one.put("backup/main/\(BackupSeries.label("4F"))/pg_data/PG_VERSION")
        try await one.put("archive/main/14-1/00000000.history")
        try await one.put("backup/main/backup.history/2025/20250101-000000F.manifest.gz")
        let label = BackupSeries.label
        let expected = [
            "repo1: expire full backup \(label("2F")), 0B: 3rd newest full, repo1-retention-full=2",
            "repo1: expire diff backup \(label("2F_3D")), 0B: rests on \(label("2F")) (3rd newest full, repo1-retention-full=2)",
            "repo1: keep backup \(label("1F")) (4th newest full, repo1-retention-full=2): held: audit 2026",
            "repo1: remove backup directory \(label("4F")): it is no listed backup",
            "repo1: 14-1: remove WAL \(BackupSeries.segment(2)) to \(BackupSeries.segment(4)): no kept backup needs it, all WAL is kept from \(label("5F")) on",
            "repo1: 14-1: remove 00000000.history: no kept backup is of this timeline",
            "repo1: remove 1 of backup.history/2025, 20250101-000000F.manifest.gz: older than repo1-retention-history=1 days",
            "repo1: 2 backups expire, 0B of backups; 3 stay",
        ]
        let options = "--repo1-retention-full=2 --repo1-retention-history=1"
        let printed = Lines()
        try await expire("--dry-run \(options)", [one], printed: printed)
        #expect(printed.all == [expected.joined(separator: "\n")])
        let log = Lines()
        try await expire(options, [one], log: log, printed: printed)
        #expect(log.all == expected)
        #expect(printed.all.count == 1)
        #expect(try await one.labels() == labels("1F", "5F", "8F"))
        #expect(try await one.segments() == segments([1, 5, 6, 7, 8, 9]))
        let again = Lines()
        try await expire(options, [one], log: again)
        #expect(
            again.all == [
                "repo1: keep backup \(label("1F")) (3rd newest full, repo1-retention-full=2): held: audit 2026",
                "repo1: nothing to expire",
            ])
    }

    @Test("The plan as JSON")
    func json() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F"]), wal: 1...6)
        let printed = Lines()
        try await expire("--dry-run --output=json --repo1-retention-full=1", [one], printed: printed)
        let label = BackupSeries.label
        #expect(
            printed.all == [
                #"[{"archive":[{"history":[],"id":"14-1","wal":[{"start":"\#(BackupSeries.segment(1))","stop":"\#(BackupSeries.segment(4))"}],"whole":false}],"backup":[{"label":"\#(label("2F"))","reason":"2nd newest full, repo1-retention-full=1","size":0,"type":"full"}],"directory":[],"held":[],"history":[],"kept":["\#(label("5F"))"],"repo-key":1,"size":0,"stanza":"main"}]"#
            ])
        #expect(try await one.labels() == labels("2F", "5F"))
    }

    // MARK: - Requests

    @Test("The oldest full backup goes with its WAL, by whatever retention, but never the only one")
    func oldest() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "2F_3D", "5F", "8F"]), wal: 1...9)
        try await expire("--oldest --repo1-retention-full=100 --repo1-retention-full-type=time", [one])
        #expect(try await one.labels() == labels("5F", "8F"))
        #expect(try await one.segments() == segments([5, 6, 7, 8, 9]))
        try await expire("--oldest", [one])
        let log = Lines()
        try await expire("--oldest", [one], log: log)
        #expect(try await one.labels() == labels("8F"))
        #expect(log.warnings.contains { $0.contains("no full backup can be spared") })
    }

    @Test("WAL before a segment goes on request")
    func expireBefore() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["5F", "8F"]), wal: 1...9)
        let before = "--archive-expire-before=\(BackupSeries.segment(4))"
        try await expire("\(before) --repo1-retention-full=9", [one])
        #expect(try await one.segments() == segments(Array(4...9)))
        let none = MemoryRepository()
        try await none.fill([], wal: 1...9)
        try await none.put("archive/main/14-1/00000001.history")
        try await expire("\(before) --repo1-retention-full=1", [none])
        #expect(try await none.segments() == segments(Array(4...9)))
        #expect(try await none.names("archive/main/14-1").contains("00000001.history"))
    }

    @Test("Requests that make no sense are errors")
    func badRequests() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F"]))
        let cases: [(String, ErrorCode)] = [
            ("--oldest --set=\(BackupSeries.label("2F"))", .optionInvalid), ("--set=20260102", .optionInvalidValue),
            ("--archive-expire-before=00000001000000000000000", .optionInvalidValue),
            ("--archive-expire-before=000000010000000000000002.partial", .optionInvalidValue),
            ("--archive-expire-before=00000001000000000000000g", .optionInvalidValue),
        ]
        for (options, code) in cases {
            #expect(await errorCode { try await expire(options, [one]) } == code, "\(options)")
        }
        #expect(try await one.labels() == labels("2F", "5F"))
    }

    @Test("A held set is not expired on request, and nothing else is then")
    func heldSet() async throws {
        let one = MemoryRepository()
        var manifests = try BackupSeries.manifests(["2F", "2F_3D", "5F"])
        manifests[1].annotations[Hold.key] = "audit"
        try await one.fill(manifests, wal: 1...9)
        let before = try await one.snapshot()
        for short in ["2F", "2F_3D"] {
            let code = await errorCode { try await expire("--set=\(BackupSeries.label(short))", [one]) }
            #expect(code == .backupSetInvalid)
        }
        #expect(try await one.snapshot() == before)
    }

    @Test("By force the last backup goes with its data and the WAL before its end, held or not")
    func forcedSet() async throws {
        let one = MemoryRepository()
        var manifests = try BackupSeries.manifests(["2F", "5F"])
        manifests[1].annotations[Hold.key] = "a user's"
        try await one.fill(manifests, wal: 1...9)
        try await expire("--repo1-retention-full=1 --repo1-retention-hold-archive=y", [one])
        // 2F is what the retention counts.
        #expect(try await one.segments() == segments(Array(2...9)))
        try await expire("--set=\(BackupSeries.label("2F")) --force --repo1-retention-full=1", [one])
        #expect(try await one.labels() == labels("5F"))
        let held = await errorCode {
            try await expire("--set=\(BackupSeries.label("5F")) --repo1-retention-full=1", [one])
        }
        #expect(held == .backupSetInvalid)
        #expect(await errorCode { try await expire("--force", [one]) } == .optionInvalid)
        try await expire("--set=\(BackupSeries.label("5F")) --force --repo1-retention-full=1", [one])
        #expect(try await one.labels().isEmpty)
        #expect(try await one.segments() == segments(Array(5...9)))
    }

    @Test("Held backups keep the WAL after them where that is asked for")
    func heldArchive() async throws {
        for (option, kept) in [("n", [2, 8, 9]), ("y", Array(2...9))] {
            let one = MemoryRepository()
            var manifests = try BackupSeries.manifests(["2F", "5F", "8F"])
            manifests[0].annotations[Hold.key] = "a user's"
            try await one.fill(manifests, wal: 1...9)
            try await expire("--repo1-retention-full=1 --repo1-retention-hold-archive=\(option)", [one])
            #expect(try await one.labels() == labels("2F", "8F"))
            #expect(try await one.segments() == segments(kept), "\(option)")
        }
    }

    @Test("What rests on a requested set goes even if it never ended, but nothing else that is unfinished")
    func unfinishedDependent() async throws {
        func series(unfinished short: String, prior: String?) async throws -> MemoryRepository {
            let one = MemoryRepository()
            try await one.fill(BackupSeries.manifests(["2F", "5F", "5F_6D"]))
            try await one.save(BackupSeries.manifest(short, prior: prior.map(BackupSeries.label)), complete: false)
            return one
        }
        let set = "--set=\(BackupSeries.label("5F_6D"))"
        func left(_ one: MemoryRepository) async throws -> [String] {
            try await expire(set, [one])
            return try await one.names("backup/main").filter { BackupLabel($0) != nil }
        }
        #expect(try await left(series(unfinished: "5F_7I", prior: "5F_6D")) == labels("2F", "5F"))
        #expect(try await left(series(unfinished: "5F_7I", prior: "5F")) == labels("2F", "5F", "5F_7I"))
        #expect(try await left(series(unfinished: "7F", prior: nil)) == labels("2F", "5F", "7F"))
    }

    // MARK: - What others have paid for

    @Test("After an upgrade the old database's backups go, never the new ones")
    func newAfterUpgrade() async throws {
        let one = MemoryRepository()
        let old = try BackupSeries.manifests(["6F", "7F"])
        let new = try BackupSeries.manifests(["8F", "9F"], database: 2)
        try await one.fill(old + new, databases: 2, wal: 1...9)
        for number in 1...9 { try await one.putSegment(BackupSeries.segment(number), archiveID: "15-2") }
        try await expire("--repo1-retention-full=2", [one])
        #expect(try await one.labels() == labels("8F", "9F"))
        #expect(try await one.names("archive/main") == ["15-2", "archive.info", "archive.info.copy"])
        #expect(try await one.segments("15-2") == segments([8, 9]))
    }

    @Test("A repository that is new keeps all its WAL, however old the backups of the other are")
    func newRepository() async throws {
        let one = MemoryRepository()
        let two = MemoryRepository(key: 2)
        try await one.fill(BackupSeries.manifests(["2F", "5F", "8F"]), wal: 1...9)
        try await two.fill([], wal: 3...9)
        try await expire(
            "--repo1-path=/1 --repo2-path=/2 --repo1-retention-full=1 --repo2-retention-full=1", [one, two])
        #expect(try await one.segments() == segments([8, 9]))
        #expect(try await two.segments() == segments(Array(3...9)))
    }

    @Test("A backup that runs on another host is left alone with the WAL that it will need")
    func runningElsewhere() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F", "5F"]), wal: 1...9)
        try await one.save(BackupSeries.manifest("9F"), complete: false)
        let before = try await one.snapshot("backup/main/\(BackupSeries.label("9F"))")
        try await expire("--repo1-retention-full=1", [one])
        #expect(try await one.snapshot("backup/main/\(BackupSeries.label("9F"))") == before)
        #expect(try await one.labels() == labels("5F"))
        #expect(try await one.segments() == segments(Array(5...9)))
    }

    @Test("Each repository's history is its own")
    func ownHistory() async throws {
        let one = MemoryRepository()
        let two = MemoryRepository(key: 2)
        for repository in [one, two] {
            try await repository.fill(BackupSeries.manifests(["8F"]))
            for label in ["20250101-000000F", "20251231-000000F"] where repository.repository.key == 2 {
                try await repository.put(RepositoryPaths.manifestHistory(stanza: "main", label: label))
            }
        }
        try await expire(
            "--repo1-path=/1 --repo2-path=/2 --repo1-retention-history=1 --repo2-retention-history=30", [one, two],
            now: BackupSeries.time(15))
        #expect(try await two.names("backup/main/backup.history/2025") == ["20251231-000000F.manifest.gz"])
    }
}
