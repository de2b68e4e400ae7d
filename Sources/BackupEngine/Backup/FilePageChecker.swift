import Glibc
import PostgresFormats
import RepositoryFormats
import StreamFilters

/// Checks the pages of one relation file as it is read. A page that fails is read again once: if it changed, PostgreSQL
/// was writing it and WAL replay repairs it, otherwise it is reported.
struct FilePageChecker: ~Copyable {
    private var verifier: PageVerifier
    private var pagesLookedAt = 0
    private var invalid: [ClosedRange<UInt32>] = []

    init(rules: PageCheckRules, fileName: String) {
        let pagesPerSegment = UInt32(PageCheckRules.relationSegmentBytes / rules.pageSize)
        let segment = DataDirectoryRules.relationSegment(ofFile: splitLast(fileName).last)
        verifier = PageVerifier(
            pageSize: rules.pageSize, firstBlock: segment &* pagesPerSegment, checkHeader: rules.checksHeader)
    }

    /// The next bytes of the file, which `descriptor` can read again.
    mutating func check(_ chunk: UnsafeRawBufferPointer, _ descriptor: Int32) {
        verifier.feed(chunk.bytes)
        readAgain(descriptor)
    }

    mutating func finish(_ descriptor: Int32) -> PageCheckResult {
        switch verifier.finish() {
        case .misaligned: return .invalid([])
        case .shortPage: readAgain(descriptor)
        case .aligned: break
        }
        return invalid.isEmpty ? .valid : .invalid(invalid)
    }

    private mutating func readAgain(_ descriptor: Int32) {
        for page in verifier.invalidPages[pagesLookedAt...] where isUnchanged(page, descriptor) {
            if let last = invalid.last, last.upperBound < page.block, last.upperBound + 1 == page.block {
                invalid[invalid.count - 1] = last.lowerBound...page.block
            } else {
                invalid.append(page.block...page.block)
            }
        }
        pagesLookedAt = verifier.invalidPages.count
    }

    private func isUnchanged(_ page: PageVerifier.InvalidPage, _ descriptor: Int32) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: page.length, alignment: 8) { again in
            guard let base = again.baseAddress else { return true }
            let count = pread(descriptor, base, page.length, off_t(page.offset))
            return count == page.length && page.isUnchanged(UnsafeRawBufferPointer(again).bytes)
        }
    }
}
