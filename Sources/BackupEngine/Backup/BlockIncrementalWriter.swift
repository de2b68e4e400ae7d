package import BackupModel
import Checksums
package import RepositoryFormats
package import StreamFilters

/// Stores a file as the blocks that differ from the backup before, and the map of all its blocks (section B.9 of the
/// reference). One object serves one file after another; used by one task at a time.
package final class BlockIncrementalWriter {
    private let superBlockSize: Int
    private let reference: UInt32
    private let encoder: (any StreamCodec)?
    private let mapForm: StoredForm
    private let output = OutputBuffer(capacity: Codecs.recommendedOutputCapacity)

    private var blockSize = 0
    private var checksumSize = 0
    private var prior = BlockMap()
    private var map = BlockMap()
    private var bundleID: UInt64 = 0
    /// Of the next super block in its object.
    private var offset: UInt64 = 0
    private var storedSize: UInt64 = 0

    /// A block that came in pieces.
    private var partial: UnsafeMutableRawBufferPointer = .allocate(byteCount: 0, alignment: 16)
    private var partialCount = 0
    /// Bytes of content in the open super block, 0 when none is open, and what of it is stored.
    private var openSize = 0
    private var openStored: UInt64 = 0
    /// The first item of the open super block; from here on its sizes are not known yet.
    private var openItems: [Int] = []

    /// - Parameters:
    ///   - superBlockSize: bytes of content after which a super block is closed.
    ///   - reference: the backup's own index in ``Manifest/references``.
    ///   - form: raw, with the backup's pass.
    package init(superBlockSize: Int, reference: Int, form: StoredForm) throws(BackupError) {
        self.superBlockSize = max(1, superBlockSize)
        self.reference = UInt32(reference)
        var form = form
        form.isRaw = true
        encoder = try form.encoder()
        form.compress = .none
        form.level = nil
        mapForm = form
    }

    deinit { partial.deallocate() }

    /// Begins a file; what was begun before is forgotten.
    /// - Parameters:
    ///   - blockSize: bytes, and
    ///   - checksumSize: bytes; both those of the prior where there is one: they never change within a set.
    ///   - bundleID: 0 for a file that gets an object of its own.
    ///   - bundleOffset: where the first byte that the sink gets will lie in the object.
    package func begin(
        blockSize: Int, checksumSize: Int, prior: BlockMap?, bundleID: UInt64, bundleOffset: UInt64
    ) {
        precondition(blockSize > 0 && (1...BlockChecksum.sizeLimit).contains(checksumSize))
        self.blockSize = blockSize
        self.checksumSize = checksumSize
        self.prior = prior ?? BlockMap()
        self.bundleID = bundleID
        offset = bundleOffset
        map.items.removeAll(keepingCapacity: true)
        storedSize = 0
        partialCount = 0
        openSize = 0
        openStored = 0
        openItems.removeAll(keepingCapacity: true)
        output.clear()
        encoder?.reset()
        if partial.count < blockSize {
            partial.deallocate()
            partial = .allocate(byteCount: blockSize, alignment: 4096)
        }
    }

    /// The next bytes of the file. `sink` gets what is to be stored, in order; nothing while nothing has changed.
    package func append(
        _ bytes: UnsafeRawBufferPointer, _ sink: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        var rest = bytes
        if partialCount > 0 {
            let count = min(blockSize - partialCount, rest.count)
            keep(UnsafeRawBufferPointer(rebasing: rest[..<count]))
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            guard partialCount == blockSize else { return }
            partialCount = 0
            try await take(UnsafeRawBufferPointer(rebasing: partial[..<blockSize]), sink)
        }
        while rest.count >= blockSize {
            try await take(UnsafeRawBufferPointer(rebasing: rest[..<blockSize]), sink)
            rest = UnsafeRawBufferPointer(rebasing: rest[blockSize...])
        }
        if !rest.isEmpty { keep(rest) }
    }

    /// The file has ended. nil when nothing was handed to `sink`: its blocks are those of the prior and it can refer to
    /// that, or it has no bytes.
    package func finish(
        _ sink: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws -> (mapSize: UInt64, storedSize: UInt64)? {
        if partialCount > 0 {
            let count = partialCount
            partialCount = 0
            try await take(UnsafeRawBufferPointer(rebasing: partial[..<count]), sink)
        }
        try await closeSuperBlock(sink)
        guard !map.items.isEmpty, storedSize > 0 || map.items.count < prior.items.count else { return nil }

        let encoded = try map.encoded(blockSize: UInt32(blockSize), checksumSize: checksumSize)
        let before = storedSize
        let cipher = try mapForm.encoder()
        try await encoded.withUnsafeBytesAsync { bytes in try await encode(bytes, cipher, sink) }
        try await end(cipher, sink)
        return (storedSize - before, storedSize)
    }

    private func keep(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: partial[partialCount...]).copyMemory(from: bytes)
        partialCount += bytes.count
    }

    private func take(
        _ block: UnsafeRawBufferPointer, _ sink: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        let index = map.items.count
        let checksum = BlockChecksum(of: block, size: checksumSize)
        if index < prior.items.count, prior.items[index].checksum == checksum {
            map.items.append(prior.items[index])
            return
        }
        map.items.append(
            BlockMapItem(
                reference: reference, block: UInt32(openItems.count), superBlockSize: 0, bundleID: bundleID,
                offset: offset, storedSize: 0, checksum: checksum))
        openItems.append(index)
        openSize += block.count
        try await encode(block, encoder, sink)
        if openSize >= superBlockSize { try await closeSuperBlock(sink) }
    }

    private func closeSuperBlock(_ sink: (UnsafeRawBufferPointer) async throws -> Void) async throws {
        guard openSize > 0 else { return }
        try await end(encoder, sink)
        encoder?.reset()
        for index in openItems {
            map.items[index].superBlockSize = UInt64(openSize)
            map.items[index].storedSize = openStored
        }
        offset += openStored
        openItems.removeAll(keepingCapacity: true)
        openSize = 0
        openStored = 0
    }

    private func encode(
        _ bytes: UnsafeRawBufferPointer, _ encoder: (any StreamCodec)?,
        _ sink: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            done += try encoder?.process(rest.bytes, into: output) ?? copy(rest)
            // A full buffer at a time, not the few bytes that a block makes.
            if output.count == output.capacity { try await drain(sink) }
        }
    }

    private func copy(_ bytes: UnsafeRawBufferPointer) -> Int {
        let count = min(bytes.count, output.free.count)
        output.free.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        output.advance(by: count)
        return count
    }

    private func end(
        _ encoder: (any StreamCodec)?, _ sink: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        while true {
            let isDone = try encoder?.finish(into: output) ?? true
            try await drain(sink)
            if isDone { break }
        }
    }

    private func drain(_ sink: (UnsafeRawBufferPointer) async throws -> Void) async throws {
        guard output.count > 0 else { return }
        openStored += UInt64(output.count)
        storedSize += UInt64(output.count)
        try await sink(output.filled)
        output.clear()
    }
}
