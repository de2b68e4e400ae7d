import PostgresFormats
import StreamFilters
import Testing

@Suite struct PageVerifierTests {
    private static let pageSize = 8192

    /// Zero pages are valid, noise is not.
    private static func file(pages: Int, invalid: Set<Int>, tail: Int = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        for page in 0..<pages {
            bytes +=
                invalid.contains(page) ? noise(pageSize, seed: UInt64(page)) : [UInt8](repeating: 0, count: pageSize)
        }
        return bytes + noise(tail, seed: 99)
    }

    private static func verified(
        _ bytes: [UInt8], chunk: Int, firstBlock: UInt32 = 0
    ) -> (pages: [PageVerifier.InvalidPage], tail: PageVerifier.Tail) {
        var verifier = PageVerifier(pageSize: pageSize, firstBlock: firstBlock, checkHeader: true)
        for start in stride(from: 0, to: bytes.count, by: chunk) {
            verifier.feed(bytes.span.extracting(start..<min(start + chunk, bytes.count)).bytes)
        }
        let tail = verifier.finish()
        return (verifier.invalidPages, tail)
    }

    @Test("chunks of any size", arguments: [1, 1000, 8191, 8192, 8193, 16_384, 20_000, 1 << 20])
    func chunks(size: Int) {
        let bytes = Self.file(pages: 9, invalid: [0, 3, 4, 8])
        let (pages, tail) = Self.verified(bytes, chunk: size, firstBlock: 131_072)
        #expect(tail == .aligned)
        #expect(pages.map(\.block) == [131_072, 131_075, 131_076, 131_080])
        #expect(pages.map(\.offset) == [0, 3, 4, 8].map { $0 * 8192 })
        #expect(pages.allSatisfy { $0.length == 8192 })
    }

    @Test func nothingIsWrongWithNothing() {
        for pages in [0, 4] {
            let (invalid, tail) = Self.verified(Self.file(pages: pages, invalid: []), chunk: 1 << 20)
            #expect(invalid.isEmpty && tail == .aligned)
        }
    }

    @Test("a file that ends within a page", arguments: [512, 513, 8191], [100, 8192, 1 << 20])
    func shortPage(tail length: Int, chunk: Int) {
        let (pages, tail) = Self.verified(Self.file(pages: 2, invalid: [1], tail: length), chunk: chunk)
        #expect(tail == .shortPage)
        #expect(pages.map(\.block) == [1, 2])
        #expect(pages.map(\.length) == [8192, length])
        #expect(pages.last?.offset == 16_384)
    }

    @Test("a file that ends within 512 bytes of a page", arguments: [1, 511], [100, 8192, 1 << 20])
    func misaligned(tail length: Int, chunk: Int) {
        let (pages, tail) = Self.verified(Self.file(pages: 2, invalid: [1], tail: length), chunk: chunk)
        #expect(tail == .misaligned)
        #expect(pages.isEmpty)
    }

    @Test func tellsWhetherAPageHasChanged() throws {
        let bytes = Self.file(pages: 3, invalid: [1])
        let page = try #require(Self.verified(bytes, chunk: 5000).pages.first)
        func isUnchanged(_ again: [UInt8]) -> Bool { page.isUnchanged(again.span.bytes) }
        let again = Array(bytes[8192..<16_384])
        #expect(isUnchanged(again))
        #expect(!isUnchanged(Array(again.dropLast())))
        #expect(!isUnchanged(again.dropLast() + [again[8191] ^ 1]))
    }
}
