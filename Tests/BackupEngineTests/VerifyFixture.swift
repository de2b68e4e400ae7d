import BackupModel
import Checksums
import Foundation
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Testing

@testable import BackupEngine

/// A repository in memory with all kinds of objects: WAL of segments 1 to 6 of 1 MiB in lz4, a full backup with single
/// files, two bundles and a block-incremental file, and a differential backup that refers to it.
struct VerifyFixture {
    static let full = BackupSeries.label("2F")
    static let diff = BackupSeries.label("2F_4D")
    static let segmentSize = 1 << 20
    static let now = BackupSeries.time(30)

    let store: MemoryStore
    let repository: Repository

    init(
        cipherPass: String? = nil, latency: Duration = .zero,
        fault: @escaping @Sendable (MemoryStore.Operation, String) -> MemoryStore.Fault? = { _, _ in nil }
    ) async throws {
        store = MemoryStore(
            capabilities: [.createIfAbsent, .directories, .symlinks], latency: latency, pageSize: 3, fault: fault,
            now: { BackupSeries.time(20) })
        let pass = cipherPass.map { Secret($0) }
        repository = Repository(key: 1, store: store, cipherPass: pass)
        try await fill(
            archivePass: pass.map { _ in Secret("archive") }, backupPass: pass.map { _ in Secret("backup") },
            setPass: pass.map { _ in Secret("set") })
    }

    private func fill(
        archivePass: Secret<String>?, backupPass: Secret<String>?, setPass: Secret<String>?
    ) async throws {
        for number in 1...6 { try await putSegment(number, pass: archivePass) }
        try await repository.writeWhole(
            "archive/main/14-1/0000000100000000/\(BackupSeries.segment(2)).00000028.backup",
            Array("START WAL LOCATION: 0/200028 (file \(BackupSeries.segment(2)))\n".utf8),
            as: StoredForm(compress: .none, cipherPass: archivePass))
        try await repository.writeWhole(
            "archive/main/14-1/00000002.history", Array("1\t0/580000\treason\n".utf8),
            as: StoredForm(compress: .none, cipherPass: archivePass))

        var full = try BackupSeries.manifest("2F")
        full.options.compressType = .lz4
        full.isBundle = true
        full.isBundleRaw = true
        full.isBlockIncremental = true
        full.cipherPass = setPass
        try await add(["pg_data/PG_VERSION", "pg_data/base/1/100", "pg_data/base/1/101"], bundle: 1, to: &full)
        try await add(["pg_data/base/1/200", "pg_data/base/1/201"], bundle: 2, to: &full)
        try await addSingle("pg_data/base/1/1259", size: 300_000, to: &full)
        try await addSingle("pg_data/global/pg_control", size: 8192, to: &full)
        try await addBlocks("pg_data/base/1/500", to: &full)
        var empty = ManifestFile(
            name: "pg_data/base/1/empty", size: 0, timestamp: 1, mode: 0o600, user: "p", group: "p")
        empty.checksum = .ofNothing
        full.files.append(empty)
        full.paths = [ManifestPath(name: "pg_data", mode: 0o700, user: "p", group: "p")]
        full.files.sort()
        try await save(full, backupPass)

        var diff = try BackupSeries.manifest("2F_4D")
        diff.options.compressType = .lz4
        diff.isBundle = true
        diff.isBundleRaw = true
        diff.isBlockIncremental = true
        diff.cipherPass = setPass
        diff.references = [Self.full, Self.diff]
        for row in 0..<full.files.count where full.files.name(row) != "pg_data/global/pg_control" {
            var file = full.files[row]
            if file.size > 0 { file.reference = 0 }
            diff.files.append(file)
        }
        try await addSingle("pg_data/global/pg_control", size: 8192, to: &diff)
        diff.paths = full.paths
        diff.files.sort()
        try await save(diff, backupPass)

        var info = try BackupSeries.info([full, diff])
        info.cipherPass = backupPass
        try await repository.saveBackupInfo(info, stanza: "main")
        var archiveInfo = ArchiveInfo(
            currentID: 1,
            history: info.history.map {
                DatabaseHistoryEntry(id: $0.id, systemIdentifier: $0.systemIdentifier, version: $0.version)
            })
        archiveInfo.cipherPass = archivePass
        try await repository.saveArchiveInfo(archiveInfo, stanza: "main")
    }

    func putSegment(_ number: Int, ending: String = "", pass: Secret<String>? = nil) async throws {
        var bytes = [UInt8](repeating: UInt8(number), count: Self.segmentSize)
        // The long header of PostgreSQL 14: magic, flags, and the segment size.
        bytes.replaceSubrange(0..<4, with: [0x0D, 0xD1, 0x02, 0x00])
        bytes.replaceSubrange(32..<36, with: [0, 0, 0x10, 0])
        for index in 4096..<8192 { bytes[index] = UInt8(truncatingIfNeeded: index &* 31 &+ number) }
        let segment = BackupSeries.segment(number)
        let checksum = SHA1.hash(bytes.span.bytes).hex
        try await repository.writeWhole(
            "archive/main/14-1/\(segment.prefix(16))/\(segment)\(ending)-\(checksum).lz4", bytes,
            as: StoredForm(compress: .lz4, cipherPass: pass))
    }

    private func content(_ name: String, _ size: Int) -> [UInt8] {
        let seed = name.utf8.reduce(7) { $0 &* 31 &+ Int($1) }
        return (0..<size).map { UInt8(truncatingIfNeeded: $0 &* $0 &+ seed &+ $0 / 251) }
    }

    private func encoded(_ bytes: [UInt8], _ form: StoredForm) throws -> [UInt8] {
        guard let codec = try form.encoder() else { return bytes }
        let output = OutputBuffer(capacity: 1 << 20)
        var stored: [UInt8] = []
        var done = 0
        while done < bytes.count {
            done += try codec.process(bytes.span.bytes.extracting(done..<bytes.count), into: output)
            stored += output.filled
            output.clear()
        }
        while true {
            let isDone = try codec.finish(into: output)
            stored += output.filled
            output.clear()
            if isDone { return stored }
        }
    }

    private func row(_ name: String, _ bytes: [UInt8], _ stored: [UInt8]) -> ManifestFile {
        var file = ManifestFile(
            name: name, size: UInt64(bytes.count), timestamp: 1, mode: 0o600, user: "p", group: "p")
        file.checksum = SHA1.hash(bytes.span.bytes)
        file.repoChecksum = SHA1.hash(stored.span.bytes)
        file.repoSize = UInt64(stored.count)
        return file
    }

    private func add(_ names: [String], bundle: UInt64, to manifest: inout Manifest) async throws {
        var object: [UInt8] = []
        for name in names {
            let bytes = content(name, 9000)
            let stored = try encoded(
                bytes, StoredForm(compress: .lz4, cipherPass: manifest.cipherPass, isRaw: true))
            var file = row(name, bytes, stored)
            file.bundleID = bundle
            file.bundleOffset = UInt64(object.count)
            manifest.files.append(file)
            object += stored
        }
        try await repository.writeWhole(
            RepositoryPaths.bundle(stanza: "main", label: manifest.label, id: bundle), object)
    }

    private func addSingle(_ name: String, size: Int, to manifest: inout Manifest) async throws {
        let bytes = content(name + manifest.label, size)
        let stored = try encoded(bytes, StoredForm(compress: .lz4, cipherPass: manifest.cipherPass))
        let file = row(name, bytes, stored)
        manifest.files.append(file)
        try await repository.writeWhole(manifest.object(of: file, stanza: "main"), stored)
    }

    /// What lies in it is of no matter to the sum of what is stored.
    private func addBlocks(_ name: String, to manifest: inout Manifest) async throws {
        let bytes = content(name, 50_000)
        var file = row(name, bytes, bytes)
        file.blockSize = 8192
        file.blockMapSize = 40
        manifest.files.append(file)
        try await repository.writeWhole(manifest.object(of: file, stanza: "main"), bytes)
    }

    private func save(_ manifest: Manifest, _ pass: Secret<String>?) async throws {
        var encoder = ManifestEncoder(manifest)
        var bytes: [UInt8] = []
        while encoder.next(into: &bytes) {}
        let path = RepositoryPaths.manifest(stanza: "main", label: manifest.label)
        for path in [path, RepositoryPaths.copy(of: path)] {
            try await repository.writeWhole(path, bytes, as: StoredForm(compress: .none, cipherPass: pass))
        }
    }

    // MARK: Verification

    /// The error of a run, and its report.
    func verify(_ options: String = "", now: Int64 = now) async throws -> (error: BackupError?, text: String) {
        let context = try EngineContext.test(
            "--stanza=main --process-max=2 --output=text --verbose \(options) verify", [repository], now: now)
        return await verify(try VerifyCommand(context))
    }

    func verify(_ command: VerifyCommand) async -> (error: BackupError?, text: String) {
        var text = ""
        do {
            try await command.run { text = $0 }
            return (nil, text)
        } catch {
            return (error as? BackupError, text)
        }
    }

    /// The path of a segment's object.
    func segmentPath(_ number: Int) async throws -> String {
        let segment = BackupSeries.segment(number)
        let directory = "archive/main/14-1/\(segment.prefix(16))"
        let found = try await repository.listAll(directory, prefix: segment).map(\.name)
        return "\(directory)/\(try #require(found.first { $0.contains("-") }))"
    }

    func change(_ path: String, _ change: (inout [UInt8]) -> Void) async throws {
        var bytes = try #require(try await repository.readWhole(path))
        change(&bytes)
        try await repository.writeWhole(path, bytes)
    }
}
