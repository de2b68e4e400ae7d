@testable import BackupEngine
import BackupModel
import RepositoryFormats
import RepositoryStorage
import Testing

@Suite struct ExpireCommandTests {
    static let base = "--stanza=main expire"

    func expire(_ options: String, _ repositories: [MemoryRepository], now: Int64 = BackupSeries.time(40)) async throws
    {
        let repositories = repositories.map(\.repository)
        try await ExpireCommand(.test("\(Self.base) \(options)", repositories, now: now)).run()
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
}
