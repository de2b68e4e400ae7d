import BackupEngine
import BackupModel
import Checksums
import Foundation
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Testing

/// A small cluster's backup in a store of its own, and a scratch directory to restore into.
struct RestoreFixture {
    static let stanza = "main"
    static let label = "20261121-034000F"

    var content: [String: [UInt8]]
    var compress: CompressType
    var bundled: Set<String> = []
    var isBundleRaw = false
    let store: PosixStore
    let scratch: String
    var manifest: Manifest
    var dataDirectory: String { scratch + "/pg" }

    static func database(id: Int = 1) throws -> BackupInfo.Database {
        let version = try #require(PostgresVersion("15"))
        return BackupInfo.Database(
            id: id, systemIdentifier: 7_000_000_000_000_000_001, version: version, catalogVersion: 202_209_061,
            controlVersion: 1300)
    }

    static func emptyManifest(
        label: String = label, online: Bool = true, compress: CompressType = .none
    ) throws -> Manifest {
        var options = ManifestOptions(compressType: compress)
        options.online = online
        var manifest = Manifest(
            label: label, type: .full, references: [label], timestampStart: 1_700_000_000,
            timestampCopyStart: 1_700_000_001, database: try database(), options: options)
        manifest.timestampStop = 1_700_000_100
        manifest.archiveStart = "000000010000000000000002"
        manifest.archiveStop = "000000010000000000000002"
        manifest.lsnStart = "0/2000028"
        manifest.lsnStop = "0/2000100"
        manifest.targets = [ManifestTarget(name: "pg_data", kind: .path, path: "/origin/pg")]
        return manifest
    }

    init(
        compress: CompressType = .none, content: [String: [UInt8]]? = nil, bundled: Set<String> = [],
        isBundleRaw: Bool = false
    ) throws {
        scratch = NSTemporaryDirectory() + "/permafrost-restore-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
        store = PosixStore(root: scratch + "/repo")
        self.compress = compress
        self.bundled = bundled
        self.isBundleRaw = isBundleRaw
        self.content =
            content ?? [
                "pg_data/PG_VERSION": Array("15\n".utf8),
                "pg_data/base/1/empty": [],
                "pg_data/base/1/1259": (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 251) },
                "pg_data/base/1/large": (0..<1_300_000).map { UInt8(truncatingIfNeeded: $0 / 4096 &+ $0 % 7) },
                "pg_data/base/1/small": Array("small file".utf8),
                "pg_data/global/pg_control": [UInt8](repeating: 7, count: 8192),
                "pg_data/postgresql.auto.conf": Array("recovery_target = 'immediate'\nwork_mem = '4MB'\n".utf8),
            ]
        // Offline, since the pg_control here is none: an online backup's is changed.
        manifest = try Self.emptyManifest(online: false, compress: compress)
        manifest.isBundle = !bundled.isEmpty
        manifest.isBundleRaw = isBundleRaw
        for name in ["pg_data", "pg_data/base", "pg_data/base/1", "pg_data/global"] {
            manifest.paths.append(ManifestPath(name: name, mode: 0o700, user: "postgres", group: "postgres"))
        }
    }

    func remove() { try? FileManager.default.removeItem(atPath: scratch) }

    /// Writes the objects, the manifest and backup.info.
    mutating func store() async throws {
        var bundle: [UInt8] = []
        for (name, bytes) in content.sorted(by: { $0.key < $1.key }) {
            var file = ManifestFile(
                name: name, size: UInt64(bytes.count), timestamp: 1_699_000_000, mode: 0o600, user: "postgres",
                group: "postgres")
            file.checksum = SHA1.hash(bytes.span.bytes)
            let isBundled = bundled.contains(name)
            let stored = try compressed(bytes, raw: isBundled && isBundleRaw)
            file.repoSize = UInt64(stored.count)
            if compress != .none { file.repoChecksum = SHA1.hash(stored.span.bytes) }
            if bytes.isEmpty {
                file.repoSize = 0
            } else if isBundled {
                file.bundleID = 1
                file.bundleOffset = UInt64(bundle.count)
                bundle += stored
            } else {
                try await put(object(name), stored)
            }
            manifest.files.append(file)
        }
        manifest.files.sort()
        if !bundle.isEmpty {
            try await put(RepositoryPaths.bundle(stanza: Self.stanza, label: Self.label, id: 1), bundle)
        }
        try await saveManifest()
    }

    func saveManifest() async throws {
        var encoder = ManifestEncoder(manifest)
        var bytes: [UInt8] = []
        while encoder.next(into: &bytes) {}
        let path = RepositoryPaths.manifest(stanza: Self.stanza, label: Self.label)
        for path in [path, RepositoryPaths.copy(of: path)] { try await put(path, bytes) }
        let info = BackupInfo(
            currentID: 1, history: [try Self.database()], backups: [BackupInfoEntry(manifest)])
        let infoPath = RepositoryPaths.backupInfo(stanza: Self.stanza)
        for path in [infoPath, RepositoryPaths.copy(of: infoPath)] { try await put(path, info.serialized()) }
    }

    func object(_ name: String) -> String {
        RepositoryPaths.backupFile(
            stanza: Self.stanza, label: Self.label, name: name, compress: compress, blockIncremental: false)
    }

    func put(_ path: String, _ bytes: [UInt8]) async throws {
        try await Repository(key: 1, store: store).writeWhole(path, bytes)
    }

    func get(_ path: String) async throws -> [UInt8] {
        try await Repository(key: 1, store: store).readWhole(path) ?? []
    }

    private func compressed(_ bytes: [UInt8], raw: Bool) throws -> [UInt8] {
        guard let codec = try Codecs.compressor(compress, level: 1, raw: raw) else { return bytes }
        let output = OutputBuffer(capacity: 1 << 16)
        var stored: [UInt8] = []
        var position = 0
        while position < bytes.count {
            output.clear()
            let rest = Array(bytes[position...])
            position += try codec.process(rest.span.bytes, into: output)
            stored += output.filled
        }
        var isDone = false
        while !isDone {
            output.clear()
            isDone = try codec.finish(into: output)
            stored += output.filled
        }
        return stored
    }

    var options: RestoreOptions {
        var options = RestoreOptions(stanza: Self.stanza, dataDirectory: dataDirectory)
        options.restoreCommand = "permafrost --stanza=main archive-get %f \"%p\""
        options.processMax = 2
        return options
    }

    func restore(_ change: (inout RestoreOptions) -> Void = { _ in }) async throws {
        var options = options
        change(&options)
        try await RestoreCommand.run(
            options, repositories: [Repository(key: 1, store: store)],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, workers: WorkerThreads(count: 2))
    }

    func path(_ name: String) -> String { dataDirectory + name.dropFirst("pg_data".count) }
    func restored(_ name: String) -> [UInt8]? { FileManager.default.contents(atPath: path(name)).map { [UInt8]($0) } }
    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }
    func write(_ name: String, _ text: String) throws {
        let url = URL(fileURLWithPath: path(name))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }
}

/// The code of the ``BackupError`` that `body` throws.
func errorCode(_ body: () async throws -> Void) async -> ErrorCode? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? BackupError)?.code
    }
}
