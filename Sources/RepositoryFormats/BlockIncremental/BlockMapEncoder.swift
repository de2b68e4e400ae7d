package import BackupModel
import Checksums

extension BlockMap {
    /// The stored form, before encryption. Never of an empty map, which pgBackRest does not read.
    ///
    /// Throws `.assertion` for items in an order that no writer makes: of each reference, blocks must ascend by offset
    /// and number, and be of one bundle.
    package func encoded(blockSize: UInt32, checksumSize: Int) throws(BackupError) -> [UInt8] {
        guard !items.isEmpty else { throw BackupError(.assertion, "a block map needs at least one block") }
        var encoder = BlockMapEncoder(blockSize: UInt64(blockSize), checksumSize: checksumSize)
        encoder.bytes.reserveCapacity(items.count * (checksumSize + 1) + 16)
        encoder.append(0)
        var start = 0
        while start < items.count {
            var end = start + 1
            while end < items.count, items[end].continuesRun(of: items[end - 1]) { end += 1 }
            try encoder.encodeRun(items[start..<end], isLast: end == items.count)
            start = end
        }
        return encoder.bytes
    }
}

extension BlockMapItem {
    /// In a run, super blocks lie one behind the other.
    fileprivate func continuesRun(of previous: BlockMapItem) -> Bool {
        guard reference == previous.reference else { return false }
        return offset == previous.offset
            ? block == previous.block &+ 1 : offset == previous.offset &+ previous.storedSize
    }
}

private struct BlockMapEncoder {
    let blockSize: UInt64
    let checksumSize: Int
    var bytes: [UInt8] = []
    private var states: [UInt32: BlockMapReferenceState] = [:]
    /// Stored size of the super block handled last.
    private var lastSize: UInt64 = 0

    init(blockSize: UInt64, checksumSize: Int) {
        self.blockSize = blockSize
        self.checksumSize = checksumSize
    }

    mutating func append(_ number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    mutating func encodeRun(_ items: ArraySlice<BlockMapItem>, isLast: Bool) throws(BackupError) {
        guard let first = items.first else { return }
        var head = UInt64(first.reference) << BlockMapFlag.runBits | (isLast ? BlockMapFlag.lastRun : 0)
        var isContinued = false
        var state: BlockMapReferenceState
        if let known = states[first.reference] {
            state = known
            guard first.bundleID == state.bundleID, first.offset >= state.offset else { throw disordered(first) }
            if first.offset == state.offset {
                isContinued = true
                guard first.superBlockSize == state.superBlockSize, first.block >= state.block else {
                    throw disordered(first)
                }
                head |= BlockMapFlag.continued
                if items.allSatisfy({ $0.offset == first.offset }) { head |= BlockMapFlag.onlyContinued }
                append(head)
            } else {
                let (next, overflow) = state.offset.addingReportingOverflow(state.storedSize)
                guard !overflow, first.offset >= next else { throw disordered(first) }
                append(head | (first.offset > next ? BlockMapFlag.offset : 0))
                if first.offset > next { append(first.offset - next) }
            }
        } else {
            state = BlockMapReferenceState(
                superBlockSize: blockSize, bundleID: first.bundleID, offset: first.offset)
            if first.bundleID > 0 { head |= BlockMapFlag.bundle }
            if first.offset > 0 { head |= BlockMapFlag.offset }
            append(head)
            if first.bundleID > 0 { append(first.bundleID) }
            if first.offset > 0 { append(first.offset) }
        }
        var rest = items
        while let first = rest.first {
            let blocks = rest.prefix { $0.offset == first.offset }
            rest = rest[blocks.endIndex...]
            try encodeSuperBlock(blocks, &state, isLast: rest.isEmpty, isContinued: isContinued)
            isContinued = false
        }
        states[first.reference] = state
    }

    private mutating func encodeSuperBlock(
        _ blocks: ArraySlice<BlockMapItem>, _ state: inout BlockMapReferenceState, isLast: Bool, isContinued: Bool
    ) throws(BackupError) {
        guard let first = blocks.first else { return }
        let count = UInt64(blocks.count)
        guard first.superBlockSize > 0, first.storedSize > 0, first.bundleID == state.bundleID,
            UInt64(first.block) + count <= blockCount(first.superBlockSize, blockSize: blockSize),
            blocks.allSatisfy({ $0.storedSize == first.storedSize && $0.superBlockSize == first.superBlockSize })
        else { throw disordered(first) }
        let hasTotal =
            isContinued || first.block != 0 || count != blockCount(first.superBlockSize, blockSize: blockSize)
        if !isContinued {
            var flags = isLast ? BlockMapFlag.lastSuperBlock : 0
            if first.superBlockSize != state.superBlockSize { flags |= BlockMapFlag.sizeChanged }
            if hasTotal { flags |= BlockMapFlag.total }
            let size = lastSize == 0 ? first.storedSize : zigzag(first.storedSize, minus: lastSize)
            append(size << BlockMapFlag.superBlockBits | flags)
            if flags & BlockMapFlag.sizeChanged != 0 {
                let remainder = first.superBlockSize % blockSize
                append((first.superBlockSize / blockSize) << 1 | (remainder == 0 ? 0 : BlockMapFlag.remainder))
                if remainder > 0 { append(remainder) }
            }
            state.superBlockSize = first.superBlockSize
            state.offset = first.offset
            state.storedSize = first.storedSize
            state.block = 0
        }
        lastSize = first.storedSize
        if hasTotal {
            guard UInt64(first.block) >= state.block else { throw disordered(first) }
            let gap = UInt64(first.block) - state.block
            append((count - 1) << 1 | (gap > 0 ? BlockMapFlag.gap : 0))
            if gap > 0 { append(gap) }
            state.block = UInt64(first.block)
        }
        state.block += count
        for item in blocks { item.checksum.append(to: &bytes, size: checksumSize) }
    }

    private func zigzag(_ size: UInt64, minus last: UInt64) -> UInt64 {
        let difference = Int64(bitPattern: size &- last)
        return UInt64(bitPattern: (difference << 1) ^ (difference >> 63))
    }

    private func disordered(_ item: BlockMapItem) -> BackupError {
        BackupError(
            .assertion,
            "block map has block \(item.block) of reference \(item.reference) at offset \(item.offset) out of order")
    }
}
