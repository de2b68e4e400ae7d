package import BackupModel
import PostgresFormats

/// What one background push is to do, from the names that are there.
package struct ArchivePushQueue: Equatable, Sendable {
    /// In the order in which they are to be stored; at most a batch.
    package var files: [String] = []
    /// Status files of the spool that tell nothing any more.
    package var stale: [String] = []
    /// Bytes of all WAL that waits, that beyond the batch too.
    package var waiting: UInt64 = 0

    /// - Parameters:
    ///   - ready: the names `….ready` of `archive_status`.
    ///   - spooled: the names in the spool directory. Those `.ok` files that are older than their `.ready` must have been
    ///     taken out: they speak of a file that had the name before.
    ///   - batchSize: bytes; one file is taken whatever it is.
    package init(ready: [String], spooled: [String], segmentSize: UInt64, batchSize: UInt64) {
        let waitingNames = ready.filter { $0.hasSuffix(Self.readySuffix) }
            .map { String($0.dropLast(Self.readySuffix.utf8.count)) }
        let known = Set(waitingNames)
        var pushed: Set<String> = []
        for name in spooled {
            guard name.hasSuffix(SpoolStatus.doneSuffix) else {
                stale.append(name)
                continue
            }
            let file = String(name.dropLast(SpoolStatus.doneSuffix.utf8.count))
            if known.contains(file) { pushed.insert(file) } else { stale.append(name) }
        }
        // As PostgreSQL asks for them: histories before all, since standbys cannot follow without.
        let todo = waitingNames.compactMap { name in WALFileName(name).map { (name, $0.isHistory) } }
            .filter { !pushed.contains($0.0) }
            .sorted { $0.1 != $1.1 ? $0.1 : $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
        var size: UInt64 = 0
        for (name, _) in todo {
            let bytes = Self.isWAL(name) ? segmentSize : 0
            let (sum, isTooMuch) = waiting.addingReportingOverflow(bytes)
            waiting = isTooMuch ? .max : sum
            if files.isEmpty || size + bytes <= batchSize {
                size += bytes
                files.append(name)
            }
        }
        stale.sort()
    }

    /// What is there now. Takes the `.ok` files out of the spool that speak of a file that had the name before. Blocking.
    package init(
        walDirectory: String, _ spool: ArchiveSpool, segmentSize: UInt64, batchSize: UInt64
    ) throws(BackupError) {
        let statusDirectory = "\(walDirectory)/archive_status"
        guard let ready = try LocalDirectory.names(statusDirectory) else {
            throw BackupError(
                .pathMissing, "'\(statusDirectory)' does not exist", hint: "archive_command must pass %p")
        }
        var spooled: [String] = []
        for name in try spool.names() {
            let file = name.hasSuffix(SpoolStatus.doneSuffix) ? name.dropLast(SpoolStatus.doneSuffix.utf8.count) : ""
            if !file.isEmpty, try spool.removeOutdated(String(file), statusDirectory: statusDirectory) { continue }
            spooled.append(name)
        }
        self.init(ready: ready, spooled: spooled, segmentSize: segmentSize, batchSize: batchSize)
    }

    package static let readySuffix = ".ready"

    private static func isWAL(_ name: String) -> Bool {
        switch WALFileName(name) {
        case .segment, .partial: true
        default: false
        }
    }
}

extension WALFileName {
    var isHistory: Bool { if case .history = self { true } else { false } }
}
