import BackupModel
import RepositoryFormats
import Testing

@Suite struct BlockSizesTests {
    @Test(
        arguments: [
            (0, 0, 0), (16383, 0, 0), (16384, 0, 8192), (11 << 20, 0, 16384), ((11 << 20) - 1, 0, 8192),
            (43 << 20, 0, 24576), (96 << 20, 0, 32768), (146 << 20, 0, 40960), (228 << 20, 0, 49152),
            (329 << 20, 0, 57344), (448 << 20, 0, 65536), (585 << 20, 0, 73728), (740 << 20, 0, 81920),
            (914 << 20, 0, 90112), (1 << 30, 0, 90112), (1 << 40, -5, 90112),
            (16384, 7 * 86400 - 1, 8192), (16384, 7 * 86400, 16384), (16384, 14 * 86400, 32768),
            (1 << 30, 14 * 86400, 360448), (1 << 30, 28 * 86400, 0), (1 << 30, 2800 * 86400, 0),
        ] as [(Int, Int, Int)])
    func standard(size: Int, age: Int, block: Int) {
        #expect(BlockSizes.standard.blockSize(fileSize: UInt64(size), age: Int64(age)) == UInt32(block))
    }

    @Test(
        arguments: [
            (8192, 6), (32767, 6), (32768, 7), (131071, 7), (131072, 8), (524288, 9), (1 << 20, 10), (2 << 20, 11),
            (4 << 20, 12), (8 << 20, 12),
        ] as [(Int, Int)])
    func checksums(block: Int, checksum: Int) {
        #expect(BlockSizes.standard.checksumSize(blockSize: UInt32(block)) == UInt8(checksum))
    }

    @Test func options() throws {
        let sizes = try BlockSizes(
            sizeMap: [("32KiB", "16KiB"), ("1m", "128k")], ageMap: [("1", "3"), ("2", "0")],
            checksumSizeMap: [("16KiB", "16")])
        #expect(sizes.blockSize(fileSize: 32767, age: 0) == 0)
        #expect(sizes.blockSize(fileSize: 32768, age: 0) == 16384)
        #expect(sizes.blockSize(fileSize: 1 << 20, age: 0) == 131072)
        #expect(sizes.blockSize(fileSize: 1 << 20, age: 86400) == 3 * 131072)
        #expect(sizes.blockSize(fileSize: 1 << 20, age: 2 * 86400) == 0)
        #expect(sizes.checksumSize(blockSize: 8192) == 6)
        #expect(sizes.checksumSize(blockSize: 16384) == 16)
        #expect(try BlockSizes(sizeMap: [], ageMap: [], checksumSizeMap: []) == .standard)
    }

    @Test(
        arguments: [
            ("x", "8KiB", "", "", "", ""), ("16KiB", "", "", "", "", ""), ("16KiB", "9000", "", "", "", ""),
            ("16KiB", "0", "", "", "", ""), ("16KiB", "8GiB", "", "", "", ""), ("", "", "-1", "2", "", ""),
            ("", "", "1", "x", "", ""), ("", "", "", "", "16KiB", "5"), ("", "", "", "", "16KiB", "17"),
        ] as [(String, String, String, String, String, String)])
    func refused(_ values: (String, String, String, String, String, String)) {
        func pairs(_ key: String, _ value: String) -> [(key: String, value: String)] {
            key.isEmpty ? [] : [(key, value)]
        }
        #expect(throws: BackupError.self) {
            try BlockSizes(
                sizeMap: pairs(values.0, values.1), ageMap: pairs(values.2, values.3),
                checksumSizeMap: pairs(values.4, values.5))
        }
    }
}
