import BackupModel
import Checksums

/// Reads `[target:file]` into columns, without a `String` for a row.
struct ManifestFileReader {
    private var files = ManifestFiles()
    /// In order of first appearance; rows count by it until ``finish(references:label:defaults:)``.
    private(set) var references: [String] = []
    private var referenceIndexOf: [String: Int] = [:]
    /// The reference of the row before: neighbours mostly share it.
    private var lastReference: (text: [UInt8], index: Int) = ([], 0)

    mutating func read(_ name: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        try ManifestName.check(name)
        var row = ManifestFileRow()
        var rarity = ManifestFiles.Rarity(sizeOriginal: 0)
        var hasRarity = false
        var owner = ManifestFiles.Owner()
        var size: UInt64?
        var repoSize: UInt64?
        var sizeOriginal: UInt64?
        var timestamp: Int64?
        try value.beginObject()
        while let key = try value.nextKey() {
            switch ManifestFileKey(key) {
            case .size: size = try value.unsigned()
            case .repoSize: repoSize = try value.unsigned()
            case .timestamp: timestamp = try value.integer()
            case .checksum: row.checksum = try value.digest()
            case .repoChecksum: row.repoChecksum = try value.digest()
            case .reference: row.reference = try intern(value.plainText())
            case .bundleID: row.bundleID = try value.unsigned()
            case .bundleOffset: row.bundleOffset = try value.unsigned()
            case .mode: row.mode = try value.mode()
            case .user: owner.user = try value.owner()
            case .group: owner.group = try value.owner()
            case .pageCheck:
                row.pagesChecked = true
                row.pagesValid = try value.bool()
            case .invalidPages:
                rarity.invalidPages = try value.pages()
                hasRarity = true
            case .blockSize:
                rarity.blockSize = try value.blockSize()
                hasRarity = true
            case .blockChecksumSize:
                rarity.blockChecksumSize = try value.blockChecksumSize()
                hasRarity = true
            case .blockMapSize:
                rarity.blockMapSize = try value.unsigned()
                hasRarity = true
            case .sizeOriginal:
                sizeOriginal = try value.unsigned()
                hasRarity = true
            case .other: try value.skip()
            }
        }
        row.size = try required(size, "size")
        row.repoSize = repoSize ?? row.size
        row.timestamp = try required(timestamp, "timestamp")
        if row.size == 0 { row.checksum = .ofNothing }
        if row.bundleID == 0 { row.bundleOffset = 0 }
        if hasRarity {
            rarity.sizeOriginal = sizeOriginal ?? row.size
            if rarity.blockSize == 0 {
                rarity.blockChecksumSize = BlockIncremental.defaultChecksumSize
                rarity.blockMapSize = 0
            }
            row.rarity = rarity
        }
        row.owner = files.intern(owner)
        files.append(row, name: name)
    }

    /// Hands over the files; `references` is the list that their numbers shall count by, `label` the backup's own.
    mutating func finish(
        references all: [String], label: String, defaults: ManifestDefaultFields
    ) throws(BackupError) -> ManifestFiles {
        if references != all || referenceIndexOf[label] != nil {
            let numberOf = Dictionary(all.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
            var numbers: [Int?] = []
            for reference in references {
                guard reference == label || numberOf[reference] != nil else {
                    throw BackupError(.format, "reference '\(reference)' of a file is missing in 'backup-reference'")
                }
                numbers.append(reference == label ? nil : numberOf[reference])
            }
            files.renumberReferences(numbers)
        }
        if let name = files.resolveDefaults(user: defaults.user, group: defaults.group, mode: defaults.mode) {
            throw BackupError(.format, "file '\(name)' has no mode, nor is there a default")
        }
        // Not copied: the columns must have one owner when they are sorted.
        var result = ManifestFiles()
        swap(&result, &files)
        return result
    }

    private mutating func intern(_ label: UnsafeRawBufferPointer) throws(BackupError) -> Int {
        let isLast = lastReference.text.withUnsafeBytes {
            $0.count == label.count && !label.isEmpty && label.elementsEqual($0)
        }
        if isLast { return lastReference.index }
        let text = String(decoding: label, as: UTF8.self)
        guard BackupLabel(text) != nil else { throw BackupError(.format, "'\(label.excerpt)' is no label of a backup") }
        let index: Int
        if let known = referenceIndexOf[text] {
            index = known
        } else {
            index = references.count
            references.append(text)
            referenceIndexOf[text] = index
        }
        lastReference = (Array(label), index)
        return index
    }
}

private enum ManifestFileKey {
    case blockSize, blockChecksumSize, blockMapSize, bundleID, bundleOffset, checksum, pageCheck, invalidPages
    case group, mode, repoChecksum, reference, repoSize, size, sizeOriginal, timestamp, user, other

    init(_ key: UnsafeRawBufferPointer) {
        // By length first: one or two comparisons a key.
        self =
            switch key.count {
            case 2 where key == "bi": .blockSize
            case 3 where key == "rck": .repoChecksum
            case 3 where key == "bni": .bundleID
            case 3 where key == "bno": .bundleOffset
            case 3 where key == "szo": .sizeOriginal
            case 3 where key == "bic": .blockChecksumSize
            case 3 where key == "bim": .blockMapSize
            case 4 where key == "size": .size
            case 4 where key == "mode": .mode
            case 4 where key == "user": .user
            case 5 where key == "group": .group
            case 8 where key == "checksum": .checksum
            case 9 where key == "timestamp": .timestamp
            case 9 where key == "repo-size": .repoSize
            case 9 where key == "reference": .reference
            case 13 where key == "checksum-page": .pageCheck
            case 19 where key == "checksum-page-error": .invalidPages
            default: .other
            }
    }
}
