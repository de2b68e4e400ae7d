@testable import BackupEngine
import BackupModel
import Foundation
import RepositoryFormats
import RepositoryStorage
import Testing

@Suite struct AnnotateCommandTests {
    func annotate(_ options: String, _ repositories: [MemoryRepository], log: Lines = Lines()) async throws {
        let line = "--stanza=main --repo1-path=/1 --repo2-path=/2 annotate \(options)"
        try await AnnotateCommand(.test(line, repositories.map(\.repository), log: log)).run()
    }

    func annotations(_ short: String, _ repository: MemoryRepository) async throws -> [String: String] {
        let info = try await repository.repository.loadBackupInfo(stanza: "main")
        return try #require(info.backups.first { $0.label == BackupSeries.label(short) }).annotations
    }

    @Test("Notes are set, replaced and removed, in every repository that has the backup, in file and copy")
    func setReplaceRemove() async throws {
        let one = MemoryRepository()
        let two = MemoryRepository(key: 2)
        try await one.fill(BackupSeries.manifests(["2F", "5F"]))
        try await two.fill(BackupSeries.manifests(["5F"]))
        let set = "--set=\(BackupSeries.label("5F"))"
        try await annotate("\(set) --annotation=reason=before=after --annotation=who=me", [one, two])
        for repository in [one, two] {
            #expect(try await annotations("5F", repository) == ["reason": "before=after", "who": "me"])
        }
        #expect(try await annotations("2F", one).isEmpty)
        try await annotate("\(set) --annotation=who=you --annotation=reason= --annotation=none=", [one, two])
        #expect(try await annotations("5F", one) == ["who": "you"])
        try await annotate("\(set) --annotation=who=", [one, two])
        #expect(try await annotations("5F", two).isEmpty)
        #expect(
            try await one.repository.readWhole("backup/main/backup.info")
                == one.repository.readWhole("backup/main/backup.info.copy"))
        try await annotate("--set=\(BackupSeries.label("2F")) --annotation=a=b", [one, two])
        #expect(try await annotations("2F", one) == ["a": "b"])
    }

    @Test("What cannot be annotated is an error")
    func errors() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F"]))
        let broken = MemoryRepository(key: 2) { operation, path in
            operation == .read && path.contains("backup.info")
                ? .before(StorageError(BackupError(.fileOpen, "no way in"))) : nil
        }
        try await broken.fill(BackupSeries.manifests(["2F"]))
        let known = "--set=\(BackupSeries.label("2F"))"
        #expect(
            await errorCode { try await annotate("--set=\(BackupSeries.label("9F")) --annotation=a=b", [one]) }
                == .backupSetInvalid)
        #expect(await errorCode { try await annotate("--set=last --annotation=a=b", [one]) } == .optionInvalidValue)
        #expect(await errorCode { try await annotate("--annotation=a=b", [one]) } == .optionRequired)
        #expect(await errorCode { try await annotate(known, [one]) } == .optionRequired)
        // The others get it nevertheless.
        #expect(await errorCode { try await annotate("\(known) --annotation=a=b", [broken, one]) } == .command)
        #expect(try await annotations("2F", one) == ["a": "b"])
    }

    @Test("A hold that is set says that pgBackRest does not know it, one that is released says nothing")
    func hold() async throws {
        let one = MemoryRepository()
        try await one.fill(BackupSeries.manifests(["2F"]))
        let set = "--set=\(BackupSeries.label("2F"))"
        let log = Lines()
        try await annotate("\(set) --annotation=hold=audit", [one], log: log)
        #expect(log.warnings.contains { $0.contains("pgBackRest does not know holds") })
        let released = Lines()
        try await annotate("\(set) --annotation=hold=", [one], log: released)
        #expect(released.warnings.isEmpty)
        #expect(try await annotations("2F", one).isEmpty)
    }
}
