@testable import BackupEngine
import BackupModel
import Checksums
import Foundation
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Testing

/// A directory that passes for a stopped cluster of PostgreSQL 15, and its files' bytes.
final class OfflineCluster {
    static let systemIdentifier: UInt64 = 7_000_000_000_000_000_001
    let directory: String

    init() throws {
        directory = NSTemporaryDirectory() + "permafrost-offline-" + UUID().uuidString
        try write("PG_VERSION", Array("15\n".utf8))
        try write("global/pg_control", Self.control())
        for name in ["pg_wal", "pg_tblspc"] {
            try FileManager.default.createDirectory(
                atPath: "\(directory)/\(name)", withIntermediateDirectories: true)
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// Writes a file `age` seconds old.
    func write(_ name: String, _ bytes: [UInt8], age: Int = 3600) throws {
        let path = "\(directory)/\(name)"
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(filePath: path))
        try touch(name, age: age)
    }

    func touch(_ name: String, age: Int) throws {
        let date = Date(timeIntervalSince1970: (Date().timeIntervalSince1970 - Double(age)).rounded(.down))
        try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: "\(directory)/\(name)")
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: "\(directory)/\(name)") }

    /// All files by their names in a manifest.
    func content() throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for case let name as String in FileManager.default.enumerator(atPath: directory) ?? .init() {
            var isDirectory: ObjCBool = false
            let path = "\(directory)/\(name)"
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue
            else { continue }
            found["pg_data/\(name)"] = try Array(Data(contentsOf: URL(filePath: path)))
        }
        return found
    }

    /// Bytes that compress a little, the same for the same seed.
    static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        var words = [UInt64](repeating: 0, count: count / 8 + 1)
        for index in words.indices {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            words[index] = state & 0x3F3F_3F3F_3F3F_3F3F
        }
        return words.withUnsafeBytes { Array($0.prefix(count)) }
    }

    private static func control() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8192)
        func store(_ value: some FixedWidthInteger, _ offset: Int) {
            withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + $0.count, with: $0) }
        }
        store(systemIdentifier, 0)
        store(UInt32(1300), 8)
        store(UInt32(202_209_061), 12)
        store(UInt64(0x123_4567), 32)
        store(UInt32(1), 48)
        store(UInt32(8192), 216)
        store(UInt32(16 << 20), 228)
        store(crc32c(bytes.span.bytes.extracting(0..<288)), 288)
        return bytes
    }
}

/// A repository in memory with a stanza for ``OfflineCluster``.
struct OfflineRepository {
    static let stanza = "main"
    let memory: MemoryStore
    let repository: Repository

    init(
        key: Int = 1, capabilities: StoreCapabilities = [.createIfAbsent, .directories, .symlinks, .hardLinks],
        latency: Duration = .zero,
        fault: @escaping @Sendable (MemoryStore.Operation, String) -> MemoryStore.Fault? = { _, _ in nil }
    ) async throws {
        let memory = MemoryStore(capabilities: capabilities, latency: latency, fault: fault)
        try await self.init(key: key, memory, as: memory)
    }

    /// - Parameter store: `memory`, or what lies around it.
    init(key: Int = 1, _ memory: MemoryStore, as store: any RepositoryStore) async throws {
        self.memory = memory
        repository = Repository(key: key, store: store)
        let version = try #require(PostgresVersion("15"))
        try await repository.saveBackupInfo(
            BackupInfo(
                currentID: 1,
                history: [
                    BackupInfo.Database(
                        id: 1, systemIdentifier: OfflineCluster.systemIdentifier, version: version,
                        catalogVersion: 202_209_061, controlVersion: 1300)
                ], backups: []), stanza: Self.stanza)
        try await repository.saveArchiveInfo(
            ArchiveInfo(
                currentID: 1,
                history: [
                    DatabaseHistoryEntry(
                        id: 1, systemIdentifier: OfflineCluster.systemIdentifier, version: version)
                ]), stanza: Self.stanza)
    }

    /// What is in `memory` already.
    init(adopting memory: MemoryStore) {
        self.memory = memory
        repository = Repository(key: 1, store: memory)
    }

    func labels() async throws -> [String] {
        try await repository.loadBackupInfo(stanza: Self.stanza).backups.map(\.label)
    }

    func manifest(_ label: String) async throws -> Manifest {
        try await repository.loadManifest(stanza: Self.stanza, label: label, cipherPass: nil)
    }

    /// The bytes of all files of a backup, read by its manifest alone.
    func content(_ label: String) async throws -> [String: [UInt8]] {
        let manifest = try await manifest(label)
        var found: [String: [UInt8]] = [:]
        for row in 0..<manifest.files.count {
            let file = manifest.files[row]
            found[file.name] = try await content(of: file, in: manifest)
        }
        return found
    }

    private func content(of file: ManifestFile, in manifest: Manifest) async throws -> [UInt8] {
        if file.size == 0, manifest.isBundle { return [] }
        guard file.isBlockIncremental else {
            let end = file.bundleOffset + file.repoSize
            let bytes = try await read(
                manifest.object(of: file, stanza: Self.stanza), file.bundleID == 0 ? nil : file.bundleOffset..<end,
                manifest.form(of: file))
            #expect(bytes.checksum == file.checksum)
            return bytes.content
        }
        let map = try await repository.loadBlockMap(of: file, in: manifest, stanza: Self.stanza)
        var content: [UInt8] = []
        let blockSize = Int(file.blockSize)
        for item in map.items {
            let label = manifest.references[Int(item.reference)]
            let object =
                item.bundleID > 0
                ? RepositoryPaths.bundle(stanza: Self.stanza, label: label, id: item.bundleID)
                : RepositoryPaths.backupFile(
                    stanza: Self.stanza, label: label, name: file.name, compress: .none, blockIncremental: true)
            let superBlock = try await read(
                object, item.offset..<item.offset + item.storedSize, manifest.form(of: file)
            ).content
            content += superBlock.dropFirst(Int(item.block) * blockSize).prefix(blockSize)
        }
        var sum = SHA1()
        sum.update(content.span.bytes)
        #expect(sum.finish() == file.checksum && UInt64(content.count) == file.size)
        return content
    }

    private func read(
        _ path: String, _ range: Range<UInt64>?, _ form: StoredForm
    ) async throws -> (content: [UInt8], checksum: SHA1Digest) {
        var content: [UInt8] = []
        let reader = try await memory.read(path, range: range)
        let (checksum, _) = try await ObjectContentReader().read(reader, form.decoder()) {
            content.append(contentsOf: $0)
        }
        return (content, checksum)
    }
}

extension OfflineCluster {
    /// Makes a backup with `options` as one would type them.
    func backup(
        _ repositories: [OfflineRepository], _ options: String, logger: Logger? = nil,
        progress: any ProgressSink = SilentProgress()
    ) async throws {
        try await backup(repositories.map(\.repository), options, logger: logger, progress: progress)
    }

    func backup(
        _ repositories: [Repository], _ options: String, logger: Logger? = nil,
        progress: any ProgressSink = SilentProgress()
    ) async throws {
        let line = "--no-config --stanza=main --pg1-path=\(directory) --no-online \(options) backup"
        let context = EngineContext(
            configuration: try Configuration.parse(arguments: line.split(separator: " ").map(String.init)),
            repositories: repositories, logger: logger ?? Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            now: { Int64(time(nil)) }, progress: progress)
        try await BackupCommand(context).run()
    }
}
