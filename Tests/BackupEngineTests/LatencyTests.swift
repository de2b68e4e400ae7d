import BackupEngine
import BackupModel
import Foundation
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Synchronization
import Testing

/// Commands on a store that keeps everybody waiting: most of the waiting is done at once. The bounds leave room for a
/// machine that is busy with something else.
@Suite(.serialized, .timeLimit(.minutes(10))) struct LatencyTests {
    private static let latency = Duration.milliseconds(25)

    private static func cluster(files: Int) throws -> OfflineCluster {
        let cluster = try OfflineCluster()
        for number in 0..<files {
            try cluster.write(
                "base/\(number % 7)/\(10000 + number)", OfflineCluster.bytes(200 + number, seed: UInt64(number)))
        }
        return cluster
    }

    private static func repository(
        latency: Duration = latency, concurrency: StoreConcurrency = .remote,
        fail: @escaping @Sendable (DistantStore.Kind, String) -> Bool = { _, _ in false }
    ) async throws -> (OfflineRepository, DistantStore) {
        let memory = MemoryStore()
        let store = DistantStore(memory, latency: latency, concurrency: concurrency, fail: fail)
        return (try await OfflineRepository(memory, as: store), store)
    }

    /// The same content without the waiting.
    private static func near(_ repository: OfflineRepository) -> OfflineRepository {
        OfflineRepository(adopting: repository.memory.copy())
    }

    private static func time(_ body: () async throws -> Void) async rethrows -> Duration {
        try await ContinuousClock().measure { try await body() }
    }

    /// 500 round trips of 25 ms, one by one by each of two workers, are 6 s.
    /// - Parameter near: what the same takes without latency, before and after. Where that is long the machine is busy
    ///   with something else, and times prove nothing.
    private static func requireShort(_ far: Duration, near: Duration...) {
        guard near.allSatisfy({ $0 < .seconds(1.5) }) else { return }
        #expect(far < .seconds(4))
    }

    @Test("A backup does not wait for one commit after the other, and a restore not for one object after the other")
    func backupAndRestore() async throws {
        let cluster = try Self.cluster(files: 500)
        let (far, store) = try await Self.repository()
        let memory = MemoryStore()
        let near = try await OfflineRepository(memory, as: memory)
        func backup(_ repository: OfflineRepository) async throws -> Duration {
            try await Self.time {
                try await cluster.backup([repository], "--type=full --compress-type=zst --process-max=2")
            }
        }
        let before = try await backup(near)
        let time = try await backup(far)
        Self.requireShort(time, near: before, try await backup(near))
        #expect(store.most(.commit) > 8 && store.most(.commit) <= 16)
        let stored = Self.near(far)
        let label = try #require(try await stored.labels().first)
        #expect(try await stored.content(label) == cluster.content())

        let base = NSTemporaryDirectory() + "permafrost-latency-" + UUID().uuidString
        defer { for end in ["near", "far"] { try? FileManager.default.removeItem(atPath: "\(base)-\(end)") } }
        let nearTime = try await Self.time { try await Self.restore(near, into: "\(base)-near") }
        let farTime = try await Self.time { try await Self.restore(far, into: "\(base)-far") }
        Self.requireShort(farTime, near: nearTime, before)
        #expect(store.most(.read) > 8)
        let restored = try GeneratedCluster.content(of: "\(base)-far").filter { $0.key != "postgresql.auto.conf" }
        let expected = try cluster.content()
        #expect(restored.count == expected.count)
        for (name, bytes) in restored { #expect(isSame(bytes, expected["pg_data/\(name)"]), "\(name)") }
    }

    private static func restore(_ repository: OfflineRepository, into target: String) async throws {
        var options = RestoreOptions(stanza: OfflineRepository.stanza, dataDirectory: target)
        options.restoreCommand = "false"
        try await RestoreCommand.run(
            options, repositories: [repository.repository],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, workers: WorkerThreads(count: 2))
    }

    @Test(
        "Bundles, blocks and the next backup on them are right whatever is in flight",
        arguments: [
            "--compress-type=lz4 --repo1-bundle --repo1-bundle-size=1MiB", "--compress-type=none",
            "--compress-type=zst --repo1-bundle --repo1-block --repo1-bundle-limit=16KiB",
        ])
    func forms(_ form: String) async throws {
        let cluster = try OfflineCluster()
        try WholeBackupTests.fill(cluster)
        let (repository, store) = try await Self.repository(latency: .milliseconds(3))
        for round in 0..<3 {
            try await cluster.backup(
                [repository],
                "--type=\(round == 0 ? "full" : "incr") \(form) --process-max=2 --manifest-save-threshold=200KiB")
            #expect(store.running == 0)
            let near = Self.near(repository)
            let label = try #require(try await near.labels().last)
            #expect(try await near.content(label) == cluster.content())
            try WholeBackupTests.change(cluster, round: round)
        }
        try await VerifyCommand(.test("--stanza=main --process-max=2 verify", [repository.repository])).run { _ in }
    }

    @Test("A commit that fails while others go on ends the backup with its reason, and nothing goes on behind it")
    func failure() async throws {
        let cluster = try Self.cluster(files: 300)
        let (repository, store) = try await Self.repository { kind, path in
            kind == .commit && path.hasSuffix("/10150.zst")
        }
        let error = await #expect(throws: BackupError.self) {
            try await cluster.backup([repository], "--type=full --compress-type=zst --process-max=2")
        }
        #expect(error?.message.contains("repo1") == true && error?.message.contains("/10150.zst'") == true)
        #expect(error?.code == .fileWrite)
        let calls = store.calls
        try await Task.sleep(for: .milliseconds(100))
        #expect(store.running == 0 && store.calls == calls)
        #expect(try await Self.near(repository).labels() == [])
    }

    @Test("A repository that fails is lost alone")
    func oneOfTwo() async throws {
        let cluster = try Self.cluster(files: 200)
        let (failing, _) = try await Self.repository { kind, path in
            kind == .commit && path.contains("pg_data/base/3/")
        }
        let memory = MemoryStore()
        let near = try await OfflineRepository(key: 2, memory, as: memory)
        let error = await #expect(throws: BackupError.self) {
            try await cluster.backup(
                [failing, near], "--type=full --compress-type=zst --process-max=2 --repo1-path=/one --repo2-path=/two")
        }
        #expect(error?.message.contains("repo1") == true)
        let label = try #require(try await near.labels().first)
        #expect(try await near.content(label) == cluster.content())
        #expect(try await Self.near(failing).labels() == [])
    }

    @Test("What is cancelled leaves nothing under way", arguments: [1, 40, 120])
    func cancelled(_ milliseconds: Int) async throws {
        let cluster = try Self.cluster(files: 300)
        let (repository, store) = try await Self.repository(latency: .milliseconds(20))
        let task = Task {
            try await cluster.backup([repository.repository], "--type=full --compress-type=zst --process-max=2")
        }
        try await Task.sleep(for: .milliseconds(milliseconds))
        task.cancel()
        await #expect(throws: (any Error).self) { try await task.value }
        let calls = store.calls
        try await Task.sleep(for: .milliseconds(100))
        #expect(store.running == 0 && store.calls == calls)
        #expect(try await Self.near(repository).labels() == [])
    }

    @Test("A store that gains nothing from it sees one commit a worker at a time")
    func local() async throws {
        let cluster = try Self.cluster(files: 50)
        let (repository, store) = try await Self.repository(latency: .milliseconds(1), concurrency: .local)
        try await cluster.backup([repository], "--type=full --compress-type=zst --process-max=2")
        #expect(store.most(.commit) <= 2)
    }

    @Test("Expire deletes many WAL segments and backups at once, but manifests one after the other")
    func expire() async throws {
        let one = MemoryRepository(pageSize: 1000)
        var manifests = try BackupSeries.manifests((1...12).map { "\($0)F" })
        manifests[11].archiveStart = BackupSeries.segment(0x3F0)
        manifests[11].archiveStop = BackupSeries.segment(0x3F1)
        try await one.fill(manifests)
        for number in 0x300...0x3F4 { try await one.putSegment(BackupSeries.segment(number)) }
        let order = Mutex<[String]>([])
        let store = DistantStore(one.store, latency: Self.latency) { kind, path in
            if kind == .delete { order.withLock { $0.append(path) } }
            return false
        }
        try await ExpireCommand(
            .test("--stanza=main expire --repo1-retention-full=1", [Repository(key: 1, store: store)])
        ).run()
        #expect(store.most(.delete) > 8 && store.most(.delete) <= 16)
        #expect(try await one.labels() == [BackupSeries.label("12F")])
        #expect(try await one.segments() == (0x3F0...0x3F4).map { BackupSeries.segment($0) })
        let deleted = order.withLock { $0 }
        let gone = deleted.filter { $0.hasSuffix("/backup.manifest") }
        #expect(gone == manifests.dropLast().reversed().map { "backup/main/\($0.label)/backup.manifest" })
        let copies = deleted.indices.filter { deleted[$0].hasSuffix("manifest.copy") }
        let sets = deleted.indices.filter { BackupLabel(String(deleted[$0].dropFirst("backup/main/".count))) != nil }
        #expect(copies.count == 11 && sets.count == 11)
        #expect(try #require(copies.max()) < #require(sets.min()))
    }

    @Test("One WAL segment takes two round trips, many have theirs together", arguments: [false, true])
    func archivePush(_ isUpgraded: Bool) async throws {
        let latency = Duration.milliseconds(200)
        let cluster = try GeneratedCluster()
        let memory = MemoryStore()
        let version = try #require(PostgresVersion("15"))
        let entries = (1...2).map { id in
            DatabaseHistoryEntry(
                id: id, systemIdentifier: GeneratedCluster.systemIdentifier &- (id == 1 ? 1 : 0), version: version)
        }
        try await Repository(key: 1, store: memory).saveArchiveInfo(
            isUpgraded
                ? ArchiveInfo(currentID: 2, history: entries)
                : ArchiveInfo(
                    currentID: 1,
                    history: [
                        DatabaseHistoryEntry(
                            id: 1, systemIdentifier: GeneratedCluster.systemIdentifier, version: version)
                    ]), stanza: "main")
        let store = DistantStore(memory, latency: latency)
        let repository = Repository(key: 1, store: store)
        let line = "--stanza=main --pg1-path=\(cluster.dataDirectory) --compress-type=lz4"
        let single = try cluster.makeSegment(1)
        try await ArchivePush(.test("\(line) archive-push \(single)", [repository])).run()
        #expect(store.depth == (isUpgraded ? 3 : 2))

        let count = 24
        let wal = "\(cluster.dataDirectory)/pg_wal"
        for number in 2..<(2 + count) {
            let path = try cluster.makeSegment(number)
            let name = BackupSeries.segment(number)
            try FileManager.default.moveItem(atPath: path, toPath: "\(wal)/\(name)")
            try Data().write(to: URL(filePath: "\(wal)/archive_status/\(name).ready"))
        }
        let spool = "--spool-path=\(cluster.scratch)/spool --lock-path=\(cluster.scratch)/lock --archive-async"
        try await ArchivePushBackground(
            .test("\(line) \(spool) --process-max=2 archive-push:async \(wal)", [repository])
        ).run()
        // More than the two processes.
        #expect(store.most(.commit) > 2)
        let id = isUpgraded ? "15-2" : "15-1"
        let found = try await Repository(key: 1, store: memory).listAll("archive/main/\(id)/0000000100000000")
        #expect(found.count == count + 1)
    }
}
