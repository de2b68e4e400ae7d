import BackupModel
import Checksums
import RepositoryFormats
import StreamFilters

/// The files that a backup holds itself: single objects, the largest first, then bundles, each of which is read once.
struct BackupWork: VerifyWork {
    private let manifest: Manifest
    private let stanza: String
    /// Rows: first the single files, then those of bundles by bundle and offset.
    private let rows: [Int32]
    private let singleCount: Int
    /// Into `rows`, with the end as last.
    private let bundleStarts: [Int]

    init(_ manifest: Manifest, stanza: String) {
        self.manifest = manifest
        self.stanza = stanza
        let files = manifest.files
        var singles: [Int32] = []
        var bundled: [Int32] = []
        for row in 0..<files.count where !files.hasReference(row) {
            if files.bundleID(row) != 0 {
                bundled.append(Int32(row))
            } else if files.size(row) > 0 || !manifest.isBundle {
                // Of an empty file nothing is stored beside bundles.
                singles.append(Int32(row))
            }
        }
        singles.sort { (files.repoSize(Int($1)), $0) < (files.repoSize(Int($0)), $1) }
        bundled.sort {
            (files.bundleID(Int($0)), files.bundleOffset(Int($0)), $0)
                < (files.bundleID(Int($1)), files.bundleOffset(Int($1)), $1)
        }
        var starts: [Int] = []
        for (index, row) in bundled.enumerated()
        where index == 0 || files.bundleID(Int(row)) != files.bundleID(Int(bundled[index - 1])) {
            starts.append(singles.count + index)
        }
        singleCount = singles.count
        rows = singles + bundled
        bundleStarts = starts + [rows.count]
    }

    /// Files that are stored in this backup.
    var fileCount: Int { rows.count }
    var count: Int { singleCount + bundleStarts.count - 1 }
    func files(_ index: Int) -> Int { rows(of: index).count }
    func object(_ index: Int) -> String { manifest.object(of: file(rows(of: index).lowerBound), stanza: stanza) }

    func check(_ index: Int, _ reader: VerifyReader) async throws -> [VerifyFinding] {
        if index >= singleCount { return try await checkBundle(rows(of: index), reader) }
        let file = file(index)
        let object = manifest.object(of: file, stanza: stanza)
        let finding = try await reader.finding(object) {
            guard let expected = storedChecksum(file) else {
                return try await checkContent(file, object, nil, reader)
            }
            let (checksum, size) = try await reader.stored(object)
            return Self.compare(object, nil, checksum, size, expected: expected, file.repoSize)
        }
        return finding.map { [$0] } ?? []
    }

    private func checkBundle(_ rows: Range<Int>, _ reader: VerifyReader) async throws -> [VerifyFinding] {
        let files = rows.map { file($0) }
        let object = manifest.object(of: files[0], stanza: stanza)
        var findings: [VerifyFinding] = []
        var sequential: [ManifestFile] = []
        var end: UInt64 = 0
        for file in files {
            let (fileEnd, overflow) = file.bundleOffset.addingReportingOverflow(file.repoSize)
            guard !overflow, file.bundleOffset >= end else {
                findings.append(
                    VerifyFinding(.other, object, file: file.name, "the manifest has it overlap another file"))
                continue
            }
            end = fileEnd
            if storedChecksum(file) != nil {
                sequential.append(file)
                continue
            }
            let range = file.bundleOffset..<fileEnd
            let finding = try await reader.finding(object, file: file.name) {
                try await checkContent(file, object, range, reader)
            }
            if let finding { findings.append(finding) }
        }
        var found: [VerifyFinding] = []
        let failure = try await reader.finding(object, files: sequential.count) {
            try await reader.parts(of: object, count: sequential.count) { index in
                sequential[index].bundleOffset..<sequential[index].bundleOffset + sequential[index].repoSize
            } _: { index, checksum, size in
                let file = sequential[index]
                guard let expected = storedChecksum(file) else { return }
                let finding = Self.compare(object, file.name, checksum, size, expected: expected, file.repoSize)
                if let finding { found.append(finding) }
            }
            return nil
        }
        return findings + (failure.map { [$0] } ?? found)
    }

    private func checkContent(
        _ file: ManifestFile, _ object: String, _ range: Range<UInt64>?, _ reader: VerifyReader
    ) async throws -> VerifyFinding? {
        let name = range == nil ? nil : file.name
        guard let expected = file.checksum, !file.isBlockIncremental else {
            return VerifyFinding(.other, object, file: name, "the manifest has no checksum of it")
        }
        let (checksum, size) = try await reader.content(object, range: range, manifest.form(of: file))
        return Self.compare(object, name, checksum, size, expected: expected, file.size)
    }

    /// Of the bytes in the repository, if the manifest tells it: what is stored as it is has no sum of its own.
    private func storedChecksum(_ file: ManifestFile) -> SHA1Digest? {
        if let checksum = file.repoChecksum { return checksum }
        let isPlain =
            manifest.options.compressType == .none && manifest.cipherPass == nil && !file.isBlockIncremental
        return isPlain ? file.checksum : nil
    }

    private static func compare(
        _ object: String, _ file: String?, _ checksum: SHA1Digest, _ size: UInt64, expected: SHA1Digest,
        _ expectedSize: UInt64
    ) -> VerifyFinding? {
        guard size == expectedSize else {
            return VerifyFinding(.size, object, file: file, "it has \(size) bytes instead of \(expectedSize)")
        }
        guard checksum == expected else {
            return VerifyFinding(
                .checksum, object, file: file, "its checksum is \(checksum.hex) instead of \(expected.hex)")
        }
        return nil
    }

    private func file(_ position: Int) -> ManifestFile { manifest.files[Int(rows[position])] }

    private func rows(of index: Int) -> Range<Int> {
        if index < singleCount { return index..<index + 1 }
        return bundleStarts[index - singleCount]..<bundleStarts[index - singleCount + 1]
    }
}
