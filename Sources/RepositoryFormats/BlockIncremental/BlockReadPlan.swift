package import BackupModel

/// What must be read of a repository for some or all blocks of one file, in the order of the file.
package struct BlockReadPlan: Sendable, Equatable {
    package struct SuperBlock: Sendable, Equatable {
        /// Index into ``Manifest/references``.
        package var reference: Int
        /// 0: in the file's own `.pgbi`.
        package var bundleID: UInt64
        /// Bytes in the object.
        package var stored: Range<UInt64>
        /// Bytes of content.
        package var size: Int
        /// Where the super blocks end that follow in the object without a gap and are needed next of it: what one
        /// ranged read brings.
        package var runEnd: UInt64
    }

    /// Neighbouring blocks of the file that are neighbours in a super block too.
    package struct Step: Sendable, Equatable {
        /// Into ``BlockReadPlan/superBlocks``.
        package var superBlock: Int
        /// Bytes of its content.
        package var content: Range<Int>
        /// Where they go in the file.
        package var fileOffset: UInt64
    }

    /// In the order of their first use.
    package private(set) var superBlocks: [SuperBlock] = []
    package private(set) var steps: [Step] = []
    /// Bytes of content that the steps bring.
    package private(set) var size: UInt64 = 0

    /// More than any writer puts into a super block, beyond a block: `repo-block-size-super` ends at 16 MiB.
    private static let superBlockLimit: UInt64 = 16 << 20

    /// - Parameters:
    ///   - size: of the file, in bytes.
    ///   - isNeeded: whether block `i` is wanted.
    /// Throws `.format` when the map is not of such a file.
    package init(
        _ map: BlockMap, fileSize: UInt64, blockSize: UInt32, references: Int, isNeeded: (Int) -> Bool = { _ in true }
    ) throws(BackupError) {
        let blockSize = UInt64(blockSize)
        guard blockSize > 0, blockCount(fileSize, blockSize: blockSize) == UInt64(map.items.count) else {
            throw BackupError(
                .format, "block map has \(map.items.count) blocks of \(blockSize) bytes for a file of \(fileSize)")
        }
        /// Of each reference: the super block used last.
        var current: [UInt32: Int] = [:]
        for (index, item) in map.items.enumerated() where isNeeded(index) {
            let fileOffset = UInt64(index) * blockSize
            let length = min(blockSize, fileSize - fileOffset)
            let start = UInt64(item.block).multipliedReportingOverflow(by: blockSize)
            guard Int(item.reference) < references, item.superBlockSize < Self.superBlockLimit + blockSize,
                !start.overflow, start.partialValue < item.superBlockSize,
                min(blockSize, item.superBlockSize - start.partialValue) == length
            else {
                throw BackupError(.format, "block \(index) of the block map is impossible")
            }
            let content = Int(start.partialValue)..<Int(start.partialValue + length)
            let superBlock: Int
            if let known = current[item.reference], superBlocks[known].stored.lowerBound == item.offset {
                superBlock = known
            } else {
                superBlock = superBlocks.count
                current[item.reference] = superBlock
                let end = item.offset + item.storedSize
                superBlocks.append(
                    SuperBlock(
                        reference: Int(item.reference), bundleID: item.bundleID, stored: item.offset..<end,
                        size: Int(item.superBlockSize), runEnd: end))
            }
            size += length
            if let last = steps.last, last.superBlock == superBlock, last.content.upperBound == content.lowerBound,
                last.fileOffset + UInt64(last.content.count) == fileOffset
            {
                steps[steps.count - 1].content = last.content.lowerBound..<content.upperBound
            } else {
                steps.append(Step(superBlock: superBlock, content: content, fileOffset: fileOffset))
            }
        }
        joinRuns()
    }

    private mutating func joinRuns() {
        var next: [Int: Int] = [:]
        for index in superBlocks.indices.reversed() {
            let reference = superBlocks[index].reference
            if let following = next[reference].map({ superBlocks[$0] }),
                following.bundleID == superBlocks[index].bundleID,
                following.stored.lowerBound == superBlocks[index].stored.upperBound
            {
                superBlocks[index].runEnd = following.runEnd
            }
            next[reference] = index
        }
    }
}
