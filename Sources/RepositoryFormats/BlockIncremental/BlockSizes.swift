package import BackupModel

/// Which files are stored by blocks, and of which size (section B.9 of the reference).
package struct BlockSizes: Sendable, Equatable {
    private struct Step: Sendable, Equatable {
        var limit: UInt64
        var value: UInt64
    }
    /// Block size in bytes by size of the file, largest first.
    private var bySize: [Step]
    /// Factor on the block size by age in seconds, oldest first.
    private var byAge: [Step]
    /// Checksum size in bytes by block size, largest first.
    private var checksums: [Step]

    private static let day: UInt64 = 86400

    /// pgBackRest's.
    package static let standard = BlockSizes()

    private init() {
        let kibi: UInt64 = 1 << 10
        let mebi: UInt64 = 1 << 20
        bySize = [
            Step(limit: 914 * mebi, value: 88 * kibi), Step(limit: 740 * mebi, value: 80 * kibi),
            Step(limit: 585 * mebi, value: 72 * kibi), Step(limit: 448 * mebi, value: 64 * kibi),
            Step(limit: 329 * mebi, value: 56 * kibi), Step(limit: 228 * mebi, value: 48 * kibi),
            Step(limit: 146 * mebi, value: 40 * kibi), Step(limit: 96 * mebi, value: 32 * kibi),
            Step(limit: 43 * mebi, value: 24 * kibi), Step(limit: 11 * mebi, value: 16 * kibi),
            Step(limit: 16 * kibi, value: 8 * kibi),
        ]
        byAge = [
            Step(limit: 28 * Self.day, value: 0), Step(limit: 14 * Self.day, value: 4),
            Step(limit: 7 * Self.day, value: 2),
        ]
        checksums = [
            Step(limit: 4 * mebi, value: 12), Step(limit: 2 * mebi, value: 11), Step(limit: mebi, value: 10),
            Step(limit: 512 * kibi, value: 9), Step(limit: 128 * kibi, value: 8), Step(limit: 32 * kibi, value: 7),
        ]
    }

    /// With the pairs of `repo-block-size-map` (file size to block size), `repo-block-age-map` (days to factor) and
    /// `repo-block-checksum-size-map` (block size to bytes); those without pairs are the standard ones. Throws
    /// `.optionInvalidValue`.
    package init(
        sizeMap: [(key: String, value: String)], ageMap: [(key: String, value: String)],
        checksumSizeMap: [(key: String, value: String)]
    ) throws(BackupError) {
        self.init()
        if !sizeMap.isEmpty {
            bySize = try Self.steps(sizeMap, "repo-block-size-map", Self.size) { (text) throws(BackupError) in
                guard let size = Self.size(text), size % UInt64(BlockIncremental.sizeUnit) == 0 else { return nil }
                return size
            }
        }
        if !ageMap.isEmpty {
            byAge = try Self.steps(
                ageMap, "repo-block-age-map", { UInt32($0).map { UInt64($0) * Self.day } },
                { UInt16($0).map(UInt64.init) })
        }
        if !checksumSizeMap.isEmpty {
            checksums = try Self.steps(checksumSizeMap, "repo-block-checksum-size-map", Self.size) { text in
                guard let size = UInt8(text), size >= BlockIncremental.defaultChecksumSize else { return nil }
                return size <= BlockIncremental.checksumSizeLimit ? UInt64(size) : nil
            }
        }
    }

    /// Bytes, a multiple of 8 KiB; 0 for a file that is stored whole. `age`: from its last change to the start of the
    /// backup, in seconds.
    package func blockSize(fileSize: UInt64, age: Int64) -> UInt32 {
        guard let size = bySize.first(where: { fileSize >= $0.limit })?.value else { return 0 }
        let factor = byAge.first { age >= 0 && UInt64(age) >= $0.limit }?.value ?? 1
        // Above, a block would be larger than any file of PostgreSQL: that is a file stored whole.
        return UInt32(exactly: size.multipliedReportingOverflow(by: factor).partialValue) ?? 0
    }

    /// Bytes, 6 to 16.
    package func checksumSize(blockSize: UInt32) -> UInt8 {
        let step = checksums.first { UInt64(blockSize) >= $0.limit }
        return step.map { UInt8(truncatingIfNeeded: $0.value) } ?? BlockIncremental.defaultChecksumSize
    }

    private static func size(_ text: String) -> UInt64? {
        guard let size = Configuration.byteCount(text), size > 0, size <= UInt64(UInt32.max) else { return nil }
        return size
    }

    private static func steps(
        _ pairs: [(key: String, value: String)], _ option: String, _ key: (String) -> UInt64?,
        _ value: (String) throws(BackupError) -> UInt64?
    ) throws(BackupError) -> [Step] {
        var steps: [Step] = []
        for pair in pairs {
            guard let limit = key(pair.key), let value = try value(pair.value) else {
                throw BackupError(
                    .optionInvalidValue, "'\(pair.key)=\(pair.value)' is not valid for '\(option)' option")
            }
            steps.append(Step(limit: limit, value: value))
        }
        return steps.sorted { $0.limit > $1.limit }
    }
}
