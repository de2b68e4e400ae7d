@testable import BackupEngine
import BackupModel
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Testing

@Suite struct EncryptedRepositoryTests {
    private let pass = Secret("a passphrase")
    private let info = ArchiveInfo(
        currentID: 1,
        history: [DatabaseHistoryEntry(id: 1, systemIdentifier: 7, version: PostgresVersion(number: 150000))])

    private func encryptedInfo() throws -> ArchiveInfo {
        var encrypted = info
        encrypted.cipherPass = try .newCipherPass()
        return encrypted
    }

    @Test("Info files are stored encrypted, both copies, and read with the passphrase")
    func infoFiles() async throws {
        let store = MemoryStore()
        let (closed, open) = (Repository(key: 1, store: store, cipherPass: pass), Repository(key: 1, store: store))
        let saved = try encryptedInfo()
        try await closed.saveArchiveInfo(saved, stanza: "main")
        #expect(try await closed.loadArchiveInfo(stanza: "main") == saved)
        let bytes = try #require(try await open.readWhole("archive/main/archive.info"))
        #expect(bytes.starts(with: "Salted__".utf8))
        #expect(try await open.readWhole("archive/main/archive.info.copy") == bytes)
        await #expect {
            try await open.loadArchiveInfo(stanza: "main")
        } throws: {
            let error = $0 as? BackupError
            return error?.code == .crypto && error?.message.contains("is encrypted") == true
                && error?.hint?.contains("repo-cipher-pass") == true
        }
    }

    @Test("Of a thousand wrong passphrases each is found out")
    func wrongPassphrase() async throws {
        let store = MemoryStore()
        try await Repository(key: 1, store: store, cipherPass: pass).saveArchiveInfo(encryptedInfo(), stanza: "main")
        for number in 0..<1000 {
            let repository = Repository(key: 1, store: store, cipherPass: Secret("wrong \(number)"))
            await #expect {
                try await repository.loadArchiveInfo(stanza: "main")
            } throws: {
                let error = $0 as? BackupError
                return error?.code == .crypto && error?.hint?.contains("repo1-cipher-pass") == true
                    && error?.description.contains("wrong \(number)") == false
            }
        }
    }

    @Test("What is not encrypted is refused where encryption is configured, and left alone")
    func unencrypted() async throws {
        let store = MemoryStore()
        let (closed, open) = (Repository(key: 1, store: store, cipherPass: pass), Repository(key: 1, store: store))
        try await open.saveArchiveInfo(info, stanza: "main")
        let before = try await open.readWhole("archive/main/archive.info")
        await #expect {
            try await closed.loadArchiveInfo(stanza: "main")
        } throws: {
            let error = $0 as? BackupError
            return error?.code == .crypto && error?.hint?.contains("repo-cipher-type") == true
        }
        #expect(try await open.readWhole("archive/main/archive.info") == before)
    }

    @Test("A passphrase for what lies beneath is there if, and only if, the repository is encrypted")
    func passBeneath() async throws {
        for (key, isWithPass) in [(pass, false), (nil, true)] as [(Secret<String>?, Bool)] {
            let repository = Repository(key: 1, store: MemoryStore(), cipherPass: key)
            try await repository.saveArchiveInfo(isWithPass ? encryptedInfo() : info, stanza: "main")
            await #expect {
                try await repository.loadArchiveInfo(stanza: "main")
            } throws: {
                ($0 as? BackupError)?.code == .crypto
            }
        }
    }

    @Test("Passphrases are 64 digits of base64, each time others")
    func newPasses() throws {
        let passes = try (0..<1000).map { _ in try Secret.newCipherPass().revealed }
        #expect(Set(passes).count == 1000)
        let digits = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        #expect(passes.allSatisfy { $0.count == 64 && $0.allSatisfy(digits.contains) })
        #expect(Set(passes.joined()) == digits)
    }
}
