extension ManifestFiles {
    /// Rows that lie together, in columns.
    struct Chunk: Sendable {
        /// Rows in all chunks but the last: 2 to the power of it.
        static let shift = 14
        static let mask = 1 << shift - 1

        /// The bytes of all names, one behind the other.
        private(set) var nameBytes: [UInt8] = []
        /// Into `nameBytes`; names are short enough for these, see `ManifestName`.
        private(set) var nameEnds: [UInt32] = []
        var sizes: [UInt64] = []
        var repoSizes: [UInt64] = []
        var timestamps: [Int64] = []
        var checksums: [PackedDigest] = []
        var repoChecksums: [PackedDigest] = []
        var references: [UInt32] = []
        var bundleIDs: [UInt64] = []
        var bundleOffsets: [UInt64] = []
        var modes: [UInt16] = []
        /// Into `owners`.
        var ownerIndexes: [UInt32] = []
        var flags: [Flags] = []
        /// Into `rarities`, from 1; 0 for none.
        var rarityIndexes: [UInt32] = []

        func withNameBytes<Result, Failure: Error>(
            _ place: Int, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
        ) throws(Failure) -> Result {
            let range = (place == 0 ? 0 : Int(nameEnds[place - 1]))..<Int(nameEnds[place])
            return try nameBytes.span.bytes.withUnsafeBytes { bytes throws(Failure) in
                try body(UnsafeRawBufferPointer(rebasing: bytes[range]))
            }
        }

        mutating func append(name: UnsafeRawBufferPointer) {
            nameBytes.append(contentsOf: name)
            nameEnds.append(UInt32(truncatingIfNeeded: nameBytes.count))
        }

        mutating func removeNames() {
            nameBytes = []
            nameEnds = []
        }

        mutating func append(_ row: ManifestFileRow, name: UnsafeRawBufferPointer, reference: UInt32) {
            append(name: name)
            sizes.append(row.size)
            repoSizes.append(row.repoSize)
            timestamps.append(row.timestamp)
            checksums.append(PackedDigest(row.checksum))
            repoChecksums.append(PackedDigest(row.repoChecksum))
            references.append(reference)
            bundleIDs.append(row.bundleID)
            bundleOffsets.append(row.bundleOffset)
            modes.append(row.mode)
            ownerIndexes.append(row.owner)
            flags.append(Flags(row))
            rarityIndexes.append(0)
        }

        /// All but the name and what is rare.
        mutating func set(_ row: ManifestFileRow, at place: Int, reference: UInt32) {
            sizes[place] = row.size
            repoSizes[place] = row.repoSize
            timestamps[place] = row.timestamp
            checksums[place] = PackedDigest(row.checksum)
            repoChecksums[place] = PackedDigest(row.repoChecksum)
            references[place] = reference
            bundleIDs[place] = row.bundleID
            bundleOffsets[place] = row.bundleOffset
            modes[place] = row.mode
            ownerIndexes[place] = row.owner
            flags[place] = Flags(row)
        }

        /// What a row of another manifest says of the content and where it is stored.
        mutating func inherit(_ place: Int, from other: Chunk, _ otherPlace: Int) {
            repoSizes[place] = other.repoSizes[otherPlace]
            checksums[place] = other.checksums[otherPlace]
            repoChecksums[place] = other.repoChecksums[otherPlace]
            flags[place] = other.flags[otherPlace]
            bundleIDs[place] = other.bundleIDs[otherPlace]
            bundleOffsets[place] = other.bundleOffsets[otherPlace]
        }

        /// Whether anything but the reference is said of the content, or of where it is stored.
        func isStored(_ place: Int) -> Bool {
            flags[place] != [] || bundleIDs[place] != 0 || rarityIndexes[place] != 0
        }

        mutating func forgetStored(_ place: Int, reference: UInt32) {
            flags[place] = []
            repoSizes[place] = sizes[place]
            references[place] = reference
            bundleIDs[place] = 0
            bundleOffsets[place] = 0
            rarityIndexes[place] = 0
        }
    }
}
