import BackupModel
import Checksums
import Glibc

/// Hashes files that a delta finds in the data directory. Used by one task.
final class PresentFileReader {
    private let pairing: HashPairing
    private let sum = RunningSHA1()
    private let buffer: UnsafeMutableRawBufferPointer

    private static let chunk = 1 << 20

    init(pairing: HashPairing) {
        self.pairing = pairing
        buffer = .allocate(byteCount: Self.chunk, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// How a file's blocks are told apart.
    struct Blocks {
        var size: Int
        var checksumSize: Int
    }

    struct Sums {
        /// nil when the file is shorter than asked for.
        var digest: SHA1Digest?
        /// Of all blocks there are; empty when none were asked for.
        var blocks: [BlockChecksum] = []
    }

    /// Of the first `size` bytes.
    func sums(_ path: String, size: UInt64, blocks: Blocks? = nil) async throws -> Sums {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw LocalDisk.failure(.fileOpen, "open file", path) }
        defer { close(descriptor) }
        // Blocks larger than a chunk, which only options make, are taken for changed.
        let blocks = blocks.flatMap { $0.size <= Self.chunk ? $0 : nil }
        let chunk = blocks.map { Self.chunk / $0.size * $0.size } ?? Self.chunk
        var sums = Sums()
        _ = sum.finish()
        var rest = size
        while rest > 0 {
            try Task.checkCancellation()
            let wanted = Int(min(rest, UInt64(chunk)))
            let count = try fill(wanted, descriptor, path)
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            await pairing.update(sum, bytes)
            if let blocks {
                for start in stride(from: 0, to: count, by: blocks.size) {
                    let block = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + blocks.size, count)])
                    sums.blocks.append(BlockChecksum(of: block, size: blocks.checksumSize))
                }
            }
            rest -= UInt64(count)
            if count < wanted { break }
        }
        let digest = sum.finish()
        if rest == 0 { sums.digest = digest }
        return sums
    }

    /// Fewer bytes only at the end of the file.
    private func fill(_ wanted: Int, _ descriptor: Int32, _ path: String) throws(BackupError) -> Int {
        var filled = 0
        while filled < wanted {
            let count = read(descriptor, buffer.baseAddress.map { $0 + filled }, wanted - filled)
            if count < 0 {
                if errno == EINTR { continue }
                throw LocalDisk.failure(.fileRead, "read file", path)
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }
}
