package import Checksums

/// Where the blocks of one file lie: item `i` is the block that begins at `i` × block size of the file (section B.9 of
/// the reference). The last block of a file may be short.
package struct BlockMap: Sendable, Equatable {
    package var items: [BlockMapItem]
    package init(items: [BlockMapItem] = []) { self.items = items }
}

/// One block: its place in a super block, which is a stream of its own in an object of some backup.
package struct BlockMapItem: Sendable, Equatable {
    /// Index into ``Manifest/references`` of the backup that holds it.
    package var reference: UInt32
    /// Of the block within its super block, from 0.
    package var block: UInt32
    /// Content bytes of the super block.
    package var superBlockSize: UInt64
    /// 0: in the file's own `.pgbi`.
    package var bundleID: UInt64
    /// Of the super block in the object, in bytes.
    package var offset: UInt64
    /// Bytes that the super block takes there.
    package var storedSize: UInt64
    package var checksum: BlockChecksum

    package init(
        reference: UInt32, block: UInt32, superBlockSize: UInt64, bundleID: UInt64, offset: UInt64,
        storedSize: UInt64, checksum: BlockChecksum
    ) {
        self.reference = reference
        self.block = block
        self.superBlockSize = superBlockSize
        self.bundleID = bundleID
        self.offset = offset
        self.storedSize = storedSize
        self.checksum = checksum
    }

    func isInSuperBlock(of other: BlockMapItem) -> Bool { reference == other.reference && offset == other.offset }
}

/// Blocks that hold `bytes`.
func blockCount(_ bytes: UInt64, blockSize: UInt64) -> UInt64 { bytes / blockSize + (bytes % blockSize == 0 ? 0 : 1) }

/// What the coder knows about a reference that it has met before, the same in both directions.
struct BlockMapReferenceState {
    var superBlockSize: UInt64
    var bundleID: UInt64
    /// Of the super block coded last.
    var offset: UInt64
    var storedSize: UInt64 = 0
    /// Number that its next block has unless a gap is coded.
    var block: UInt64 = 0
}

/// Bits of the variable-length numbers of a map.
enum BlockMapFlag {
    /// Of the map: a later version.
    static let version: UInt64 = 1
    /// Of a run, below its reference.
    static let lastRun: UInt64 = 1
    /// Met for the first time.
    static let bundle: UInt64 = 2
    /// Met before: goes on with the super block coded last.
    static let continued: UInt64 = 2
    /// An offset follows: absolute for the first run, a gap later.
    static let offset: UInt64 = 4
    /// Of a continued run: has no further super block.
    static let onlyContinued: UInt64 = 4
    static let runBits: UInt64 = 3
    /// Of a super block, below its stored size.
    static let lastSuperBlock: UInt64 = 1
    static let sizeChanged: UInt64 = 2
    static let total: UInt64 = 4
    static let superBlockBits: UInt64 = 3
    /// Of a size in blocks: bytes that are no whole block follow.
    static let remainder: UInt64 = 1
    /// Of a count of blocks: a gap follows.
    static let gap: UInt64 = 1
}
