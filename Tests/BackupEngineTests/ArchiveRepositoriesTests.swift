import BackupEngine
import BackupModel
import Checksums
import Foundation
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Synchronization
import Testing

/// Several repositories of which one hangs or fails: the others are not held up.
@Suite(.timeLimit(.minutes(10))) struct ArchiveRepositoriesTests {
    /// Holds up whoever passes, until it is opened or half a minute is over.
    private final class Gate: Sendable {
        private let isOpen = Atomic<Bool>(false)

        func open() { isOpen.store(true, ordering: .relaxed) }

        func pass() {
            for _ in 0..<3000 where !isOpen.load(ordering: .relaxed) { usleep(10_000) }
        }
    }

    private static let systemIdentifier: UInt64 = 7_000_000_000_000_000_001
    private static let history = "00000002.history"
    private static let object = "archive/main/15-1/\(history)"

    private func repository(_ key: Int, behind gate: Gate? = nil, hasStanza: Bool = true) async throws
        -> MemoryRepository
    {
        let isFilled = Mutex(false)
        let repository = MemoryRepository(key: key) { _, _ in
            if isFilled.withLock({ $0 }) { gate?.pass() }
            return nil
        }
        if hasStanza {
            let version = try #require(PostgresVersion("15"))
            try await repository.repository.saveArchiveInfo(
                ArchiveInfo(
                    currentID: 1,
                    history: [
                        DatabaseHistoryEntry(id: 1, systemIdentifier: Self.systemIdentifier, version: version)
                    ]), stanza: "main")
        }
        isFilled.withLock { $0 = true }
        return repository
    }

    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "archive-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: "\(root)/data/global", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: root) }
        try Data(Self.control()).write(to: URL(filePath: "\(root)/data/global/pg_control"))
        try Data("1\t0/1\tno reason\n".utf8).write(to: URL(filePath: "\(root)/\(Self.history)"))
        try await body(root)
    }

    private func push(_ root: String, _ repositories: [MemoryRepository]) async throws {
        let line = "--stanza=main --pg1-path=\(root)/data archive-push \(root)/\(Self.history)"
        try await ArchivePush(.test(line, repositories.map(\.repository))).run()
    }

    @Test func aHungOneDelaysNoPush() async throws {
        let gate = Gate()
        let (hung, up) = (try await repository(1, behind: gate), try await repository(2))
        try await withDirectory { root in
            let pushing = Task { try await push(root, [hung, up]) }
            while try await !up.repository.exists(Self.object) { try await Task.sleep(for: .milliseconds(5)) }
            gate.open()
            try await pushing.value
            let isThere = try await hung.repository.exists(Self.object)
            #expect(isThere)
        }
    }

    @Test func aFailedOneFailsThePushOfAll() async throws {
        let (failed, up) = (try await repository(1, hasStanza: false), try await repository(2))
        try await withDirectory { root in
            let error = await #expect(throws: BackupError.self) { try await push(root, [failed, up]) }
            #expect(error?.message.contains("repo1") == true)
            #expect(error?.message.contains("repo2") == false)
            let isThere = try await up.repository.exists(Self.object)
            #expect(isThere)
        }
    }

    @Test func aHungOneIsNotWaitedForWhenAnotherHasTheFile() async throws {
        let gate = Gate()
        let (hung, up) = (try await repository(1, behind: gate), try await repository(2))
        defer { gate.open() }
        try await withDirectory { root in
            try await push(root, [up])
            let line = "--stanza=main --pg1-path=\(root)/data archive-get \(Self.history) \(root)/got"
            let start = ContinuousClock.now
            let isThere = try await ArchiveGet(.test(line, [hung, up].map(\.repository))).run()
            #expect(isThere)
            #expect(ContinuousClock.now - start < .seconds(20))
            #expect(FileManager.default.contentsEqual(atPath: "\(root)/got", andPath: "\(root)/\(Self.history)"))
        }
    }

    @Test func notThereIsOnlySaidWhenAllWereAsked() async throws {
        let (failed, up) = (try await repository(1, hasStanza: false), try await repository(2))
        try await withDirectory { root in
            let line = "--stanza=main --pg1-path=\(root)/data archive-get \(Self.history) \(root)/got"
            let error = await #expect(throws: BackupError.self) {
                try await ArchiveGet(.test(line, [failed, up].map(\.repository))).run()
            }
            #expect(error?.message.contains("repo1") == true)
            let isThere = try await ArchiveGet(.test(line, [up.repository])).run()
            #expect(!isThere)
            #expect(!FileManager.default.fileExists(atPath: "\(root)/got"))
        }
    }

    /// Of PostgreSQL 15, by the offsets of its `ControlFileData`.
    private static func control() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8192)
        func store(_ value: some FixedWidthInteger & BitwiseCopyable, _ offset: Int) {
            bytes.withUnsafeMutableBytes {
                $0.storeBytes(of: value, toByteOffset: offset, as: type(of: value))
            }
        }
        store(systemIdentifier, 0)
        store(UInt32(1300), 8)
        store(UInt32(202_209_061), 12)
        store(UInt64(0x12_3456_7890), 32)
        store(UInt32(1), 48)
        store(UInt32(8192), 216)
        store(UInt32(16 << 20), 228)
        store(crc32c(bytes.span.bytes.extracting(0..<288)), 288)
        return bytes
    }
}
