package import BackupModel
import Checksums

extension BlockMap {
    /// Reads the stored form, after decryption. A map of one byte, which pgBackRest 2.59 writes for a file that shrank
    /// to nothing, has no blocks.
    ///
    /// Memory is bounded by the input: each block takes at least its checksum there. Throws `.format`.
    package init(decoding bytes: RawSpan, blockSize: UInt32, checksumSize: Int) throws(BackupError) {
        guard blockSize > 0, (1...BlockChecksum.sizeLimit).contains(checksumSize) else {
            throw BackupError(.format, "block map is damaged: block size \(blockSize), checksum size \(checksumSize)")
        }
        items = []
        try bytes.withUnsafeBytes { (buffer) throws(BackupError) in
            var decoder = BlockMapDecoder(rest: buffer, blockSize: UInt64(blockSize), checksumSize: checksumSize)
            try decoder.decode(into: &items)
        }
    }
}

private struct BlockMapDecoder {
    var rest: UnsafeRawBufferPointer
    let blockSize: UInt64
    let checksumSize: Int
    private var states: [UInt32: BlockMapReferenceState] = [:]
    /// Stored size of the super block handled last.
    private var lastSize: UInt64 = 0

    init(rest: UnsafeRawBufferPointer, blockSize: UInt64, checksumSize: Int) {
        self.rest = rest
        self.blockSize = blockSize
        self.checksumSize = checksumSize
    }

    mutating func decode(into items: inout [BlockMapItem]) throws(BackupError) {
        guard try number() & BlockMapFlag.version == 0 else { throw damaged("its version is unknown") }
        if rest.isEmpty { return }
        items.reserveCapacity(rest.count / (checksumSize + 1))
        while try decodeRun(into: &items) {}
        guard rest.isEmpty else { throw damaged("\(rest.count) bytes follow its end") }
    }

    /// Whether a run follows.
    private mutating func decodeRun(into items: inout [BlockMapItem]) throws(BackupError) -> Bool {
        let head = try number()
        guard let reference = UInt32(exactly: head >> BlockMapFlag.runBits) else {
            throw damaged("impossible reference")
        }
        var isContinued = false
        var state: BlockMapReferenceState
        if let known = states[reference] {
            state = known
            if head & BlockMapFlag.continued != 0 {
                isContinued = true
            } else {
                state.offset = try sum(state.offset, state.storedSize)
                if head & BlockMapFlag.offset != 0 { state.offset = try sum(state.offset, number()) }
            }
        } else {
            let bundle = head & BlockMapFlag.bundle == 0 ? 0 : try number()
            let offset = head & BlockMapFlag.offset == 0 ? 0 : try number()
            state = BlockMapReferenceState(superBlockSize: blockSize, bundleID: bundle, offset: offset)
        }
        var isFirst = true
        var isLast = false
        while !isLast {
            var hasTotal = true
            if isContinued {
                isLast = head & BlockMapFlag.onlyContinued != 0
            } else {
                if !isFirst { state.offset = try sum(state.offset, state.storedSize) }
                let flags = try decodeSuperBlock(&state)
                isLast = flags & BlockMapFlag.lastSuperBlock != 0
                hasTotal = flags & BlockMapFlag.total != 0
            }
            isContinued = false
            isFirst = false
            lastSize = state.storedSize
            try decodeBlocks(reference, &state, hasTotal: hasTotal, into: &items)
        }
        states[reference] = state
        return head & BlockMapFlag.lastRun == 0
    }

    /// Answers its flags.
    private mutating func decodeSuperBlock(_ state: inout BlockMapReferenceState) throws(BackupError) -> UInt64 {
        let flags = try number()
        let coded = flags >> BlockMapFlag.superBlockBits
        if lastSize == 0 {
            state.storedSize = coded
        } else {
            let difference = Int64(bitPattern: coded >> 1) ^ -Int64(bitPattern: coded & 1)
            let (size, overflow) = Int64(lastSize).addingReportingOverflow(difference)
            guard !overflow, size > 0 else { throw damaged("impossible size of a super block") }
            state.storedSize = UInt64(size)
        }
        if flags & BlockMapFlag.sizeChanged != 0 {
            let coded = try number()
            let (size, overflow) = (coded >> 1).multipliedReportingOverflow(by: blockSize)
            guard !overflow else { throw damaged("impossible size of a super block") }
            state.superBlockSize = coded & BlockMapFlag.remainder == 0 ? size : try sum(size, number())
        }
        guard state.storedSize > 0, state.storedSize <= UInt64(Int64.max), state.superBlockSize > 0 else {
            throw damaged("impossible size of a super block")
        }
        _ = try sum(state.offset, state.storedSize)
        state.block = 0
        return flags
    }

    private mutating func decodeBlocks(
        _ reference: UInt32, _ state: inout BlockMapReferenceState, hasTotal: Bool, into items: inout [BlockMapItem]
    ) throws(BackupError) {
        let capacity = blockCount(state.superBlockSize, blockSize: blockSize)
        var count = capacity
        if hasTotal {
            let coded = try number()
            count = try sum(coded >> 1, 1)
            if coded & BlockMapFlag.gap != 0 { state.block = try sum(state.block, number()) }
        }
        guard count <= UInt64(rest.count / checksumSize) else { throw damaged("it is cut off") }
        let end = try sum(state.block, count)
        guard end <= capacity, end <= UInt64(UInt32.max) else {
            throw damaged("a super block has fewer blocks than are used of it")
        }
        for block in state.block..<end {
            let checksum = BlockChecksum(stored: UnsafeRawBufferPointer(rebasing: rest[..<checksumSize]).bytes)
            rest = UnsafeRawBufferPointer(rebasing: rest[checksumSize...])
            items.append(
                BlockMapItem(
                    reference: reference, block: UInt32(block), superBlockSize: state.superBlockSize,
                    bundleID: state.bundleID, offset: state.offset, storedSize: state.storedSize, checksum: checksum))
        }
        state.block = end
    }

    /// Little-endian, seven bits a byte.
    private mutating func number() throws(BackupError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        for (index, byte) in rest.enumerated() {
            let bits = UInt64(byte & 0x7f)
            guard shift < 63 || shift == 63 && bits <= 1 else { throw damaged("a number is too large") }
            value |= bits << shift
            if byte & 0x80 == 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[(index + 1)...])
                return value
            }
            shift += 7
        }
        throw damaged("it is cut off")
    }

    private func sum(_ first: UInt64, _ second: UInt64) throws(BackupError) -> UInt64 {
        let (sum, overflow) = first.addingReportingOverflow(second)
        guard !overflow, sum <= UInt64(Int64.max) else { throw damaged("a number is too large") }
        return sum
    }

    private func damaged(_ reason: String) -> BackupError { BackupError(.format, "block map is damaged: \(reason)") }
}
