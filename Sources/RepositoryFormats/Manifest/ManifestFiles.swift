package import Checksums
import Glibc

/// The files of a manifest, in columns: about 150 bytes a file, names included.
package struct ManifestFiles: Sendable {
    /// The mode of a row whose manifest has not told its default yet.
    static let defaultMode = UInt16.max
    private static let noReference = UInt32.max

    /// The bytes of all names, in the order in which rows came.
    private var nameBytes: [UInt8] = []
    private var nameStarts: [Int] = []
    private var nameLengths: [UInt32] = []
    private var sizes: [UInt64] = []
    private var repoSizes: [UInt64] = []
    private var timestamps: [Int64] = []
    private var checksums: [PackedDigest] = []
    private var repoChecksums: [PackedDigest] = []
    private var references: [UInt32] = []
    private var bundleIDs: [UInt64] = []
    private var bundleOffsets: [UInt64] = []
    private var modes: [UInt16] = []
    /// Into `owners`.
    private var ownerIndexes: [UInt32] = []
    private var flags: [Flags] = []
    /// Into `rarities`, from 1; 0 for none.
    private var rarityIndexes: [UInt32] = []

    private(set) var owners: [Owner] = []
    private var ownerIndexOf: [Owner: UInt32] = [:]
    private var rarities: [Rarity] = []

    package init() {}

    package var count: Int { sizes.count }

    /// Reads or replaces one row; the name of a row never changes.
    package subscript(index: Int) -> ManifestFile {
        get {
            let owner = owners[Int(ownerIndexes[index])]
            var file = ManifestFile(
                name: name(index), size: sizes[index], timestamp: timestamps[index], mode: modes[index],
                user: owner.user.text, group: owner.group.text)
            file.repoSize = repoSizes[index]
            file.checksum = checksum(index)
            file.repoChecksum = repoChecksum(index)
            file.reference = reference(index)
            file.bundleID = bundleIDs[index]
            file.bundleOffset = bundleOffsets[index]
            let rarity = rarity(index)
            file.sizeOriginal = rarity?.sizeOriginal ?? file.size
            file.blockSize = rarity?.blockSize ?? 0
            file.blockChecksumSize = rarity?.blockChecksumSize ?? BlockIncremental.defaultChecksumSize
            file.blockMapSize = rarity?.blockMapSize ?? 0
            file.pageCheck = pageCheck(index)
            return file
        }
        set {
            assert(newValue.name == name(index), "the name of a row never changes")
            set(ManifestFileRow(newValue, owner: intern(Owner(newValue))), at: index)
        }
    }

    package mutating func append(_ file: ManifestFile) {
        let owner = intern(Owner(file))
        var name = file.name
        name.withUTF8 { append(ManifestFileRow(file, owner: owner), name: UnsafeRawBufferPointer($0)) }
    }

    /// By name, bytewise.
    package mutating func sort() {
        guard !isSorted else { return }
        var order = Array(0..<UInt32(count))
        nameBytes.withUnsafeBytes { bytes in
            order.sort { compare(Int($0), Int($1), in: bytes) < 0 }
        }
        take(order)
    }

    /// By binary search; only when sorted.
    package func index(of name: String) -> Int? {
        var name = name
        return name.withUTF8 { name in
            nameBytes.withUnsafeBytes { bytes in
                var low = 0
                var high = count
                while low < high {
                    let middle = (low + high) / 2
                    let order = Self.compare(self.nameBytes(middle, in: bytes), UnsafeRawBufferPointer(name))
                    if order == 0 { return middle }
                    if order < 0 { low = middle + 1 } else { high = middle }
                }
                return nil
            }
        }
    }

    /// Removes the rows at `indices` (ascending).
    package mutating func remove(at indices: [Int]) {
        guard !indices.isEmpty else { return }
        var removed = indices[...]
        var order: [UInt32] = []
        order.reserveCapacity(count - indices.count)
        for index in 0..<count {
            if removed.first == index {
                removed.removeFirst()
            } else {
                order.append(UInt32(index))
            }
        }
        take(order)
    }

    // Columns that planners loop over without building rows:
    package func name(_ index: Int) -> String {
        nameBytes.withUnsafeBytes { String(decoding: nameBytes(index, in: $0), as: UTF8.self) }
    }
    package func size(_ index: Int) -> UInt64 { sizes[index] }
    package func repoSize(_ index: Int) -> UInt64 { repoSizes[index] }
    package func timestamp(_ index: Int) -> Int64 { timestamps[index] }
    package func hasReference(_ index: Int) -> Bool { references[index] != Self.noReference }
    package func reference(_ index: Int) -> Int? { hasReference(index) ? Int(references[index]) : nil }
    package func bundleID(_ index: Int) -> UInt64 { bundleIDs[index] }
    package func bundleOffset(_ index: Int) -> UInt64 { bundleOffsets[index] }
    package func mode(_ index: Int) -> UInt16 { modes[index] }
    package func checksum(_ index: Int) -> SHA1Digest? {
        flags[index].contains(.checksum) ? checksums[index].digest : nil
    }
    package func repoChecksum(_ index: Int) -> SHA1Digest? {
        flags[index].contains(.repoChecksum) ? repoChecksums[index].digest : nil
    }
    package func pageCheck(_ index: Int) -> PageCheckResult {
        guard flags[index].contains(.pagesChecked) else { return .notChecked }
        return flags[index].contains(.pagesValid) ? .valid : .invalid(rarity(index)?.invalidPages ?? [])
    }
}

// MARK: What another manifest says of the same files

extension ManifestFiles {
    package func sizeOriginal(_ index: Int) -> UInt64 { rarity(index)?.sizeOriginal ?? sizes[index] }
    /// Bytes; 0: not block incremental.
    package func blockSize(_ index: Int) -> UInt32 { rarity(index)?.blockSize ?? 0 }
    package func blockMapSize(_ index: Int) -> UInt64 { rarity(index)?.blockMapSize ?? 0 }

    /// For each row that of `other` with the same name, or -1. Both must be sorted.
    package func rows(in other: ManifestFiles) -> [Int32] {
        var rows = [Int32](repeating: -1, count: count)
        nameBytes.withUnsafeBytes { names in
            other.nameBytes.withUnsafeBytes { otherNames in
                var row = 0
                var otherRow = 0
                while row < count, otherRow < other.count {
                    let order = Self.compare(nameBytes(row, in: names), other.nameBytes(otherRow, in: otherNames))
                    if order == 0 { rows[row] = Int32(otherRow) }
                    if order <= 0 { row += 1 }
                    if order >= 0 { otherRow += 1 }
                }
            }
        }
        return rows
    }

    /// Takes over what row `otherRow` of `other` says of the content and of where it is stored; name, size, time, mode
    /// and owner stay.
    /// - Parameter ownReference: the number of the backup that `other` is of, for what is stored there.
    package mutating func inherit(_ row: Int, from other: ManifestFiles, _ otherRow: Int, ownReference: Int?) {
        repoSizes[row] = other.repoSizes[otherRow]
        checksums[row] = other.checksums[otherRow]
        repoChecksums[row] = other.repoChecksums[otherRow]
        flags[row] = other.flags[otherRow]
        bundleIDs[row] = other.bundleIDs[otherRow]
        bundleOffsets[row] = other.bundleOffsets[otherRow]
        let reference = other.references[otherRow]
        references[row] =
            reference == Self.noReference ? ownReference.map { UInt32($0) } ?? Self.noReference : reference
        if var rarity = other.rarity(otherRow), rarity.blockSize != 0 || !rarity.invalidPages.isEmpty {
            rarity.sizeOriginal = sizes[row]
            setRarity(rarity, at: row)
        } else {
            rarityIndexes[row] = 0
        }
    }

    /// Forgets the content's checksums, but not where a block map is.
    package mutating func forgetContent(_ row: Int) { flags[row] = [] }

    /// Whether anything is said of the content, or of where it is stored.
    package func isStored(_ row: Int) -> Bool {
        flags[row] != [] || references[row] != Self.noReference || bundleIDs[row] != 0 || rarityIndexes[row] != 0
    }

    /// Forgets the content and where it is stored.
    package mutating func forgetStored(_ row: Int) {
        flags[row] = []
        repoSizes[row] = sizes[row]
        references[row] = Self.noReference
        bundleIDs[row] = 0
        bundleOffsets[row] = 0
        rarityIndexes[row] = 0
    }

    /// Makes a row of size 0 one that needs no object.
    package mutating func setEmpty(_ row: Int) {
        forgetStored(row)
        checksums[row] = PackedDigest(.ofNothing)
        flags[row] = .checksum
    }
}

// MARK: Rows as the codec sees them

extension ManifestFiles {
    /// The least index whose name is not greater than the one before it, which in a sorted manifest is one of two rows
    /// with the same name; nil when the names ascend.
    var firstUnordered: Int? {
        nameBytes.withUnsafeBytes { bytes in
            var index = 1
            while index < count {
                guard compare(index - 1, index, in: bytes) < 0 else { return index }
                index += 1
            }
            return nil
        }
    }

    private var isSorted: Bool { firstUnordered == nil }

    func rarity(_ index: Int) -> Rarity? {
        let rarity = rarityIndexes[index]
        return rarity == 0 ? nil : rarities[Int(rarity) - 1]
    }

    func ownerIndex(_ index: Int) -> Int { Int(ownerIndexes[index]) }

    func withNameBytes<Result, Failure: Error>(
        _ index: Int, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try nameBytes.span.bytes.withUnsafeBytes { bytes throws(Failure) in try body(nameBytes(index, in: bytes)) }
    }

    mutating func intern(_ owner: Owner) -> UInt32 {
        // Nearly all files of a cluster have one owner.
        if let last = owners.indices.last, owners[last] == owner { return UInt32(last) }
        if let index = ownerIndexOf[owner] { return index }
        let index = UInt32(owners.count)
        owners.append(owner)
        ownerIndexOf[owner] = index
        return index
    }

    mutating func append(_ row: ManifestFileRow, name: UnsafeRawBufferPointer) {
        nameStarts.append(nameBytes.count)
        nameLengths.append(UInt32(name.count))
        nameBytes.append(contentsOf: name)
        sizes.append(row.size)
        repoSizes.append(row.repoSize)
        timestamps.append(row.timestamp)
        checksums.append(PackedDigest(row.checksum))
        repoChecksums.append(PackedDigest(row.repoChecksum))
        references.append(row.reference.map { UInt32($0) } ?? Self.noReference)
        bundleIDs.append(row.bundleID)
        bundleOffsets.append(row.bundleOffset)
        modes.append(row.mode)
        ownerIndexes.append(row.owner)
        flags.append(Flags(row))
        rarityIndexes.append(0)
        if let rarity = row.rarity { setRarity(rarity, at: count - 1) }
    }

    private mutating func set(_ row: ManifestFileRow, at index: Int) {
        sizes[index] = row.size
        repoSizes[index] = row.repoSize
        timestamps[index] = row.timestamp
        checksums[index] = PackedDigest(row.checksum)
        repoChecksums[index] = PackedDigest(row.repoChecksum)
        references[index] = row.reference.map { UInt32($0) } ?? Self.noReference
        bundleIDs[index] = row.bundleID
        bundleOffsets[index] = row.bundleOffset
        modes[index] = row.mode
        ownerIndexes[index] = row.owner
        flags[index] = Flags(row)
        if let rarity = row.rarity { setRarity(rarity, at: index) } else { rarityIndexes[index] = 0 }
    }

    private mutating func setRarity(_ rarity: Rarity, at index: Int) {
        if rarityIndexes[index] == 0 {
            rarities.append(rarity)
            rarityIndexes[index] = UInt32(rarities.count)
        } else {
            rarities[Int(rarityIndexes[index]) - 1] = rarity
        }
    }

    /// Fills in what rows left to the defaults, which a manifest tells after its files. Returns the name of a row
    /// whose mode stays unknown.
    mutating func resolveDefaults(user: OwnerName, group: OwnerName, mode: UInt16?) -> String? {
        for index in owners.indices {
            if owners[index].user == .byDefault { owners[index].user = user }
            if owners[index].group == .byDefault { owners[index].group = group }
        }
        ownerIndexOf = Dictionary(
            owners.enumerated().map { ($1, UInt32($0)) }, uniquingKeysWith: { first, _ in first })
        guard let mode else { return modes.firstIndex(of: Self.defaultMode).map { name($0) } }
        for index in modes.indices where modes[index] == Self.defaultMode { modes[index] = mode }
        return nil
    }

    /// Replaces each reference by what `numbers` says at its place; nil: the backup itself.
    mutating func renumberReferences(_ numbers: [Int?]) {
        for index in references.indices where references[index] != Self.noReference {
            references[index] = numbers[Int(references[index])].map { UInt32($0) } ?? Self.noReference
        }
    }

    private mutating func take(_ order: [UInt32]) {
        nameStarts.take(order)
        nameLengths.take(order)
        sizes.take(order)
        repoSizes.take(order)
        timestamps.take(order)
        checksums.take(order)
        repoChecksums.take(order)
        references.take(order)
        bundleIDs.take(order)
        bundleOffsets.take(order)
        modes.take(order)
        ownerIndexes.take(order)
        flags.take(order)
        rarityIndexes.take(order)
    }

    private func nameBytes(_ index: Int, in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let start = nameStarts[index]
        return UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(nameLengths[index])])
    }

    private func compare(_ left: Int, _ right: Int, in bytes: UnsafeRawBufferPointer) -> Int {
        Self.compare(nameBytes(left, in: bytes), nameBytes(right, in: bytes))
    }

    private static func compare(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
        let common = min(left.count, right.count)
        if common > 0, let leftBase = left.baseAddress, let rightBase = right.baseAddress {
            let order = memcmp(leftBase, rightBase, common)
            if order != 0 { return Int(order) }
        }
        return left.count - right.count
    }
}

extension Array {
    /// Becomes the elements at `order`, in that order.
    fileprivate mutating func take(_ order: [UInt32]) { self = order.map { self[Int($0)] } }
}
