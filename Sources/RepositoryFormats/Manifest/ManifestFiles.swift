package import Checksums
import Glibc

/// The files of a manifest, in columns: about 125 bytes a file, names included.
///
/// Rows lie in chunks, so that a copy shares with its original all chunks but those in which either is changed since: a
/// manifest is saved while workers go on changing it.
package struct ManifestFiles: Sendable {
    /// The mode of a row whose manifest has not told its default yet.
    static let defaultMode = UInt16.max
    private static let noReference = UInt32.max

    private var chunks: [Chunk] = []
    package private(set) var count = 0
    private(set) var owners: [Owner] = []
    private var ownerIndexOf: [Owner: UInt32] = [:]
    private var rarities: [Rarity] = []

    package init() {}

    /// Reads or replaces one row; the name of a row never changes.
    package subscript(index: Int) -> ManifestFile {
        get {
            let owner = owners[ownerIndex(index)]
            var file = ManifestFile(
                name: name(index), size: size(index), timestamp: timestamp(index), mode: mode(index),
                user: owner.user.text, group: owner.group.text)
            file.repoSize = repoSize(index)
            file.checksum = checksum(index)
            file.repoChecksum = repoChecksum(index)
            file.reference = reference(index)
            file.bundleID = bundleID(index)
            file.bundleOffset = bundleOffset(index)
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
        order.sort { left, right in
            withNameBytes(Int(left)) { name in withNameBytes(Int(right)) { Self.compare(name, $0) < 0 } }
        }
        take(order)
    }

    /// By binary search; only when sorted.
    package func index(of name: String) -> Int? {
        var name = name
        return name.withUTF8 { name in
            var low = 0
            var high = count
            while low < high {
                let middle = (low + high) / 2
                let order = withNameBytes(middle) { Self.compare($0, UnsafeRawBufferPointer(name)) }
                if order == 0 { return middle }
                if order < 0 { low = middle + 1 } else { high = middle }
            }
            return nil
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
        withNameBytes(index) { String(decoding: $0, as: UTF8.self) }
    }
    package func size(_ index: Int) -> UInt64 { chunks[index >> Chunk.shift].sizes[index & Chunk.mask] }
    package func repoSize(_ index: Int) -> UInt64 { chunks[index >> Chunk.shift].repoSizes[index & Chunk.mask] }
    package func timestamp(_ index: Int) -> Int64 { chunks[index >> Chunk.shift].timestamps[index & Chunk.mask] }
    package func hasReference(_ index: Int) -> Bool { referenceNumber(index) != Self.noReference }
    package func reference(_ index: Int) -> Int? { hasReference(index) ? Int(referenceNumber(index)) : nil }
    package func bundleID(_ index: Int) -> UInt64 { chunks[index >> Chunk.shift].bundleIDs[index & Chunk.mask] }
    package func bundleOffset(_ index: Int) -> UInt64 {
        chunks[index >> Chunk.shift].bundleOffsets[index & Chunk.mask]
    }
    package func mode(_ index: Int) -> UInt16 { chunks[index >> Chunk.shift].modes[index & Chunk.mask] }
    package func checksum(_ index: Int) -> SHA1Digest? {
        flags(index).contains(.checksum) ? chunks[index >> Chunk.shift].checksums[index & Chunk.mask].digest : nil
    }
    package func repoChecksum(_ index: Int) -> SHA1Digest? {
        guard flags(index).contains(.repoChecksum) else { return nil }
        return chunks[index >> Chunk.shift].repoChecksums[index & Chunk.mask].digest
    }
    package func pageCheck(_ index: Int) -> PageCheckResult {
        let flags = flags(index)
        guard flags.contains(.pagesChecked) else { return .notChecked }
        return flags.contains(.pagesValid) ? .valid : .invalid(rarity(index)?.invalidPages ?? [])
    }

    private func flags(_ index: Int) -> Flags { chunks[index >> Chunk.shift].flags[index & Chunk.mask] }
    private func referenceNumber(_ index: Int) -> UInt32 {
        chunks[index >> Chunk.shift].references[index & Chunk.mask]
    }
}

// MARK: What another manifest says of the same files

extension ManifestFiles {
    package func sizeOriginal(_ index: Int) -> UInt64 { rarity(index)?.sizeOriginal ?? size(index) }
    /// Bytes; 0: not block incremental.
    package func blockSize(_ index: Int) -> UInt32 { rarity(index)?.blockSize ?? 0 }
    package func blockMapSize(_ index: Int) -> UInt64 { rarity(index)?.blockMapSize ?? 0 }

    /// For each row that of `other` with the same name, or -1. Both must be sorted.
    package func rows(in other: ManifestFiles) -> [Int32] {
        var rows = [Int32](repeating: -1, count: count)
        var row = 0
        var otherRow = 0
        while row < count, otherRow < other.count {
            let order = withNameBytes(row) { name in
                other.withNameBytes(otherRow) { Self.compare(name, $0) }
            }
            if order == 0 { rows[row] = Int32(otherRow) }
            if order <= 0 { row += 1 }
            if order >= 0 { otherRow += 1 }
        }
        return rows
    }

    /// Takes over what row `otherRow` of `other` says of the content and of where it is stored; name, size, time, mode
    /// and owner stay.
    /// - Parameter ownReference: the number of the backup that `other` is of, for what is stored there.
    package mutating func inherit(_ row: Int, from other: ManifestFiles, _ otherRow: Int, ownReference: Int?) {
        let reference = other.reference(otherRow).map { UInt32($0) } ?? ownReference.map { UInt32($0) }
        chunks[row >> Chunk.shift].inherit(
            row & Chunk.mask, from: other.chunks[otherRow >> Chunk.shift], otherRow & Chunk.mask)
        chunks[row >> Chunk.shift].references[row & Chunk.mask] = reference ?? Self.noReference
        if var rarity = other.rarity(otherRow), rarity.blockSize != 0 || !rarity.invalidPages.isEmpty {
            rarity.sizeOriginal = size(row)
            setRarity(rarity, at: row)
        } else {
            chunks[row >> Chunk.shift].rarityIndexes[row & Chunk.mask] = 0
        }
    }

    /// Forgets the content's checksums, but not where a block map is.
    package mutating func forgetContent(_ row: Int) { chunks[row >> Chunk.shift].flags[row & Chunk.mask] = [] }

    /// Whether anything is said of the content, or of where it is stored.
    package func isStored(_ row: Int) -> Bool {
        hasReference(row) || chunks[row >> Chunk.shift].isStored(row & Chunk.mask)
    }

    /// Forgets the content and where it is stored.
    package mutating func forgetStored(_ row: Int) {
        chunks[row >> Chunk.shift].forgetStored(row & Chunk.mask, reference: Self.noReference)
    }

    /// Makes a row of size 0 one that needs no object.
    package mutating func setEmpty(_ row: Int) {
        forgetStored(row)
        chunks[row >> Chunk.shift].checksums[row & Chunk.mask] = PackedDigest(.ofNothing)
        chunks[row >> Chunk.shift].flags[row & Chunk.mask] = .checksum
    }
}

// MARK: Rows as the codec sees them

extension ManifestFiles {
    /// The least index whose name is not greater than the one before it, which in a sorted manifest is one of two rows
    /// with the same name; nil when the names ascend.
    var firstUnordered: Int? {
        var index = 1
        while index < count {
            let order = withNameBytes(index - 1) { name in withNameBytes(index) { Self.compare(name, $0) } }
            guard order < 0 else { return index }
            index += 1
        }
        return nil
    }

    private var isSorted: Bool { firstUnordered == nil }

    func rarity(_ index: Int) -> Rarity? {
        let rarity = chunks[index >> Chunk.shift].rarityIndexes[index & Chunk.mask]
        return rarity == 0 ? nil : rarities[Int(rarity) - 1]
    }

    func ownerIndex(_ index: Int) -> Int { Int(chunks[index >> Chunk.shift].ownerIndexes[index & Chunk.mask]) }

    func withNameBytes<Result, Failure: Error>(
        _ index: Int, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try chunks[index >> Chunk.shift].withNameBytes(index & Chunk.mask, body)
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
        if count & Chunk.mask == 0 { chunks.append(Chunk()) }
        let index = count
        count += 1
        chunks[index >> Chunk.shift].append(
            row, name: name, reference: row.reference.map { UInt32($0) } ?? Self.noReference)
        if let rarity = row.rarity { setRarity(rarity, at: index) }
    }

    private mutating func set(_ row: ManifestFileRow, at index: Int) {
        chunks[index >> Chunk.shift].set(
            row, at: index & Chunk.mask, reference: row.reference.map { UInt32($0) } ?? Self.noReference)
        if let rarity = row.rarity {
            setRarity(rarity, at: index)
        } else {
            chunks[index >> Chunk.shift].rarityIndexes[index & Chunk.mask] = 0
        }
    }

    private mutating func setRarity(_ rarity: Rarity, at index: Int) {
        if chunks[index >> Chunk.shift].rarityIndexes[index & Chunk.mask] == 0 {
            rarities.append(rarity)
            chunks[index >> Chunk.shift].rarityIndexes[index & Chunk.mask] = UInt32(rarities.count)
        } else {
            rarities[Int(chunks[index >> Chunk.shift].rarityIndexes[index & Chunk.mask]) - 1] = rarity
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
        for index in 0..<count where self.mode(index) == Self.defaultMode {
            guard let mode else { return name(index) }
            chunks[index >> Chunk.shift].modes[index & Chunk.mask] = mode
        }
        return nil
    }

    /// Replaces each reference by what `numbers` says at its place; nil: the backup itself.
    mutating func renumberReferences(_ numbers: [Int?]) {
        for index in 0..<count {
            guard let reference = reference(index) else { continue }
            chunks[index >> Chunk.shift].references[index & Chunk.mask] =
                numbers[reference].map { UInt32($0) } ?? Self.noReference
        }
    }

    /// Becomes the rows at `order`, in that order: one column after the other, so that only one is there twice.
    private mutating func take(_ order: [UInt32]) {
        var names = (0..<(order.count + Chunk.mask) >> Chunk.shift).map { _ in Chunk() }
        for (place, row) in order.enumerated() {
            withNameBytes(Int(row)) { names[place >> Chunk.shift].append(name: $0) }
        }
        func take<Value>(_ column: WritableKeyPath<Chunk, [Value]>) {
            let values = chunks.flatMap { $0[keyPath: column] }
            for index in chunks.indices { chunks[index][keyPath: column] = [] }
            for index in names.indices {
                let places = index << Chunk.shift..<min((index + 1) << Chunk.shift, order.count)
                names[index][keyPath: column] = order[places].map { values[Int($0)] }
            }
        }
        for index in chunks.indices { chunks[index].removeNames() }
        take(\.sizes)
        take(\.repoSizes)
        take(\.timestamps)
        take(\.checksums)
        take(\.repoChecksums)
        take(\.references)
        take(\.bundleIDs)
        take(\.bundleOffsets)
        take(\.modes)
        take(\.ownerIndexes)
        take(\.flags)
        take(\.rarityIndexes)
        chunks = names
        count = order.count
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
