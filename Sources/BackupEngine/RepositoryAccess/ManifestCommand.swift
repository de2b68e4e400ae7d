package import BackupModel
import Checksums
import RepositoryFormats
import RepositoryStorage
import Telemetry

/// `manifest`: the files of a backup and where they lie, byte for byte as pgBackRest prints them.
package struct ManifestCommand {
    private let context: EngineContext
    private let repository: Repository
    private let stanza: String

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        repository = context.repositories[0]
        stanza = try context.stanza()
    }

    /// Throws `.backupSetInvalid` when there is no such backup, `.fileMissing` when the filter names no file of it.
    package func run(_ sink: @escaping OutputSink) async throws {
        let manifest = try await load()
        let rows = try selectedRows(manifest)
        let isJSON = context.configuration.string(.output) == "json"
        var output = TextOutput(sink)
        try output.write(isJSON ? jsonHead(manifest) : textHead(manifest))
        // How its blocks are spread is shown of a file that was asked for by name.
        let showsBlocks = rows.count == 1 && manifest.files.name(rows[0]) == context.configuration.string(.filter)
        for (position, row) in rows.enumerated() {
            let file = manifest.files[row]
            let spread =
                showsBlocks && file.isBlockIncremental
                ? BlockSpread.perReference(
                    try await repository.loadBlockMap(of: file, in: manifest, stanza: stanza))
                : nil
            if isJSON {
                try output.write((position > 0 ? "," : "") + json(file, manifest, spread))
            } else {
                try output.write((position > 0 ? "\n" : "") + text(file, manifest, spread))
            }
        }
        if isJSON { try output.write("]}") }
        try output.flush()
    }

    private func load() async throws(BackupError) -> Manifest {
        let info = try await repository.loadBackupInfo(stanza: stanza)
        var label = context.configuration.string(.set) ?? "latest"
        if label == "latest" {
            guard let newest = info.backups.last?.label else {
                throw BackupError(
                    .backupSetInvalid, "\(repository.name): there is no backup of stanza '\(stanza)'",
                    hint: "run 'info' to see the backups of all repositories; --repo chooses one")
            }
            label = newest
        }
        guard BackupLabel(label) != nil else {
            throw BackupError(
                .backupSetInvalid, "'\(label)' is no label of a backup", hint: "run 'info' to see the labels")
        }
        return try await repository.loadManifest(stanza: stanza, label: label, cipherPass: info.cipherPass)
    }

    private func selectedRows(_ manifest: Manifest) throws(BackupError) -> [Int] {
        let files = manifest.files
        var rows = Array(0..<files.count)
        if let reference = context.configuration.string(.reference) {
            let label = reference == "latest" ? manifest.label : reference
            guard let number = manifest.references.firstIndex(of: label) else {
                throw BackupError(
                    .backupSetInvalid, "backup '\(manifest.label)' refers to no backup '\(label)'",
                    hint: "it refers to \(manifest.references.map { "'\($0)'" }.joined(separator: ", "))")
            }
            rows = rows.filter { (files.reference($0) ?? manifest.references.count - 1) == number }
        }
        guard let filter = context.configuration.string(.filter) else { return rows }
        if let row = files.index(of: filter) { return rows.filter { $0 == row } }
        let expression = try RegularExpression(filter)
        rows = rows.filter { expression.matches(files.name($0)) }
        guard !rows.isEmpty else {
            throw BackupError(
                .fileMissing, "backup '\(manifest.label)' has no file that matches '\(filter)'",
                hint: "names begin with 'pg_data/' or 'pg_tblspc/'")
        }
        return rows
    }

    // MARK: - Text

    private func textHead(_ manifest: Manifest) -> String {
        func time(_ seconds: Int64) -> String { String(LocalTime.text(seconds).prefix(19)) }
        let duration = max(manifest.timestampStop - manifest.timestampStart, 0)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return """
            label: \(manifest.label)
            reference: \(manifest.references.joined(separator: ", "))
            type: \(manifest.type.rawValue)
            time: start: \(time(manifest.timestampStart)), stop: \(time(manifest.timestampStop)), \
            duration: \(duration / 3600):\(two(duration / 60 % 60)):\(two(duration % 60))
            bundle: \(manifest.isBundle)
            block: \(manifest.isBlockIncremental)

            file list:

            """
    }

    private func text(_ file: ManifestFile, _ manifest: Manifest, _ spread: [BlockSpread]?) -> String {
        var text = "  - \(file.name)\n"
        if let reference = file.reference { text += "      reference: \(manifest.references[reference])\n" }
        text += "      size: \(SizeText.bytes(file.size)), repo \(SizeText.bytes(file.repoSize))\n"
        if let checksum = file.checksum { text += "      checksum: \(checksum.hex)\n" }
        if file.bundleID != 0 { text += "      bundle: \(file.bundleID)\n" }
        guard file.isBlockIncremental else { return text }
        text +=
            "      block: size \(SizeText.bytes(UInt64(file.blockSize))), map size \(SizeText.bytes(file.blockMapSize)), "
            + "checksum size \(SizeText.bytes(UInt64(file.blockChecksumSize)))\n"
        guard let spread else { return text }
        func line(_ spread: BlockSpread) -> String {
            "read: \(spread.reads)/\(SizeText.bytes(spread.readSize)), "
                + "superBlock: \(spread.superBlocks)/\(SizeText.bytes(spread.superBlockSize)), "
                + "block: \(spread.blocks)/\(SizeText.bytes(UInt64(spread.blocks) &* UInt64(file.blockSize)))\n"
        }
        text += "      block delta:\n"
        for one in spread {
            let label = manifest.references.indices.contains(one.reference) ? manifest.references[one.reference] : "?"
            let object = one.bundleID != 0 ? "\(label)/bundle/\(one.bundleID)" : "\(label)/\(file.name).pgbi"
            text += "        reference: \(object), " + line(one)
        }
        return text + "        total " + line(spread.reduce(BlockSpread(reference: 0)) { $0 + $1 })
    }

    // MARK: - JSON

    private func jsonHead(_ manifest: Manifest) -> String {
        let references = JSONValue.array(manifest.references.map { .string($0) }).text
        return "{\"label\":\(JSONValue.string(manifest.label).text),\"reference\":\(references)"
            + ",\"type\":\"\(manifest.type.rawValue)\",\"time\":{\"start\":\(manifest.timestampStart)"
            + ",\"copy\":\(manifest.timestampCopyStart),\"stop\":\(manifest.timestampStop)}"
            + ",\"bundle\":{\"bundle\":\(manifest.isBundle),\"raw\":\(manifest.isBundleRaw)}"
            + ",\"block\":{\"block\":\(manifest.isBlockIncremental)},\"fileList\":["
    }

    private func json(_ file: ManifestFile, _ manifest: Manifest, _ spread: [BlockSpread]?) -> String {
        var text = "{\"name\":\(JSONValue.string(file.name).text)"
        if let reference = file.reference {
            text += ",\"reference\":\(JSONValue.string(manifest.references[reference]).text)"
        }
        text += ",\"size\":\(file.size)"
        if let checksum = file.checksum { text += ",\"checksum\":\"\(checksum.hex)\"" }
        text += ",\"repo\":{\"size\":\(file.repoSize)}"
        if file.bundleID != 0 { text += ",\"bundle\":{\"id\":\(file.bundleID),\"offset\":\(file.bundleOffset)}" }
        if file.isBlockIncremental {
            text += ",\"block\":{\"size\":\(file.blockSize),\"map\":{\"size\":\(file.blockMapSize)"
            if let spread {
                let parts = spread.map { one in
                    "{\"reference\":\(one.reference),\"read\":{\"total\":\(one.reads),\"size\":\(one.readSize)}"
                        + ",\"superBlock\":{\"total\":\(one.superBlocks),\"size\":\(one.superBlockSize)}"
                        + ",\"block\":{\"total\":\(one.blocks)}}"
                }
                text += ",\"delta\":[\(parts.joined(separator: ","))]"
            }
            text += "},\"checksum\":{\"size\":\(file.blockChecksumSize)}}"
        }
        return text + "}"
    }
}

/// What a restore of a whole block-incremental file reads of one backup.
struct BlockSpread: Equatable {
    /// Into ``Manifest/references``.
    var reference: Int
    /// Of the last read; 0: the file's own object.
    var bundleID: UInt64 = 0
    var reads = 0
    var readSize: UInt64 = 0
    var superBlocks = 0
    /// Of content.
    var superBlockSize: UInt64 = 0
    var blocks = 0

    init(reference: Int) { self.reference = reference }

    static func + (left: BlockSpread, right: BlockSpread) -> BlockSpread {
        var sum = left
        sum.reads += right.reads
        sum.readSize &+= right.readSize
        sum.superBlocks += right.superBlocks
        sum.superBlockSize &+= right.superBlockSize
        sum.blocks += right.blocks
        return sum
    }

    /// By reference, ascending; super blocks that follow each other in their object are one read.
    static func perReference(_ map: BlockMap) -> [BlockSpread] {
        var spreads: [UInt32: BlockSpread] = [:]
        var last: [UInt32: BlockMapItem] = [:]
        for item in map.items {
            var spread = spreads[item.reference] ?? BlockSpread(reference: Int(item.reference))
            let prior = last[item.reference]
            if prior?.offset != item.offset {
                if prior.map({ $0.offset &+ $0.storedSize }) != item.offset {
                    spread.reads += 1
                    spread.bundleID = item.bundleID
                }
                spread.superBlocks += 1
                spread.superBlockSize &+= item.superBlockSize
                spread.readSize &+= item.storedSize
            }
            spread.blocks += 1
            spreads[item.reference] = spread
            last[item.reference] = item
        }
        return spreads.values.sorted { $0.reference < $1.reference }
    }
}
