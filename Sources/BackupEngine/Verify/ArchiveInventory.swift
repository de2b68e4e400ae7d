import BackupModel
import Checksums
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// What an archive id holds by its listing, and the histories of its timelines.
struct ArchiveInventory: Sendable {
    struct Directory: Sendable {
        var name: String
        /// Stored.
        var bytes: UInt64
        var lastName: String
    }

    var archiveID: String
    var directories: [Directory] = []
    var segments: SegmentRanges
    var histories: [UInt32: TimelineHistory] = [:]
    /// Segments that are there several times, and histories that cannot be read.
    var findings: [VerifyFinding] = []
    /// What no program of ours or pgBackRest's puts there.
    var strangers: [String] = []

    /// - Parameter cipherPass: of ``ArchiveInfo``.
    static func load(
        _ repository: Repository, stanza: String, archiveID: String, cipherPass: Secret<String>?
    ) async throws -> ArchiveInventory {
        let top = "\(RepositoryPaths.archive(stanza: stanza))/\(archiveID)"
        let entries = try await repository.listAll(top)
        var inventory: ArchiveInventory?
        var findings: [VerifyFinding] = []
        var strangers: [String] = []
        let empty = { ArchiveInventory(archiveID: archiveID, segments: SegmentRanges(segmentSize: 16 << 20)) }
        for entry in entries where entry.kind == .directory {
            let path = "\(top)/\(entry.name)"
            let files = try await repository.listAll(path).filter { $0.kind == .object }
            guard isDirectoryOfWAL(entry.name) else {
                strangers.append(path)
                continue
            }
            var names: [WALSegment: [String]] = [:]
            var directory = Directory(name: entry.name, bytes: 0, lastName: "")
            for file in files {
                directory.bytes += file.size
                directory.lastName = file.name
                guard let name = ArchivedSegmentName(file.name), name.segment.directory == entry.name else {
                    if case .backupLabel? = WALFileName(file.name) { continue }
                    strangers.append("\(path)/\(file.name)")
                    continue
                }
                if name.isPartial { continue }
                names[name.segment, default: []].append(file.name)
                if inventory == nil,
                    let size = await segmentSize(repository, "\(path)/\(file.name)", name, cipherPass)
                {
                    inventory = ArchiveInventory(archiveID: archiveID, segments: SegmentRanges(segmentSize: size))
                }
            }
            if inventory == nil { inventory = empty() }
            let modified = Dictionary(files.map { ($0.name, $0.modified) }, uniquingKeysWith: { first, _ in first })
            for (segment, found) in names.sorted(by: { $0.key < $1.key }) {
                inventory?.segments.append(segment, modified: found.first.flatMap { modified[$0] } ?? 0)
                guard found.count > 1 else { continue }
                findings.append(
                    VerifyFinding(
                        .other, "\(path)/\(found[0])",
                        "segment is in the archive \(found.count) times: "
                            + found.dropFirst().joined(separator: ", ")))
            }
            inventory?.directories.append(directory)
        }
        var result = inventory ?? empty()
        result.findings = findings
        result.strangers = strangers
        for entry in entries where entry.kind == .object {
            await result.readHistory(repository, "\(top)/\(entry.name)", entry.name, cipherPass)
        }
        result.requireHistories(in: top)
        return result
    }

    /// Without its history no recovery finds its way to a timeline; that of the first one in the archive may be older.
    private mutating func requireHistories(in top: String) {
        let known = Set(findings.map(\.object))
        for timeline in Set(segments.ranges.map(\.timeline)).sorted().dropFirst() where histories[timeline] == nil {
            let path = "\(top)/\(WALFileName.history(timeline: timeline).name)"
            guard !known.contains(path) else { continue }
            findings.append(
                VerifyFinding(.missing, path, "timeline \(timeline) has WAL, and its history is not in the archive"))
        }
    }

    private mutating func readHistory(
        _ repository: Repository, _ path: String, _ name: String, _ cipherPass: Secret<String>?
    ) async {
        guard case .history(let timeline)? = WALFileName(name) else {
            strangers.append(path)
            return
        }
        do throws(BackupError) {
            let form = StoredForm(compress: .none, cipherPass: cipherPass)
            guard let bytes = try await repository.readWhole(path, as: form, limit: 16 << 20) else { return }
            histories[timeline] = try TimelineHistory(timeline: timeline, parsing: bytes.span.bytes)
        } catch {
            findings.append(VerifyFinding(VerifyFinding.Kind(error), path, error.message))
        }
    }

    /// From the header of a segment, whatever version of PostgreSQL wrote it: the field has been at this place since
    /// 9.3. nil when it cannot be read.
    private static func segmentSize(
        _ repository: Repository, _ path: String, _ name: ArchivedSegmentName, _ cipherPass: Secret<String>?
    ) async -> UInt64? {
        struct Enough: Error {}
        var header: [UInt8] = []
        do {
            let reader = try await repository.store.read(path, range: nil)
            let form = StoredForm(compress: name.compress, cipherPass: cipherPass)
            do {
                _ = try await ObjectContentReader(bufferSize: 64 << 10).read(reader, form.decoder()) { bytes in
                    header += bytes.prefix(40 - header.count)
                    if header.count == 40 { throw Enough() }
                }
            } catch is Enough {}
            await reader.close()
        } catch {
            return nil
        }
        guard header.count == 40, header[2] & 0x02 != 0 else { return nil }
        let size = header[32..<36].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return WALSegment.isSegmentSize(size) ? size : nil
    }

    private static func isDirectoryOfWAL(_ name: String) -> Bool {
        name.utf8.count == 16 && WALSegment(name + "00000000") != nil
    }
}

/// The segments and `.backup` files of one directory.
struct ArchiveWork: VerifyWork {
    private let path: String
    private let names: [String]
    private let segmentSize: UInt64
    private let cipherPass: Secret<String>?

    /// - Parameter names: ascending.
    init(path: String, names: [String], segmentSize: UInt64, cipherPass: Secret<String>?) {
        self.path = path
        self.names = names
        self.segmentSize = segmentSize
        self.cipherPass = cipherPass
    }

    var count: Int { names.count }
    func object(_ index: Int) -> String { "\(path)/\(names[index])" }
    /// Only segments are counted as WAL.
    func files(_ index: Int) -> Int { ArchivedSegmentName(names[index]) == nil ? 0 : 1 }

    func check(_ index: Int, _ reader: VerifyReader) async throws -> [VerifyFinding] {
        let object = object(index)
        let finding = try await reader.finding(object) {
            guard let name = ArchivedSegmentName(names[index]) else { return try await checkLabel(object, reader) }
            let form = StoredForm(compress: name.compress, cipherPass: cipherPass)
            let (checksum, size) = try await reader.content(object, form)
            guard size == segmentSize else {
                return VerifyFinding(.size, object, "it holds \(size) bytes instead of \(segmentSize)")
            }
            guard checksum.hex == name.checksum else {
                return VerifyFinding(.checksum, object, "its content has checksum \(checksum.hex)")
            }
            return nil
        }
        return finding.map { [$0] } ?? []
    }

    /// What PostgreSQL writes about the backup that began in the segment.
    private func checkLabel(_ object: String, _ reader: VerifyReader) async throws -> VerifyFinding? {
        var start: [UInt8] = []
        _ = try await reader.content(object, StoredForm(compress: .none, cipherPass: cipherPass)) { bytes in
            start += bytes.prefix(64 - start.count)
        }
        if start.starts(with: "START WAL LOCATION: ".utf8) { return nil }
        return VerifyFinding(.other, object, "it is not what PostgreSQL writes about a backup")
    }
}
