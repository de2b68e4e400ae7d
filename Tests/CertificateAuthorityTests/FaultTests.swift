import BackupModel
import Foundation
import RepositoryStorage
import Synchronization
import TestSupport
import Testing

@testable import CertificateAuthority

/// Files that are not what they should be, and runs that end in the middle.
@Suite(.timeLimit(.minutes(2))) struct FaultTests {
    /// A directory whose `n`th write does not happen.
    private static func failing(_ path: String, at number: Int) -> AuthorityDirectory {
        let count = Counter()
        return AuthorityDirectory(path) { path, bytes, mode, isNew throws(BackupError) in
            if count.next() == number { throw BackupError(.fileWrite, "no space left") }
            try LocalFile.writeDurably(path, bytes, mode: mode, isNew: isNew)
        }
    }

    private final class Counter: Sendable {
        private let value = Mutex(0)
        func next() -> Int {
            value.withLock {
                $0 += 1
                return $0
            }
        }
    }

    @Test(arguments: [("init", 1), ("init", 2), ("issue db1", 1), ("issue db1", 2), ("renew db1", 1), ("renew ca", 1)])
    func aRunThatEndsInTheMiddleLeavesWhatFits(line: String, number: Int) async throws {
        let place = Place()
        let stem = line == "init" || line == "renew ca" ? "ca" : "db1"
        if line != "init" { try place.run("init") }
        if line.hasPrefix("renew") { try place.run("issue db1") }
        let before = (place.bytes("\(stem).crt"), place.bytes("\(stem).key"))
        #expect {
            try place.run(line, force: line.hasPrefix("renew"), directory: Self.failing(place.path, at: number))
        } throws: {
            ($0 as? BackupError)?.code == .fileWrite
        }
        let key = place.bytes("\(stem).key")
        #expect(place.bytes("\(stem).crt") == before.0)
        #expect(before.1 == nil || key == before.1)
        // Again, and it is as if nothing had happened; a key that was made is used.
        try place.run(line, force: line.hasPrefix("renew"))
        #expect(key == nil || place.bytes("\(stem).key") == key)
        if stem == "db1" { #expect(try await place.verify("db1.crt") == []) }
        #expect(place.failure("issue check") == nil)
        #expect(try await place.verify("check.crt") == [])
        #expect(place.files().allSatisfy { $0.hasSuffix(".crt") || $0.hasSuffix(".key") })
    }

    @Test func ofTwoRunsOneMakesTheKey() async throws {
        let place = Place()
        try place.run("init")
        let other = Place()
        try other.run("init")
        try other.run("issue db1")
        let theirs = try #require(other.bytes("db1.key"))
        // It comes between the look and the write.
        let directory = AuthorityDirectory(place.path) { path, bytes, mode, isNew throws(BackupError) in
            if isNew { try LocalFile.writeDurably(path, Array(theirs), mode: mode) }
            try LocalFile.writeDurably(path, bytes, mode: mode, isNew: isNew)
        }
        try place.run("issue db1", directory: directory)
        #expect(place.bytes("db1.key") == theirs)
        #expect(
            try await place.field("db1.crt", "-pubkey") == other.openssl("pkey -in db1.key -pubout").expecting(0).stdout
        )
        #expect(place.files() == ["ca.crt", "ca.key", "db1.crt", "db1.key"])
    }

    static let damages: [(name: String, text: String, says: String)] = [
        ("ca.crt", "", "has no certificate"), ("ca.key", "", "has no private key"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\n", "has no certificate"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "has no certificate"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n", "has no certificate"),
        ("ca.key", "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n", "has no private key"),
        (
            "ca.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "has no private"
        ),
        ("ca.key", String(repeating: "x", count: (1 << 20) + 1), "is larger than"),
        ("ca.crt", "\u{0}\u{0}\u{0}", "has no certificate"),
    ]

    @Test(arguments: 0..<damages.count) func aDamagedAuthorityIsAnError(index: Int) throws {
        let (name, text, says) = Self.damages[index]
        let place = Place()
        try place.run("init")
        try place.write(text, to: name)
        for line in ["issue db1", "renew", "renew ca"] {
            let error = place.failure(line)
            #expect(error?.code == .fileInvalid && error?.message.contains(says) == true, "\(error as Any)")
            #expect(error?.message.contains("'\(place.path)/\(name)'") == true)
        }
        #expect(place.files() == ["ca.crt", "ca.key"])
    }

    @Test func filesThatDoNotBelongTogetherAreAnError() throws {
        let (place, other) = (Place(), Place())
        for one in [place, other] {
            try one.run("init")
            try one.run("issue db1")
        }
        func copy(_ from: String, _ to: String) throws {
            try? FileManager.default.removeItem(atPath: "\(place.path)/\(to)")
            try FileManager.default.copyItem(atPath: from, toPath: "\(place.path)/\(to)")
        }
        try copy("\(other.path)/ca.key", "ca.key")
        #expect(place.failure("issue a")?.message.contains("is not the key of") == true)
        // A host's certificate signs nothing.
        try copy("\(place.path)/db1.key", "ca.key")
        try copy("\(place.path)/db1.crt", "ca.crt")
        #expect(place.failure("issue a")?.message.contains("is not the certificate of an authority") == true)
        try FileManager.default.removeItem(atPath: "\(place.path)/ca.key")
        #expect(place.failure("issue a")?.code == .fileMissing)
        // A directory in the place of a file.
        try FileManager.default.createDirectory(
            atPath: "\(place.path)/ca.key", withIntermediateDirectories: false)
        #expect(place.failure("issue a")?.code == .fileRead)
    }

    /// No byte of a certificate or key can trap us.
    @Test(arguments: [
        ("ca.crt", "issue db1"), ("ca.key", "issue db1"), ("db1.crt", "renew db1"), ("db1.key", "issue db1"),
    ])
    func everyByteMayBeWrong(name: String, line: String) async throws {
        let place = Place()
        try place.run("init")
        try place.run("issue db1 10.0.0.1")
        let text = String(decoding: try #require(place.bytes(name)), as: UTF8.self)
        let lines = text.split(separator: "\n")
        let head = try #require(lines.first)
        let tail = try #require(lines.last)
        let content = try #require(Data(base64Encoded: lines.dropFirst().dropLast().joined()))
        // As it is, and not durably: this writes some thousand times.
        let directory = AuthorityDirectory(place.path) { path, bytes, _, _ throws(BackupError) in
            guard FileManager.default.createFile(atPath: path, contents: Data(bytes)) else {
                throw BackupError(.fileWrite, "it cannot be written")
            }
        }
        let original = place.files().map { ($0, place.bytes($0)) }
        for index in content.indices {
            var changed = content
            changed[index] ^= index % 2 == 0 ? 1 : 0x80
            let encoded = changed.base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
            try place.write("\(head)\n\(encoded)\n\(tail)\n", to: name)
            // Success or failure is fine, a trap is not.
            _ = try? place.run(line, force: true, directory: directory)
            for (name, bytes) in original { try bytes?.write(to: URL(filePath: "\(place.path)/\(name)")) }
            // Other tests wait for the thread.
            await Task.yield()
        }
    }
}
