import BackupModel
import Checksums
import Foundation
import PostgresFormats
import Testing

@testable import RepositoryFormats

/// What pgBackRest 2.45 wrote for a cluster of PostgreSQL 15 with a tablespace: a full backup and a bundled
/// differential one, with damaged pages, links and names that need care.
enum Fixture {
    static func bytes(_ name: String) throws -> [UInt8] {
        let url = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/\(name)")
        return [UInt8](try Data(contentsOf: url))
    }
}

/// SplitMix64: the same numbers at each run, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

/// Closes an info file without its end by the checksum of section B.3, computed in another way than the library's: by
/// splitting lines where `JSONSerialization` agrees.
func sealed(_ text: String) -> [UInt8] {
    var json = "{"
    var section: String?
    var hashed: String?
    for line in text.split(separator: "\n") {
        if line.hasPrefix("["), line.hasSuffix("]") {
            section = String(line.dropFirst().dropLast())
            continue
        }
        let split = line.indices.first { index in
            guard line[index] == "=" else { return false }
            let value = Data(line[line.index(after: index)...].utf8)
            return (try? JSONSerialization.jsonObject(with: value, options: .fragmentsAllowed)) != nil
        }
        guard let section, let split else { continue }
        let key = line[..<split].replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            .replacing("\t", with: "\\t")
        if section == hashed {
            json += ","
        } else {
            json += hashed == nil ? "\"\(section)\":{" : "},\"\(section)\":{"
        }
        hashed = section
        json += "\"\(key)\":\(line[line.index(after: split)...])"
    }
    let sum = SHA1.hash(Array((json + "}}").utf8).span.bytes).hex
    return Array("\(text)\n[backrest]\nbackrest-checksum=\"\(sum)\"\n".utf8)
}

func decode(_ bytes: [UInt8], pieces: [Int] = []) throws(BackupError) -> Manifest {
    var decoder = ManifestDecoder()
    var start = 0
    for piece in pieces where start + piece <= bytes.count {
        try decoder.feed(Array(bytes[start..<start + piece]).span.bytes)
        start += piece
    }
    try decoder.feed(Array(bytes[start...]).span.bytes)
    return try decoder.finish()
}

func encode(_ manifest: Manifest) -> [UInt8] {
    var encoder = ManifestEncoder(manifest)
    var bytes: [UInt8] = []
    while encoder.next(into: &bytes) {}
    return bytes
}

func lines(_ bytes: [UInt8]) -> [Substring] { String(decoding: bytes, as: UTF8.self).split(separator: "\n") }

/// The error of `body`, nil when it throws none.
func failure(_ body: () throws(BackupError) -> Void) -> BackupError? {
    do throws(BackupError) {
        try body()
        return nil
    } catch {
        return error
    }
}

extension SHA1Digest {
    /// Some digest for a number.
    static func sample(_ number: Int) -> SHA1Digest {
        withUnsafeBytes(of: number.littleEndian) { SHA1.hash($0.bytes) }
    }
}
