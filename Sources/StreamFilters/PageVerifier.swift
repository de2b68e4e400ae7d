import Checksums
import PostgresFormats

/// Checks the pages of one relation file while its content passes by in chunks of any size.
///
/// A page that fails was perhaps being written while it was read: the caller reads it again and asks
/// ``InvalidPage/isUnchanged(_:)``.
package struct PageVerifier: ~Copyable {
    package struct InvalidPage: Sendable, Equatable {
        /// Absolute, as `firstBlock`.
        package var block: UInt32
        /// Where it begins in the file, in bytes.
        package var offset: UInt64
        /// Bytes: of a page, or fewer for the last one of a file that ends within it.
        package var length: Int
        // In place of the bytes, of which a whole bad file would keep too many.
        var digest: SHA1Digest

        /// Whether bytes read again at `offset` are what was checked, and the failure stands.
        package func isUnchanged(_ bytes: RawSpan) -> Bool {
            bytes.byteCount == length && SHA1.hash(bytes) == digest
        }
    }

    /// How a file ended.
    package enum Tail: Sendable, Equatable {
        /// With a whole page.
        case aligned
        /// Within a page of which enough is there to say that it is bad: it is the last of the invalid pages.
        case shortPage
        /// Within the first 512 bytes of a page: the whole file is invalid, and no pages are listed.
        case misaligned
    }

    private let pageSize: Int
    private let firstBlock: UInt32
    private let checkHeader: Bool
    private var pagesSeen = 0
    /// The beginning of a page that lies across chunks.
    private var partial: [UInt8] = []
    /// In the order of the file.
    package private(set) var invalidPages: [InvalidPage] = []

    /// `pageSize` in bytes. `firstBlock`: the absolute number of the first page, not 0 in the later segments of a
    /// relation. `checkHeader`: see ``PageCheck/isValid(_:block:checkHeader:)``.
    package init(pageSize: Int, firstBlock: UInt32, checkHeader: Bool) {
        precondition(pageSize > 0)
        self.pageSize = pageSize
        self.firstBlock = firstBlock
        self.checkHeader = checkHeader
    }

    /// The next bytes of the file. Copies none when chunks begin and end with pages.
    package mutating func feed(_ chunk: RawSpan) {
        chunk.withUnsafeBytes { bytes in
            var rest = bytes
            if !partial.isEmpty {
                let count = min(pageSize - partial.count, rest.count)
                partial.append(contentsOf: rest[..<count])
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                guard partial.count == pageSize else { return }
                let page = partial
                page.withUnsafeBytes { check($0) }
                partial.removeAll(keepingCapacity: true)
            }
            let whole = rest.count / pageSize * pageSize
            if whole > 0 { check(UnsafeRawBufferPointer(rebasing: rest[..<whole])) }
            partial.append(contentsOf: rest[whole...])
        }
    }

    /// The file has ended.
    package mutating func finish() -> Tail {
        guard !partial.isEmpty else { return .aligned }
        guard partial.count >= 512 else {
            invalidPages = []
            return .misaligned
        }
        let page = partial
        page.withUnsafeBytes { add($0, index: pagesSeen) }
        return .shortPage
    }

    private mutating func check(_ pages: UnsafeRawBufferPointer) {
        let first = pagesSeen
        PageCheck.check(pages, pageSize: pageSize, firstBlock: block(first), checkHeader: checkHeader) { index in
            add(
                UnsafeRawBufferPointer(rebasing: pages[(index * pageSize)..<((index + 1) * pageSize)]),
                index: first + index)
        }
        pagesSeen += pages.count / pageSize
    }

    private mutating func add(_ page: UnsafeRawBufferPointer, index: Int) {
        invalidPages.append(
            InvalidPage(
                block: block(index), offset: UInt64(index) * UInt64(pageSize), length: page.count,
                digest: SHA1.hash(page.bytes)))
    }

    private func block(_ index: Int) -> UInt32 { firstBlock &+ UInt32(truncatingIfNeeded: index) }
}
