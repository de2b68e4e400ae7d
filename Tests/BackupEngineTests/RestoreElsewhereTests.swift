import BackupEngine
import BackupModel
import Checksums
import Foundation
import Logging
import RepositoryFormats
import RepositoryStorage
import Testing

/// What a second repository is good for.
@Suite(.timeLimit(.minutes(10)))
struct RestoreElsewhereTests {
    private static let damaged = "pg_data/base/1/1259"

    /// Two repositories with backups of the same content, in different forms.
    private func withTwo(
        secondLabel: String? = nil, _ body: (_ first: RestoreFixture, _ second: RestoreFixture) async throws -> Void
    ) async throws {
        var first = try RestoreFixture(compress: .gz)
        defer { first.remove() }
        var second = try RestoreFixture(
            compress: .zst, bundled: [Self.damaged, "pg_data/global/pg_control"], isBundleRaw: true)
        defer { second.remove() }
        try await first.store()
        try await second.store()
        try await body(first, second)
    }

    private func restore(
        _ first: RestoreFixture, _ second: RestoreFixture, _ change: (inout RestoreOptions) -> Void = { _ in }
    ) async throws {
        var options = first.options
        change(&options)
        try await RestoreCommand.run(
            options,
            repositories: [Repository(key: 1, store: first.store), Repository(key: 2, store: second.store)],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, workers: WorkerThreads(count: 2))
    }

    private func expectWhole(_ fixture: RestoreFixture) {
        for (name, content) in fixture.content where !name.hasSuffix("auto.conf") {
            #expect(fixture.restored(name) == content, "\(name)")
        }
        #expect(!fixture.exists("pg_data/backup.manifest"))
    }

    @Test(arguments: [damaged, "pg_data/base/1/large", "pg_data/global/pg_control"], [false, true])
    func aFileIsTakenFromTheOther(_ name: String, gone: Bool) async throws {
        try await withTwo { first, second in
            let object = first.object(name)
            var bytes = try await first.get(object)
            bytes[bytes.count / 2] ^= 0x20
            if gone { try await first.store.delete([object]) } else { try await first.put(object, bytes) }
            try await restore(first, second)
            expectWhole(first)
        }
    }

    @Test func notIfTheOtherHasAnotherContent() async throws {
        try await withTwo { first, second in
            var second = second
            let row = try #require(second.manifest.files.index(of: Self.damaged))
            second.manifest.files[row].checksum = .ofNothing
            try await second.saveManifest()
            try await first.store.delete([first.object(Self.damaged)])
            #expect(await errorCode { try await restore(first, second) } == .fileMissing)
            #expect(!first.exists("pg_data/global/pg_control"))
        }
    }

    @Test func notIfTheOtherIsDamagedToo() async throws {
        try await withTwo { first, second in
            try await first.store.delete([first.object(Self.damaged)])
            try await second.store.delete([
                RepositoryPaths.bundle(stanza: RestoreFixture.stanza, label: RestoreFixture.label, id: 1)
            ])
            #expect(await errorCode { try await restore(first, second) } == .fileMissing)
        }
    }

    enum Loss: CaseIterable { case info, manifest, everything }

    @Test(arguments: Loss.allCases, [nil, RestoreFixture.label])
    func anotherRepositoryIsChosen(_ loss: Loss, set: String?) async throws {
        try await withTwo { first, second in
            let info = RepositoryPaths.backupInfo(stanza: RestoreFixture.stanza)
            let manifest = RepositoryPaths.manifest(stanza: RestoreFixture.stanza, label: RestoreFixture.label)
            switch loss {
            case .info: try await first.store.delete([info, RepositoryPaths.copy(of: info)])
            case .manifest:
                for path in [manifest, RepositoryPaths.copy(of: manifest)] { try await first.put(path, [1, 2, 3]) }
            case .everything: try await first.store.deleteTree("backup")
            }
            try await restore(first, second) { $0.set = set }
            expectWhole(first)
        }
    }

    @Test func theFirstFailureIsTold() async throws {
        try await withTwo { first, second in
            let manifest = RepositoryPaths.manifest(stanza: RestoreFixture.stanza, label: RestoreFixture.label)
            for path in [manifest, RepositoryPaths.copy(of: manifest)] { try await first.put(path, [1, 2, 3]) }
            try await second.store.deleteTree("backup")
            #expect(await errorCode { try await restore(first, second) } == .format)
        }
    }
}
