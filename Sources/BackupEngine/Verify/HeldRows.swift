import BackupModel
import Checksums
import RepositoryFormats

/// The files that backups hold themselves, as one number each: whether what a later backup refers to is there, without
/// two manifests in memory.
struct HeldRows: Sendable {
    /// Ascending, by label.
    private var rows: [String: [UInt64]] = [:]

    init() {}

    func isKnown(_ label: String) -> Bool { rows[label] != nil }

    /// Nothing can be said of files that refer to this backup.
    mutating func addUnreadable(_ label: String) { rows[label] = [] }

    mutating func add(_ manifest: Manifest) {
        let files = manifest.files
        var own: [UInt64] = []
        for row in 0..<files.count where !files.hasReference(row) { own.append(Self.number(files, row)) }
        own.sort()
        rows[manifest.label] = own
    }

    /// Whether the backup with this label holds the bytes that a row refers to.
    func holds(_ label: String, _ files: borrowing ManifestFiles, _ row: Int) -> Bool {
        guard let held = rows[label], !held.isEmpty else { return true }
        let number = Self.number(files, row)
        var low = 0
        var high = held.count
        while low < high {
            let middle = (low + high) / 2
            if held[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low < held.count && held[low] == number
    }

    /// FNV-1a of what says where the bytes lie and what they are.
    private static func number(_ files: borrowing ManifestFiles, _ row: Int) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ value: UInt64) {
            var rest = value
            for _ in 0..<8 {
                hash = (hash ^ rest & 0xff) &* 0x100_0000_01b3
                rest >>= 8
            }
        }
        for byte in files.name(row).utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        add(files.repoSize(row))
        add(files.bundleID(row))
        add(files.bundleOffset(row))
        if let checksum = files.repoChecksum(row) ?? files.checksum(row) {
            add(checksum.high)
            add(checksum.middle)
            add(UInt64(checksum.low))
        }
        return hash
    }
}
