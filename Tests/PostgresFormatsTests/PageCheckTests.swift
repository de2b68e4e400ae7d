import PostgresFormats
import Testing

@Suite struct PageCheckTests {
    /// Pages as a server with checksums wrote them, with their block numbers.
    static let pages: [([UInt8], UInt32)] = [
        (RealFiles.heapPage, 14), (RealFiles.indexPage, 3), (RealFiles.metaPage, 0), (RealFiles.mapPage, 0),
        (RealFiles.spacePage, 1),
    ]

    @Test(arguments: pages)
    func acceptsRealPages(page: [UInt8], block: UInt32) {
        #expect(isValid(page, block))
        #expect(isValid(page, block, checkHeader: false))
        #expect(!isValid(page, block + 1))
    }

    /// The heap page in segment files `.1` and `.7` of a relation, as `pg_checksums --enable` rewrote them: absolute block
    /// numbers count through all segments of 131072 pages.
    @Test(
        arguments: [
            ("99999", 0, 5573), ("99999.1", 0, 5575), ("99999.1", 1, 5574), ("99999.1", 2, 5573), ("99999.7", 0, 5579),
            ("99999.7", 1, 5578),
        ] as [(String, UInt32, UInt16)])
    func countsBlocksThroughSegments(file: String, block: UInt32, checksum: UInt16) {
        let absolute = DataDirectoryRules.firstBlock(ofFile: file, pageSize: 8192) + block
        var page = RealFiles.heapPage
        page.store(checksum, at: 8)
        #expect(self.checksum(page, absolute) == checksum)
        #expect(isValid(page, absolute))
    }

    /// Expected values are those of the algorithm in C over the same bytes.
    @Test(
        arguments: [
            (1024, 1553, 55354), (2048, 41584, 14344), (4096, 51886, 4374), (8192, 37858, 19913), (16384, 25282, 56552),
            (32768, 3301, 38602),
        ] as [(Int, UInt16, UInt16)])
    func sumsEveryPageSize(size: Int, first: UInt16, far: UInt16) {
        var state: UInt64 = 88_172_645_463_325_252
        var page = (0..<size).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        for (block, expected) in [(0, first), (4_000_000_000, far)] as [(UInt32, UInt16)] {
            #expect(checksum(page, block) == expected)
            page.store(expected, at: 8)
            #expect(checksum(page, block) == expected, "the stored checksum counts as zero")
            #expect(isValid(page, block))
        }
    }

    @Test func findsEveryFlippedByte() {
        let page = RealFiles.spacePage
        for offset in page.indices where offset % 97 == 0 || offset < 40 {
            var broken = page
            broken[offset] ^= 0x80
            #expect(!isValid(broken, 1), "byte \(offset)")
        }
    }

    @Test(arguments: [1024, 2048, 4096, 8192, 16384, 32768])
    func acceptsOnlyWhollyZeroPagesAsNew(size: Int) {
        let zero = [UInt8](repeating: 0, count: size)
        #expect(isValid(zero, 5))
        #expect(isValid(zero, 5, checkHeader: false))
        for offset in [0, 1, 7, 16, 127, 128, size / 2, size - 1] {
            var page = zero
            page[offset] = 1
            #expect(!isValid(page, 5), "byte \(offset)")
            #expect(!isValid(page, 5, checkHeader: false), "byte \(offset)")
        }
    }

    /// With pd_upper 0 no checksum helps: the server makes no such page. Where headers are encrypted it may be any byte.
    @Test func looksAtTheHeaderWhenAsked() {
        var page = RealFiles.heapPage
        page.store(UInt16(0), at: 14)
        page.store(checksum(page, 14), at: 8)
        #expect(!isValid(page, 14))
        #expect(isValid(page, 14, checkHeader: false))

        var unsummed = RealFiles.heapPage
        unsummed.store(UInt16(0), at: 8)
        #expect(!isValid(unsummed, 14))
        #expect(!isValid(unsummed, 14, checkHeader: false))
    }

    @Test func namesEachInvalidPage() {
        var pages = (0..<20).flatMap { index -> [UInt8] in
            if index % 5 == 4 { return [UInt8](repeating: 0, count: 8192) }
            var page = RealFiles.indexPage
            page.store(checksum(page, 1000 + UInt32(index)), at: 8)
            return page
        }
        #expect(invalidPages(pages, firstBlock: 1000) == [])
        #expect(invalidPages(pages, firstBlock: 1001) == (0..<20).filter { $0 % 5 != 4 })
        for index in [0, 4, 7, 19] { pages[index * 8192 + 8000] ^= 1 }
        #expect(invalidPages(pages, firstBlock: 1000) == [0, 4, 7, 19])
        #expect(invalidPages([], firstBlock: 0) == [])
    }

    @Test func readsUnalignedPages() {
        let bytes = [0xFF] + RealFiles.heapPage
        let isValid = bytes.withUnsafeBytes {
            PageCheck.isValid(UnsafeRawBufferPointer(rebasing: $0[1...]), block: 14, checkHeader: true)
        }
        #expect(isValid)
    }

    @Test func wrapsBlockNumbers() {
        var page = RealFiles.heapPage
        page.store(checksum(page, 0), at: 8)
        var last = RealFiles.heapPage
        last.store(checksum(last, .max), at: 8)
        #expect(invalidPages(last + page, firstBlock: .max) == [])
    }

    private func isValid(_ page: [UInt8], _ block: UInt32, checkHeader: Bool = true) -> Bool {
        page.withUnsafeBytes { PageCheck.isValid($0, block: block, checkHeader: checkHeader) }
    }

    private func checksum(_ page: [UInt8], _ block: UInt32) -> UInt16 {
        page.withUnsafeBytes { PageCheck.checksum(of: $0, block: block) }
    }

    private func invalidPages(_ pages: [UInt8], firstBlock: UInt32) -> [Int] {
        var found: [Int] = []
        pages.withUnsafeBytes {
            PageCheck.check($0, pageSize: 8192, firstBlock: firstBlock, checkHeader: true) { found.append($0) }
        }
        return found
    }
}
