import BackupEngine
import BackupModel
import Checksums
import Foundation
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Synchronization
import Testing

/// A way to store backups. Rows whose options or types this version refuses are left out.
struct BackupKind: Sendable, CustomTestStringConvertible {
    var name: String
    /// As in a configuration file, without `repo1-`; those that begin with `repo-` are of each repository.
    var options: [String: String] = [:]
    /// Of the backups that there are before the one that is disturbed.
    var types = ["full"]
    /// Of that one.
    var type = "full"
    /// Whether the repositories are behind a network: many calls are in flight at once.
    var isFar = false

    var testDescription: String { name }

    static let all = [
        BackupKind(name: "full"),
        BackupKind(name: "full, gz", options: ["compress-type": "gz"]),
        BackupKind(name: "full, bundles", options: ["repo-bundle": "y", "compress-type": "lz4"]),
        BackupKind(
            name: "full, blocks",
            options: ["repo-bundle": "y", "repo-block": "y", "compress-type": "zst"]),
        BackupKind(
            name: "full, encrypted", options: ["repo-cipher-type": "aes-256-cbc", "repo-cipher-pass": "secret"]),
        BackupKind(name: "diff", types: ["full"], type: "diff"),
        BackupKind(name: "incr on diff", options: ["compress-type": "gz"], types: ["full", "diff"], type: "incr"),
        BackupKind(
            name: "incr, bundles", options: ["repo-bundle": "y", "compress-type": "lz4"], types: ["full"], type: "incr"),
        BackupKind(
            name: "incr, blocks, encrypted",
            options: [
                "repo-bundle": "y", "repo-block": "y", "compress-type": "zst", "repo-cipher-type": "aes-256-cbc",
                "repo-cipher-pass": "secret",
            ], types: ["full", "incr"], type: "incr"),
        BackupKind(name: "full, far", options: ["compress-type": "zst"], isFar: true),
        BackupKind(
            name: "incr, bundles and blocks, far",
            options: ["repo-bundle": "y", "repo-block": "y", "repo-bundle-limit": "8KiB", "compress-type": "lz4"],
            types: ["full"], type: "incr", isFar: true),
        BackupKind(name: "incr, hard links", options: ["repo-hardlink": "y"], types: ["full"], type: "incr"),
    ]
}

/// A generated cluster, repositories in memory that can be made to fail, and what must be found in them.
struct FaultWorld {
    static let stanza = "main"

    let cluster: GeneratedCluster
    let kind: BackupKind
    private(set) var stores: [MemoryStore]
    private(set) var faults = FaultSwitch()
    /// Seconds since 1970. Far ahead of the files' times, so that no copy waits for a second to end.
    var now = Int64(Date().timeIntervalSince1970) + 86400
    /// What each backup holds or held, by label.
    private(set) var backups: [String: [String: [UInt8]]] = [:]
    /// Those that must be there.
    private(set) var kept: Set<String> = []
    /// WAL files that a push has acknowledged, by name.
    private(set) var segments: [String: [UInt8]] = [:]

    init(_ kind: BackupKind = BackupKind(name: "full"), repositories: Int = 1) throws {
        self.kind = kind
        cluster = try GeneratedCluster()
        stores = (0..<repositories).map { _ in
            kind.isFar
                ? MemoryStore(capabilities: [.createIfAbsent], concurrency: .remote)
                : MemoryStore(capabilities: [.createIfAbsent, .directories, .symlinks])
        }
    }

    /// The same with stores of its own.
    func fresh() -> FaultWorld {
        var fresh = self
        fresh.stores = stores.map { $0.copy() }
        return fresh
    }

    /// Another host on the repositories of `other`: no fault meets it.
    func sharing(_ other: FaultWorld) -> FaultWorld {
        var sharing = self
        sharing.stores = other.stores
        sharing.faults = FaultSwitch()
        return sharing
    }

    /// Takes over what another host has made of the same repositories.
    mutating func adopt(_ other: FaultWorld) {
        backups.merge(other.backups) { $1 }
        kept.formUnion(other.kept)
        segments.merge(other.segments) { $1 }
    }

    func losePower(keeping: (String) -> Bool) { for store in stores { store.losePower(keeping: keeping) } }

    // MARK: Commands

    func context(
        _ command: String, _ options: [String] = [], parameters: [String] = [], retrying: Bool = false
    ) throws -> EngineContext {
        var environment = [
            "PGBACKREST_STANZA": Self.stanza, "PGBACKREST_PG1_PATH": cluster.dataDirectory, "PGBACKREST_ONLINE": "n",
            "PGBACKREST_PROCESS_MAX": "1", "PGBACKREST_COMPRESS_TYPE": "none",
            "PGBACKREST_LOCK_PATH": "\(cluster.scratch)/lock", "PGBACKREST_SPOOL_PATH": "\(cluster.scratch)/spool",
        ]
        for key in 1...stores.count {
            environment["PGBACKREST_REPO\(key)_PATH"] = "/repo\(key)"
            environment["PGBACKREST_REPO\(key)_RETENTION_FULL"] = "9"
        }
        for (name, value) in kind.options {
            for key in 1...stores.count {
                let option = name.hasPrefix("repo-") ? "repo\(key)-" + name.dropFirst(5) : name
                environment["PGBACKREST_\(option.uppercased().replacing("-", with: "_"))"] = value
            }
        }
        let configuration = try Configuration.parse(
            arguments: options + [command] + parameters, environment: environment)
        let pass = kind.options["repo-cipher-pass"].map { Secret($0) }
        let repositories = stores.enumerated().map { index, store in
            let faulting: any RepositoryStore = FaultingStore(store: store, faults: faults)
            return Repository(
                key: index + 1,
                store: retrying
                    ? RetryingStore(faulting, policy: RetryPolicy(shortest: .zero, longest: .zero)) : faulting,
                cipherPass: pass)
        }
        let now = self.now
        return EngineContext(
            configuration: configuration, repositories: repositories,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, now: { now }, progress: SilentProgress())
    }

    func create() async throws {
        let context = try context("stanza-create")
        try await CommandLocks.inRepositories(context.repositories, context) {
            try await StanzaCommands(context).create()
        }
    }

    /// Makes a backup, and remembers what it holds.
    @discardableResult
    mutating func backup(
        _ type: String = "full", _ options: [String] = [], retrying: Bool = false
    ) async throws -> String {
        now += 1000
        try await BackupCommand(context("backup", ["--type=\(type)"] + options, retrying: retrying)).run()
        let label = try #require(try await labels().last)
        backups[label] = try cluster.content()
        kept.insert(label)
        return label
    }

    mutating func push(_ path: String, retrying: Bool = false) async throws {
        now += 1000
        try await ArchivePush(context("archive-push", parameters: [path], retrying: retrying)).run()
        segments[URL(fileURLWithPath: path).lastPathComponent] = try bytes(path)
    }

    func bytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    /// Backups that may be gone from now on, and segments.
    mutating func release(backups: some Sequence<String>, allSegments: Bool = false) {
        kept.subtract(backups)
        if allSegments { segments = [:] }
    }

    // MARK: What is there

    /// The repositories without faults.
    var repositories: [Repository] {
        get throws {
            try context("info").repositories.enumerated().map { index, one in
                Repository(key: one.key, store: stores[index], cipherPass: one.cipherPass)
            }
        }
    }

    func labels(_ index: Int = 0) async throws -> [String] {
        try await repositories[index].loadBackupInfo(stanza: Self.stanza).backups.map(\.label)
    }

    /// Fetches a WAL file; nil when it is said not to be there.
    func get(_ name: String, retrying: Bool = false) async throws -> [UInt8]? {
        let path = "\(cluster.scratch)/fetched"
        try? FileManager.default.removeItem(atPath: path)
        let found = try await ArchiveGet(context("archive-get", parameters: [name, path], retrying: retrying)).run()
        return found ? [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) : nil
    }

    /// Restores into `name` of the scratch directory.
    func restore(
        _ label: String? = nil, from repositories: [Repository]? = nil, to name: String = "restored",
        delta: Bool = false
    ) async throws {
        var options = RestoreOptions(stanza: Self.stanza, dataDirectory: "\(cluster.scratch)/\(name)")
        options.set = label
        options.delta = delta
        options.restoreCommand = "false"
        try await RestoreCommand.run(
            options, repositories: repositories ?? context("restore").repositories,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, workers: WorkerThreads(count: 1))
    }

    func restored(_ name: String = "restored") throws -> [String: [UInt8]] {
        let own = ["postgresql.auto.conf", "recovery.signal", "standby.signal"]
        return try GeneratedCluster.content(of: "\(cluster.scratch)/\(name)").filter { !own.contains($0.key) }
    }

    func removeRestored(_ name: String = "restored") throws {
        if FileManager.default.fileExists(atPath: "\(cluster.scratch)/\(name)") {
            try FileManager.default.removeItem(atPath: "\(cluster.scratch)/\(name)")
        }
    }

    // MARK: Invariants

    /// Every repository is whole: its info files can be read, every backup that is listed restores byte for byte, those
    /// that were good are listed, and all WAL that was acknowledged comes back.
    /// - Parameter mayDisagree: whether the two info files may have other histories.
    func requireSound(_ proofs: RestoreProofs, mayDisagree: Bool = false, _ comment: Comment) async {
        do {
            for (index, repository) in try repositories.enumerated() {
                let info = try await repository.loadBackupInfo(stanza: Self.stanza)
                let archive = try await repository.loadArchiveInfo(stanza: Self.stanza)
                #expect(mayDisagree || archive.history.map(\.id) == info.history.map(\.id), comment)
                for label in info.backups.map(\.label) {
                    let set = stores[index].content.filter { $0.key.hasPrefix("backup/main/\(label.prefix(16))") }
                    let expected = try backups[label] ?? cluster.content()
                    if proofs.has(label, set) { continue }
                    try removeRestored("proof")
                    try await restore(label, from: [repository], to: "proof")
                    let found = try restored("proof")
                    #expect(differences(found, expected) == [], comment)
                    proofs.add(label, set)
                }
                if index == 0 { #expect(kept.subtracting(info.backups.map(\.label)) == [], comment) }
            }
            for (name, bytes) in segments {
                var set: [String: [UInt8]] = [:]
                for (index, store) in stores.enumerated() {
                    for (path, bytes) in store.content where path.contains(name) || path.contains("archive.info") {
                        set["\(index) \(path)"] = bytes
                    }
                }
                if proofs.has(name, set) { continue }
                proofs.add(name, set)
                let found = try await get(name)
                if !isSame(found, bytes) { Issue.record("WAL '\(name)' is lost: \(comment)") }
            }
        } catch {
            Issue.record("\(comment): \(error)")
        }
    }
}

/// Sets that were restored and found right, and WAL that was fetched: the same bytes need no second look.
final class RestoreProofs: Sendable {
    private let sets = Mutex<Set<SHA1Digest>>([])

    func add(_ label: String, _ set: [String: [UInt8]]) { _ = sets.withLock { $0.insert(Self.sum(label, set)) } }

    func has(_ label: String, _ set: [String: [UInt8]]) -> Bool { sets.withLock { $0.contains(Self.sum(label, set)) } }

    private static func sum(_ label: String, _ set: [String: [UInt8]]) -> SHA1Digest {
        var sum = SHA1()
        for (path, bytes) in set.sorted(by: { $0.key < $1.key }) {
            let heading = Array("\(label) \(path) \(bytes.count)\n".utf8)
            sum.update(heading.span.bytes)
            sum.update(bytes.span.bytes)
        }
        return sum.finish()
    }
}

/// The files that are in only one of the two, or other in one than in the other.
func differences(_ one: [String: [UInt8]], _ other: [String: [UInt8]]) -> [String] {
    Set(one.keys).union(other.keys).filter { !isSame(one[$0], other[$0]) }.sorted()
}

/// Equality that is fast in debug builds too. What is missing equals nothing.
func isSame(_ one: [UInt8]?, _ other: [UInt8]?) -> Bool {
    guard let one, let other, one.count == other.count else { return false }
    return one.withUnsafeBytes { one in
        other.withUnsafeBytes { other in
            guard let first = one.baseAddress, let second = other.baseAddress, first != second else { return true }
            return memcmp(first, second, one.count) == 0
        }
    }
}
