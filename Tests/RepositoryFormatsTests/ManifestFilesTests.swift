import BackupModel
import Checksums
import PostgresFormats
import Testing

@testable import RepositoryFormats

@Suite struct ManifestFilesTests {
    private static func names(_ count: Int, seed: UInt64) -> [String] {
        var generator = SeededGenerator(state: seed)
        let parts = ["base", "1", "16384", "é", "Z", "pg_xact", "10", "a=b", "_fsm", "\u{10348}", "e\u{301}"]
        return (0..<count).map { index in
            let path = (0..<Int.random(in: 0...3, using: &generator)).compactMap { _ in
                parts.randomElement(using: &generator)
            }
            return (["pg_data"] + path + ["\(index)"]).joined(separator: "/")
        }
    }

    private static func file(_ name: String, _ number: Int) -> ManifestFile {
        var file = ManifestFile(
            name: name, size: UInt64(number), timestamp: Int64(number), mode: UInt16(number % 0o1000),
            user: number % 3 == 0 ? nil : "u\(number % 3)", group: "g")
        file.checksum = number % 2 == 0 ? .sample(number) : nil
        if number % 5 == 0 { file.sizeOriginal = 1 }
        if number % 7 == 0 { file.pageCheck = .invalid([1...UInt32(number + 1)]) }
        if number % 11 == 0 { file.reference = number }
        return file
    }

    @Test func sortsAndFindsByBytes() {
        let names = Self.names(2000, seed: 5)
        var files = ManifestFiles()
        for (number, name) in names.enumerated() { files.append(Self.file(name, number)) }
        files.sort()
        let expected = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect((0..<files.count).map { files.name($0) } == expected)
        for (number, name) in names.enumerated() {
            guard let index = files.index(of: name) else {
                Issue.record("'\(name)' is not found")
                continue
            }
            #expect(files[index] == Self.file(name, number))
            #expect(files.index(of: name + "x") == nil)
        }
        #expect(files.index(of: "") == nil)
        #expect(files.index(of: "zzz") == nil)
        #expect(ManifestFiles().index(of: "a") == nil)
    }

    @Test func removesRows() {
        var files = ManifestFiles()
        for number in 0..<100 { files.append(Self.file("pg_data/\(1000 + number)", number)) }
        files.remove(at: [])
        #expect(files.count == 100)
        files.remove(at: [0] + Array(stride(from: 1, to: 99, by: 2)) + [99])
        let kept = Array(stride(from: 2, through: 98, by: 2))
        #expect(files.count == kept.count)
        for (index, number) in kept.enumerated() {
            #expect(files[index] == Self.file("pg_data/\(1000 + number)", number))
            #expect(files.index(of: "pg_data/\(1000 + number)") == index)
        }
        files.remove(at: Array(0..<files.count))
        #expect(files.count == 0)
    }

    @Test func replacesRows() {
        var files = ManifestFiles()
        for number in 0..<20 { files.append(Self.file("pg_data/\(100 + number)", number)) }
        for number in 0..<20 { files[number] = Self.file("pg_data/\(100 + number)", 19 - number) }
        for number in 0..<20 { #expect(files[number] == Self.file("pg_data/\(100 + number)", 19 - number)) }
        files[3].pageCheck = .notChecked
        files[3].size = 7
        #expect(files[3].pageCheck == .notChecked)
        #expect(files.size(3) == 7 && files[3].size == 7)
        #expect(files[4] == Self.file("pg_data/104", 15))
    }

    @Test(.timeLimit(.minutes(10))) func carriesManyFiles() throws {
        var manifest = try ManifestTests.everything()
        manifest.files = ManifestFiles()
        let count = 50_000
        // From the last to the first, so that sorting has something to do.
        for number in (0..<count).reversed() {
            var file = ManifestFile(
                name: "pg_data/base/16384/\(100_000 + number)", size: 8192, timestamp: 1_700_000_000, mode: 0o640,
                user: "u", group: nil)
            file.checksum = .ofNothing
            file.repoChecksum = .ofNothing
            file.repoSize = 500
            file.reference = number % 2 == 0 ? 0 : nil
            manifest.files.append(file)
        }
        manifest.files.sort()
        var encoder = ManifestEncoder(manifest)
        var decoder = ManifestDecoder()
        var piece: [UInt8] = []
        var pieces = 0
        while encoder.next(into: &piece) {
            #expect(piece.count < 1 << 20 + 1000)
            pieces += 1
            try decoder.feed(piece.span.bytes)
            piece.removeAll(keepingCapacity: true)
        }
        #expect(pieces > 5)
        let read = try decoder.finish()
        #expect(read.files.count == count)
        #expect(read.files[count - 1] == manifest.files[count - 1])
        #expect(read.files.index(of: "pg_data/base/16384/100007") == 7)
    }
}
