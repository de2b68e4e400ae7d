import BackupModel
import Checksums
import Foundation
import PostgresFormats
import Synchronization

/// A data directory that no server made: enough of PostgreSQL 15 for backups with `--no-online` and for archive-push.
/// It lies in memory where the machine has such a place, and goes with its last user.
final class GeneratedCluster: Sendable {
    static let systemIdentifier: UInt64 = 7_000_000_000_000_000_001
    /// Bytes: the smallest there is.
    static let segmentSize = 1 << 20

    /// The scratch directory, and the data directory in it.
    let scratch: String
    var dataDirectory: String { scratch + "/pg" }

    init() throws {
        let base = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        scratch = "\(base)/permafrost-faults-\(UUID().uuidString)"
        for directory in ["base/1", "base/5", "global", "pg_wal/archive_status", "pg_tblspc", "pg_xact"] {
            try FileManager.default.createDirectory(
                atPath: "\(dataDirectory)/\(directory)", withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
        }
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: dataDirectory)
        try write("PG_VERSION", Array("15\n".utf8))
        try write("global/pg_control", Self.control())
        try write("base/1/PG_VERSION", Array("15\n".utf8))
        try write("base/1/1259", Self.pages(3, seed: 1))
        // More than one chunk of a copy.
        try write("base/5/16384", Self.pages(150, seed: 2))
        try write("base/5/16385", [])
        try write("postgresql.conf", Array("# settings\n".utf8))
        try write("pg_xact/0000", [UInt8](repeating: 0, count: 8192))
    }

    private static let writes = Mutex(0)

    deinit { try? FileManager.default.removeItem(atPath: scratch) }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: "\(dataDirectory)/\(name)"))
        // Long ago, or a backup would wait until the second is over; and later than any before.
        let time = Self.writes.withLock { count in
            count += 1
            return Date(timeIntervalSince1970: 1_700_000_000 + TimeInterval(count))
        }
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o600, .modificationDate: time], ofItemAtPath: "\(dataDirectory)/\(name)")
    }

    /// Makes a WAL segment of this cluster, outside its data directory, and gives its path.
    @discardableResult
    func makeSegment(_ number: Int, seed: UInt64 = 0) throws -> String {
        let name = BackupSeries.segment(number)
        var bytes = Self.pages(Self.segmentSize / 8192, seed: UInt64(number) + seed)
        bytes.put(0xD110, 2, at: 0)
        bytes.put(2, 2, at: 2)
        bytes.put(Self.systemIdentifier, 8, at: 24)
        bytes.put(UInt64(Self.segmentSize), 4, at: 32)
        let path = "\(scratch)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// What a backup holds, by path relative to the data directory.
    func content() throws -> [String: [UInt8]] {
        try Self.content(of: dataDirectory)
    }

    /// All files below a directory.
    static func content(of directory: String) throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for path in try FileManager.default.subpathsOfDirectory(atPath: directory) {
            let url = URL(fileURLWithPath: "\(directory)/\(path)")
            if try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true {
                found[path] = [UInt8](try Data(contentsOf: url))
            }
        }
        return found
    }

    /// Half random, half a run, as pages are; the same for the same seed.
    static func pages(_ count: Int, seed: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * 8192)
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        for page in 0..<count {
            for _ in 0..<512 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                withUnsafeBytes(of: state) { bytes.append(contentsOf: $0) }
            }
            bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: page), count: 4096)
        }
        return bytes
    }

    /// A pg_control of PostgreSQL 15.
    static func control() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8192)
        bytes.put(systemIdentifier, 8, at: 0)
        bytes.put(1300, 4, at: 8)
        bytes.put(202_209_061, 4, at: 12)
        bytes.put(0x200_0060, 8, at: 32)
        bytes.put(1, 4, at: 48)
        bytes.put(8192, 4, at: 216)
        bytes.put(UInt64(segmentSize), 4, at: 228)
        bytes.seal()
        return bytes
    }
}

extension [UInt8] {
    /// Sets the CRC of a pg_control of PostgreSQL 15.
    mutating func seal() {
        let summed = Array(self[..<288])
        put(UInt64(crc32c(summed.span.bytes)), 4, at: 288)
    }

    /// Stores an integer of `size` bytes, little-endian.
    mutating func put(_ value: UInt64, _ size: Int, at offset: Int) {
        for index in 0..<size { self[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
    }
}
