package import BackupModel
package import Checksums
package import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// Reads files that are stored as super blocks and a map, in the order of the file, whatever backups their blocks lie
/// in (section B.9 of the reference). One object serves one file after another; used by one task at a time.
///
/// Of each backup that holds blocks of a file one object is open and one super block decoded: a chain of backups is
/// read as a merge, so that content can be hashed and written as it comes.
package final class BlockContentReader {
    private let repository: Repository
    private let manifest: Manifest
    private let stanza: String
    private let decoder: (any StreamCodec)?
    private let input = OutputBuffer(capacity: 256 << 10)
    private var lanes: [Lane] = []
    private var uses = 0

    /// Open objects, and decoded super blocks, at once. Chains that are longer read some super blocks twice.
    private static let laneLimit = 16

    private final class Lane {
        var reference: Int
        var reader: (any ObjectReader)?
        /// In the object: of the next byte that `reader` gives.
        var position: UInt64 = 0
        /// What is decoded in `content`.
        var superBlock: Int?
        var content: OutputBuffer
        var lastUse = 0

        init(reference: Int, capacity: Int) {
            self.reference = reference
            content = OutputBuffer(capacity: capacity)
        }

        func close() async {
            await reader?.close()
            reader = nil
            superBlock = nil
        }
    }

    /// - Parameter manifest: of the backup whose files are read.
    package init(_ repository: Repository, _ manifest: Manifest, stanza: String) throws(BackupError) {
        self.repository = repository
        self.manifest = manifest
        self.stanza = stanza
        decoder = try StoredForm(
            compress: manifest.options.compressType, cipherPass: manifest.cipherPass, isRaw: true
        ).decoder()
    }

    /// The whole content of a file that ``ManifestFile/isBlockIncremental`` is, from all the backups that it is made
    /// of. The checksum is of what was handed on: the caller compares it with the manifest's.
    ///
    /// Throws `.format`, `.crypto`, `.fileMissing` or `.fileRead` for what is damaged or gone, and what `consume` throws.
    package func read(
        _ file: ManifestFile, _ consume: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws -> (checksum: SHA1Digest, size: UInt64) {
        let plan = try await plan(file)
        var sum = SHA1()
        try await read(plan, of: file) { _, bytes in
            sum.update(bytes.bytes)
            try await consume(bytes)
        }
        return (sum.finish(), plan.size)
    }

    /// What is to be read of all blocks, or of those that differ from `present`.
    /// - Parameter present: checksums of the blocks that are there already.
    func plan(_ file: ManifestFile, present: [BlockChecksum] = []) async throws(BackupError) -> BlockReadPlan {
        let map = try await repository.loadBlockMap(of: file, in: manifest, stanza: stanza)
        do throws(BackupError) {
            return try BlockReadPlan(
                map, fileSize: file.size, blockSize: file.blockSize, references: manifest.references.count
            ) { $0 >= present.count || present[$0] != map.items[$0].checksum }
        } catch {
            throw error.within("block map of '\(file.name)'")
        }
    }

    /// Hands on the content that `plan` names, and where it lies in the file, in the order of the file.
    func read(
        _ plan: BlockReadPlan, of file: ManifestFile,
        _ consume: (_ offset: UInt64, _ bytes: UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        do {
            for step in plan.steps {
                try Task.checkCancellation()
                let content = try await load(step.superBlock, plan, file)
                try await consume(step.fileOffset, UnsafeRawBufferPointer(rebasing: content[step.content]))
            }
        } catch {
            await closeAll()
            throw error
        }
        await closeAll()
    }

    private func closeAll() async {
        for lane in lanes {
            await lane.close()
            lane.reference = -1
        }
    }

    /// The content of a super block, valid until the next call.
    private func load(
        _ index: Int, _ plan: BlockReadPlan, _ file: ManifestFile
    ) async throws -> UnsafeRawBufferPointer {
        let superBlock = plan.superBlocks[index]
        let lane = await lane(of: superBlock.reference)
        if lane.superBlock == index { return lane.content.filled }
        lane.superBlock = nil
        // Room beyond what should come, so that more is noticed, and a checksum behind it is still read.
        let capacity = superBlock.size + 64
        if lane.content.capacity < capacity { lane.content = OutputBuffer(capacity: capacity) }
        lane.content.clear()

        let object = manifest.object(of: superBlock, file: file, stanza: stanza)
        do throws(BackupError) {
            try await repository.describing { try await decode(superBlock, object, lane) }
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw error.within("super block of '\(file.name)' at \(superBlock.stored.lowerBound) of '\(object)'")
        }
        lane.superBlock = index
        return lane.content.filled
    }

    /// The one that reads of this backup, or the one that was not used for longest.
    private func lane(of reference: Int) async -> Lane {
        uses += 1
        if let lane = lanes.first(where: { $0.reference == reference }) {
            lane.lastUse = uses
            return lane
        }
        let lane: Lane
        if let idle = lanes.first(where: { $0.reference < 0 }) {
            lane = idle
        } else if lanes.count < Self.laneLimit {
            lane = Lane(reference: reference, capacity: 0)
            lanes.append(lane)
        } else {
            lane = lanes.min { $0.lastUse < $1.lastUse } ?? lanes[0]
            await lane.close()
        }
        lane.reference = reference
        lane.lastUse = uses
        return lane
    }

    private func decode(_ superBlock: BlockReadPlan.SuperBlock, _ object: String, _ lane: Lane) async throws {
        let stored = superBlock.stored
        if lane.reader == nil || lane.position != stored.lowerBound {
            await lane.close()
            lane.reader = try await repository.store.read(object, range: stored.lowerBound..<superBlock.runEnd)
            lane.position = stored.lowerBound
        }
        decoder?.reset()
        while lane.position < stored.upperBound {
            let rest = stored.upperBound - lane.position
            guard let reader = lane.reader else { return }
            guard let decoder else {
                let room = lane.content.free
                guard UInt64(room.count) > rest else { throw BackupError(.format, "it is longer than its map says") }
                let count = try await reader.read(into: UnsafeMutableRawBufferPointer(rebasing: room[..<Int(rest)]))
                guard count > 0 else { throw cutOff }
                lane.content.advance(by: count)
                lane.position += UInt64(count)
                continue
            }
            input.clear()
            let room = UnsafeMutableRawBufferPointer(rebasing: input.free[..<min(input.capacity, Int(clamping: rest))])
            let count = try await reader.read(into: room)
            guard count > 0 else { throw cutOff }
            lane.position += UInt64(count)
            input.advance(by: count)
            guard try decoder.process(input.filled.bytes, into: lane.content) == count else {
                throw BackupError(.format, "there are bytes after the end of the compressed data")
            }
        }
        if let decoder, try !decoder.finish(into: lane.content) {
            throw BackupError(.format, "it is longer than its map says")
        }
        guard lane.content.count == superBlock.size else {
            throw BackupError(.format, "it has \(lane.content.count) bytes instead of \(superBlock.size)")
        }
    }

    private var cutOff: BackupError { BackupError(.format, "the object is cut off") }
}
