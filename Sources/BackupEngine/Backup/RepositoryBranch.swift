package import BackupModel
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// One repository's share of a copier's work: compress, SHA-1 of what is stored, write.
package final class RepositoryBranch {
    private let repository: Repository
    private let stanza: String
    private let label: String
    private let compress: CompressType
    private let compressor: (any StreamCodec)?
    private let output: OutputBuffer
    private let pairing: HashPairing
    private let storedSum = RunningSHA1()
    private var storedSize: UInt64 = 0
    private var writer: (any ObjectWriter)?

    package init(
        repository: Repository, stanza: String, label: String, compress: CompressType, level: Int?,
        pairing: HashPairing
    ) throws(BackupError) {
        self.pairing = pairing
        self.repository = repository
        self.stanza = stanza
        self.label = label
        self.compress = compress
        compressor = try Codecs.compressor(compress, level: level)
        output = OutputBuffer(capacity: compressor == nil ? 1 : Codecs.recommendedOutputCapacity)
    }

    func begin(_ file: SourceFile) async throws {
        compressor?.reset()
        output.clear()
        _ = storedSum.finish()
        storedSize = 0
        let path = RepositoryPaths.backupFile(
            stanza: stanza, label: label, name: file.name, compress: compress, blockIncremental: false)
        writer = try await repository.describing { try await repository.store.write(path, .inPlace) }
    }

    func append(_ bytes: UnsafeRawBufferPointer) async throws {
        guard let compressor else {
            try await write(bytes)
            return
        }
        var rest = bytes
        while !rest.isEmpty {
            let taken = try compressor.process(rest.bytes, into: output)
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
            try await drain()
        }
    }

    func finish() async throws -> StoredFile {
        if let compressor {
            while true {
                let isDone = try compressor.finish(into: output)
                try await drain()
                if isDone { break }
            }
        }
        let writer = self.writer
        try await repository.describing { try await writer?.commit() }
        self.writer = nil
        return StoredFile(repoSize: storedSize, repoChecksum: compressor == nil ? nil : storedSum.finish())
    }

    func abort() async {
        await writer?.abort()
        writer = nil
    }

    /// Hashes and writes what the codec has put out, so that it has room again.
    private func drain() async throws {
        guard output.count > 0 else { return }
        await pairing.update(storedSum, output.filled)
        try await write(output.filled)
        output.clear()
    }

    private func write(_ bytes: UnsafeRawBufferPointer) async throws {
        guard !bytes.isEmpty else { return }
        storedSize += UInt64(bytes.count)
        let writer = self.writer
        try await repository.describing { try await writer?.append(bytes.bytes) }
    }
}
