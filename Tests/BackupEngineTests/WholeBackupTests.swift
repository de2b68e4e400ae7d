@testable import BackupEngine
import BackupModel
import Foundation
import Logging
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Synchronization
import Testing

/// Whole backups of a directory into a store in memory, each read back by its manifest alone.
@Suite struct WholeBackupTests {
    static let forms = [
        "--compress-type=none", "--compress-type=zst", "--compress-type=lz4 --repo1-bundle",
        "--compress-type=none --repo1-bundle --repo1-bundle-limit=8KiB",
        "--compress-type=zst --repo1-bundle --repo1-bundle-size=1MiB",
        "--compress-type=none --repo1-bundle --repo1-block", "--compress-type=gz --repo1-bundle --repo1-block",
        "--compress-type=lz4 --repo1-bundle --repo1-block --repo1-bundle-limit=64KiB --process-max=3",
    ]

    static func fill(_ cluster: OfflineCluster) throws {
        for number in 0..<30 {
            try cluster.write(
                "base/1/\(1000 + number)", OfflineCluster.bytes(number * 977, seed: UInt64(number)), age: 7200)
        }
        try cluster.write("base/1/2000", OfflineCluster.bytes(300_000, seed: 7), age: 7200)
        try cluster.write("base/1/3000", OfflineCluster.bytes(1_500_000, seed: 8), age: 7200)
        try cluster.write("base/1/4000", [], age: 7200)
        try cluster.write("base/1/5000", OfflineCluster.bytes(50_000, seed: 9), age: 7200)
        try cluster.write("postgresql.conf", Array("port = 5432\n".utf8), age: 7200)
    }

    static func change(_ cluster: OfflineCluster, round: Int) throws {
        var large = OfflineCluster.bytes(1_500_000, seed: 8)
        for block in 0...round { large[block * 300_000 + 5] ^= 0x55 }
        try cluster.write("base/1/3000", large, age: 600 - round)
        // Grown, cut, emptied, new, gone, written again with the same bytes.
        try cluster.write("base/1/2000", OfflineCluster.bytes(300_000 + round * 10_000, seed: 7), age: 600 - round)
        try cluster.write("base/1/5000", OfflineCluster.bytes(50_000 - round * 16_000, seed: 9), age: 600 - round)
        try cluster.write("base/1/\(1010 + round)", [], age: 600 - round)
        try cluster.write("base/1/\(6000 + round)", OfflineCluster.bytes(20_000, seed: UInt64(round)), age: 600)
        try cluster.remove("base/1/\(1000 + round)")
        try cluster.touch("base/1/1020", age: 600 - round)
    }

    @Test("Full, diff and incr hold what the cluster held, and refer to what did not change", arguments: forms)
    func chain(_ form: String) async throws {
        let cluster = try OfflineCluster()
        let repository = try await OfflineRepository()
        try Self.fill(cluster)
        var states = [try cluster.content()]
        // Asked for more than there is to rest on: full.
        try await cluster.backup([repository], "\(form) --type=diff")
        for (round, type) in ["incr", "incr", "diff", "incr"].enumerated() {
            try Self.change(cluster, round: round)
            states.append(try cluster.content())
            try await cluster.backup([repository], "\(form) --type=\(type)")
        }
        let labels = try await repository.labels()
        #expect(labels.map { $0.last } == ["F", "I", "I", "D", "I"])
        #expect(labels.allSatisfy { $0.hasPrefix(labels[0]) })
        for (label, state) in zip(labels, states) {
            let content = try await repository.content(label)
            #expect(content.keys.sorted() == state.keys.sorted())
            for (name, bytes) in state { #expect(content[name] == bytes, "\(label) \(name)") }
        }
        let manifests = try await labels.asyncMap { try await repository.manifest($0) }
        #expect(manifests[2].references == [labels[0], labels[1], labels[2]])
        #expect(manifests[3].references == [labels[0], labels[3]] && manifests[3].prior == labels[0])
        #expect(manifests[4].references == [labels[0], labels[3], labels[4]] && manifests[4].prior == labels[3])
        for manifest in manifests.dropFirst() {
            for name in ["pg_data/base/1/1025", "pg_data/base/1/1020", "pg_data/PG_VERSION"] {
                let row = try #require(manifest.files.index(of: name))
                #expect(manifest.files.reference(row) == 0, "\(manifest.label) \(name)")
            }
            #expect(!manifest.options.delta!)
        }
        if form.contains("block") {
            // One block of the large file.
            let row = try #require(manifests[1].files.index(of: "pg_data/base/1/3000"))
            #expect(manifests[1].files.repoSize(row) < 100_000 && manifests[1].files.blockMapSize(row) > 0)
        }
        let objects = try await repository.repository.listAll("backup/main/\(labels[4])").map(\.name)
        #expect(objects.contains("bundle") == form.contains("bundle"))
        #expect(
            try await repository.repository.loadBackupInfo(stanza: "main").backups[4].references == [
                labels[0], labels[3],
            ])
    }

    @Test("Deltas trust no time", arguments: ["", " --repo1-bundle --repo1-block"])
    func delta(_ form: String) async throws {
        let cluster = try OfflineCluster()
        let repository = try await OfflineRepository()
        try Self.fill(cluster)
        try await cluster.backup([repository], "--type=full\(form)")
        // Changed behind the back of its time, small and large.
        var bytes = OfflineCluster.bytes(1_500_000, seed: 8)
        bytes[1_200_000] ^= 1
        try cluster.write("base/1/3000", bytes, age: 7200)
        try cluster.write("base/1/1007", OfflineCluster.bytes(7 * 977, seed: 99), age: 7200)
        for name in ["base/1/3000", "base/1/1007"] { try cluster.touch(name, age: 7200) }
        let full = try await repository.manifest(repository.labels()[0])
        for name in ["base/1/3000", "base/1/1007"] {
            let row = try #require(full.files.index(of: "pg_data/\(name)"))
            let date = Date(timeIntervalSince1970: Double(full.files.timestamp(row)))
            try FileManager.default.setAttributes(
                [.modificationDate: date], ofItemAtPath: "\(cluster.directory)/\(name)")
        }
        try await cluster.backup([repository], "--type=incr --delta\(form)")
        let label = try #require(try await repository.labels().last)
        #expect(try await repository.content(label) == cluster.content())
        let manifest = try await repository.manifest(label)
        #expect(manifest.options.delta == true)
        for row in 0..<manifest.files.count where manifest.files.size(row) > 0 {
            let isChanged = ["3000", "1007", "pg_control"].contains { manifest.files.name(row).hasSuffix("/\($0)") }
            #expect(manifest.files.hasReference(row) == !isChanged, "\(manifest.files.name(row))")
        }
    }

    @Test("Each of several repositories gets its own backup in one pass; one that fails does not stop the others")
    func several() async throws {
        let cluster = try OfflineCluster()
        try Self.fill(cluster)
        let isBroken = Mutex(false)
        let first = try await OfflineRepository(key: 1)
        let second = try await OfflineRepository(key: 2) { operation, path in
            guard isBroken.withLock({ $0 }), operation == .append, path.contains("bundle") else { return nil }
            return .before(StorageError(BackupError(.fileWrite, "the disk is full")))
        }
        let third = try await OfflineRepository(key: 4)
        let options = "--repo1-path=/a --repo2-path=/b --repo4-path=/d --repo2-bundle --repo4-bundle --repo4-block"
        try await cluster.backup([first], "\(options) --type=full")
        let reads = CountingProgress()
        try await cluster.backup([first, second, third], "\(options) --type=incr", progress: reads)
        let labels = try await [first, second, third].asyncMap { try #require(try await $0.labels().last) }
        #expect(labels.map { $0.last } == ["I", "F", "F"] && labels[1] == labels[2])
        #expect(labels[0].suffix(16).dropLast() == labels[1].dropLast())
        let state = try cluster.content()
        for (repository, label) in zip([first, second, third], labels) {
            #expect(try await repository.content(label) == state)
        }
        // Read once, whatever the number of repositories.
        #expect(reads.total == UInt64(state.values.reduce(0) { $0 + $1.count }))

        try Self.change(cluster, round: 1)
        isBroken.withLock { $0 = true }
        let error = await #expect(throws: BackupError.self) {
            try await cluster.backup([first, second, third], "\(options) --type=diff")
        }
        #expect(error?.code == .fileWrite && error?.message.contains("repo2") == true)
        #expect(try await second.labels() == [labels[1]])
        for repository in [first, third] {
            let label = try #require(try await repository.labels().last)
            #expect(label.hasSuffix("D"))
            #expect(try await repository.content(label) == cluster.content())
        }
        // What was left behind is gone on with or removed.
        isBroken.withLock { $0 = false }
        try await cluster.backup([first, second, third], "\(options) --type=incr")
        let last = try #require(try await second.labels().last)
        #expect(try await second.content(last) == cluster.content())
        #expect(try await second.repository.listAll("backup/main").filter { $0.name.first == "2" }.count == 2)
    }

    @Test(
        "An interrupted backup is gone on with: what it stored is kept when it is whole",
        arguments: ["full", "incr"],
        ["", " --repo1-bundle --repo1-bundle-size=1MiB --repo1-bundle-limit=64KiB --repo1-block"])
    func resume(_ type: String, _ form: String) async throws {
        let cluster = try OfflineCluster()
        try Self.fill(cluster)
        // Sizes that fill several bundles.
        for number in 0..<40 {
            try cluster.write("base/2/\(number)", OfflineCluster.bytes(60_000, seed: UInt64(number)), age: 7200)
        }
        let failure = Mutex(Int.max)
        let repository = try await OfflineRepository { operation, path in
            guard operation == .commit, path.contains("pg_data/") || path.contains("/bundle/") else { return nil }
            let isFailing = failure.withLock {
                $0 -= 1
                return $0 < 0
            }
            return isFailing ? .before(StorageError(BackupError(.fileWrite, "the disk is gone"))) : nil
        }
        let options = "--type=\(type) --compress-type=zst --manifest-save-threshold=1B\(form)"
        if type == "incr" {
            try await cluster.backup([repository], "--type=full --compress-type=zst\(form)")
            for number in 0..<40 {
                try cluster.write("base/2/\(number)", OfflineCluster.bytes(60_000, seed: UInt64(100 + number)), age: 60)
            }
            try Self.change(cluster, round: 2)
        }
        let before = try await repository.labels()
        failure.withLock { $0 = form.isEmpty ? 20 : 3 }
        await #expect(throws: BackupError.self) { try await cluster.backup([repository], options) }
        failure.withLock { $0 = .max }
        let directories = try await repository.repository.listAll("backup/main").map(\.name)
        let unfinished = try #require(directories.last { $0.first == "2" && !before.contains($0) })
        let set = "backup/main/\(unfinished)"
        let saved = try #require(
            try await repository.repository.decodeManifest("\(set)/backup.manifest.copy", as: .plain))
        let kept = (0..<saved.files.count).filter {
            saved.files.checksum($0) != nil && !saved.files.hasReference($0) && saved.files.size($0) > 0
        }
        #expect(kept.count > 3)
        // One of what was kept is damaged, another file has changed since, and something is there that nobody knows.
        let victim = saved.files[try #require(kept.first)]
        let object = saved.object(of: victim, stanza: "main")
        var bytes = try #require(try await repository.repository.readWhole(object))
        bytes[Int(victim.bundleOffset)] ^= 1
        try await repository.repository.writeWhole(object, bytes)
        try await repository.repository.writeWhole("\(set)/pg_data/base/9/strange", [1])
        let changed = saved.files[try #require(kept.last)]
        try cluster.write(String(changed.name.dropFirst("pg_data/".count)), [1, 2, 3], age: 30)

        try await cluster.backup([repository], options)
        #expect(try await repository.labels() == before + [unfinished])
        #expect(try await repository.content(unfinished) == cluster.content())
        #expect(try await repository.repository.readWhole("\(set)/pg_data/base/9/strange") == nil)
        let manifest = try await repository.manifest(unfinished)
        let stays = kept.dropFirst().dropLast().filter { saved.files.name($0) != changed.name }
        for row in stays {
            let now = manifest.files[try #require(manifest.files.index(of: saved.files.name(row)))]
            #expect(now.bundleID == saved.files.bundleID(row) && now.bundleOffset == saved.files.bundleOffset(row))
        }
        let again = manifest.files[try #require(manifest.files.index(of: victim.name))]
        if victim.bundleID != 0 { #expect(again.bundleID > saved.files.bundleID(kept[0])) }
    }

    @Test(
        "What cannot be gone on with is removed",
        arguments: [
            "--type=incr --compress-type=zst --no-resume", "--type=full --compress-type=zst",
            "--type=diff --compress-type=zst", "--type=incr --compress-type=zst --repo1-bundle",
        ])
    func noResume(_ option: String) async throws {
        let cluster = try OfflineCluster()
        try Self.fill(cluster)
        let repository = try await OfflineRepository()
        try await cluster.backup([repository], "--type=full --compress-type=zst")
        let full = try await repository.labels()
        try Self.change(cluster, round: 0)
        let failing = Repository(
            key: 1,
            store: MeddlingStore(memory: repository.memory) { path, _ in
                if path.hasSuffix("base/1/3000.zst") {
                    throw StorageError(BackupError(.fileWrite, "the disk is gone"))
                }
            })
        await #expect(throws: BackupError.self) {
            try await cluster.backup([failing], "--type=incr --compress-type=zst")
        }
        try await cluster.backup([repository], option)
        let labels = try await repository.labels()
        #expect(labels.count == 2 && labels[0] == full[0])
        #expect(try await repository.content(labels[1]) == cluster.content())
        let directories = try await repository.repository.listAll("backup/main").map(\.name)
        #expect(directories.filter { $0.first == "2" } == labels)
    }

    @Test("A backup whose directory was removed meanwhile does not end well")
    func directoryLost() async throws {
        let cluster = try OfflineCluster()
        try Self.fill(cluster)
        let repository = try await OfflineRepository()
        let removing = Repository(
            key: 1,
            store: MeddlingStore(memory: repository.memory) { path, store in
                guard path.hasSuffix("base/1/1015") else { return }
                let set = path.split(separator: "/").prefix(3).joined(separator: "/")
                try await store.deleteTree(set)
            })
        let error = await #expect(throws: BackupError.self) {
            try await cluster.backup([removing], "--type=full --compress-type=none")
        }
        #expect(error?.code == .fileMissing)
        #expect(try await repository.labels() == [])
        try await cluster.backup([repository], "--type=full --compress-type=none")
        #expect(try await repository.labels().count == 1)
    }

    @Test("With repo-hardlink all files of a set lie under its own directory")
    func hardlink() async throws {
        let cluster = try OfflineCluster()
        try Self.fill(cluster)
        let repository = try await OfflineRepository()
        try await cluster.backup([repository], "--type=full --compress-type=none --repo1-hardlink")
        try Self.change(cluster, round: 0)
        try await cluster.backup([repository], "--type=incr --compress-type=none --repo1-hardlink")
        let label = try #require(try await repository.labels().last)
        #expect(try await repository.manifest(label).options.hardlink)
        for (name, bytes) in try cluster.content() {
            #expect(try await repository.repository.readWhole("backup/main/\(label)/\(name)") == bytes, "\(name)")
        }
    }

    @Test("What a set was begun with stays, whatever the options of a later run say")
    func settingsStay() async throws {
        let cluster = try OfflineCluster()
        try Self.fill(cluster)
        let repository = try await OfflineRepository()
        try await cluster.backup([repository], "--type=full --compress-type=zst --compress-level=5 --repo1-bundle")
        try Self.change(cluster, round: 0)
        try await cluster.backup(
            [repository], "--type=incr --compress-type=lz4 --checksum-page --repo1-bundle --repo1-block")
        let label = try #require(try await repository.labels().last)
        let manifest = try await repository.manifest(label)
        #expect(manifest.options.compressType == .zst && manifest.options.compressLevel == 5)
        #expect(manifest.options.checksumPage == false)
        #expect(manifest.isBundle && manifest.isBlockIncremental && !manifest.isBundleRaw)
        #expect(try await repository.content(label) == cluster.content())
    }
}

private final class CountingProgress: ProgressSink {
    private let sum = Mutex<UInt64>(0)
    var total: UInt64 { sum.withLock { $0 } }
    func begin(total: UInt64) {}
    func add(_ bytes: UInt64) { sum.withLock { $0 += bytes } }
    func end() {}
}

/// Does something behind the backup's back before an object is opened for writing.
struct MeddlingStore: StoreWrapper {
    let memory: MemoryStore
    let meddle: @Sendable (String, MemoryStore) async throws -> Void

    var store: any RepositoryStore { memory }

    func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try await meddle(path, memory)
        return try await store.write(path, mode)
    }
}

extension Array {
    func asyncMap<Value>(_ transform: (Element) async throws -> Value) async throws -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await transform(element)) }
        return values
    }
}
