package import BackupModel

/// The latest time at which a transaction in a segment of WAL ended, by commit or abort: a recovery to an earlier time ends
/// there (format: `xlog_internal.h`, `xlogrecord.h` and `xact.h` of PostgreSQL 9.6 to 19).
///
/// Records are followed by their lengths and places alone; their checksums are not looked at.
package struct TransactionEnds: Sendable {
    /// Bytes.
    package let pageSize: Int
    /// Microseconds since 1970; nil when no transaction has ended so far.
    package private(set) var latest: Int64?

    private let magic: UInt16
    private let end: UInt64
    private var page: UInt64
    private var isFirst = true
    /// Of the record that is read: its first bytes, how many are wanted of them, and how many come after those.
    private var head: [UInt8] = []
    private var wanted = 0
    private var rest: UInt64 = 0
    private var start: UInt64 = 0
    /// Where the record before it began.
    private var previous: UInt64?

    private static let recordHeader = 24
    /// Up to the time of a commit: the header of its record, an origin, a transaction, the length of its data, and the time.
    private static let most = recordHeader + 3 + 5 + 5 + 8
    /// Microseconds from 1970 to 2000.
    private static let epoch: Int64 = 946_684_800_000_000

    /// - Parameters:
    ///   - bytes: the start of the segment, `WALHeader.readSize` of it.
    ///   - end: records that begin there or later do not count.
    /// Throws `.format` as `WALHeader` does, or when the pages can not be of that size.
    package init(_ segment: WALSegment, start bytes: RawSpan, before end: LSN? = nil) throws(BackupError) {
        self.end = end?.rawValue ?? .max
        let header = try WALHeader(parsing: bytes)
        magic = bytes.integer(at: 0)
        pageSize = Int(bytes.integer(at: 36, as: UInt32.self))
        guard pageSize.nonzeroBitCount == 1, (1024...65_536).contains(pageSize) else {
            throw BackupError(.format, "WAL segment \(segment) says that its pages have \(pageSize) bytes")
        }
        page = segment.start(segmentSize: header.segmentSize).rawValue
        head.reserveCapacity(Self.most)
    }

    /// Takes the next pages; what is less than a page at the end is left out.
    /// - Returns: whether there may be more behind them: not at the end of what was written.
    package mutating func read(_ bytes: RawSpan) -> Bool {
        for start in stride(from: 0, to: bytes.byteCount - pageSize + 1, by: pageSize) {
            guard readPage(bytes.extracting(start..<start + pageSize)) else { return false }
        }
        return true
    }

    private mutating func readPage(_ bytes: RawSpan) -> Bool {
        guard bytes.integer(at: 0) == magic, bytes.integer(at: 8) == page else {
            return false
        }
        let flags: UInt16 = bytes.integer(at: 2)
        let carried = UInt64(bytes.integer(at: 16, as: UInt32.self))
        var at = flags & 0x0002 != 0 ? 40 : 24
        if flags & 0x0008 != 0 {
            // The server crashed in the middle of a record, and has overwritten the rest of it.
            forget()
            previous = nil
        } else if isFirst, flags & 0x0001 != 0 {
            rest = Self.aligned(carried)
        }
        isFirst = false
        while at < pageSize {
            if rest > 0, head.isEmpty {
                let count = min(rest, UInt64(pageSize - at))
                rest -= count
                at += Int(count)
                continue
            }
            if head.isEmpty {
                let length = UInt64(bytes.integer(at: at, as: UInt32.self))
                // Nothing more, as after a switch of segments.
                guard length >= Self.recordHeader else { return false }
                start = page &+ UInt64(at)
                guard start < end else { return false }
                wanted = Int(min(length, UInt64(Self.most)))
                rest = Self.aligned(length) - UInt64(wanted)
            }
            let count = min(wanted - head.count, pageSize - at)
            for place in at..<at + count {
                head.append(bytes.unsafeLoadUnaligned(fromByteOffset: place, as: UInt8.self))
            }
            at += count
            guard head.count == wanted else { break }
            guard take() else { return false }
            head.removeAll(keepingCapacity: true)
        }
        page &+= UInt64(pageSize)
        return true
    }

    private mutating func forget() {
        head.removeAll(keepingCapacity: true)
        rest = 0
    }

    /// - Returns: false when this is no record that follows the one before.
    private mutating func take() -> Bool {
        let link: UInt64 = head.span.bytes.integer(at: 8)
        guard previous == nil || link == previous else { return false }
        previous = start
        if let time = Self.time(head.span.bytes) { latest = max(latest ?? .min, time) }
        return true
    }

    /// - Parameter record: its first bytes.
    /// - Returns: nil when it ends no transaction.
    private static func time(_ record: RawSpan) -> Int64? {
        let info: UInt8 = record.integer(at: 16)
        let manager: UInt8 = record.integer(at: 17)
        // Commit, abort, and both of what was prepared.
        guard manager == 1, [0x00, 0x20, 0x30, 0x40].contains(info & 0x70) else { return nil }
        var at = recordHeader
        while at < record.byteCount {
            switch record.integer(at: at, as: UInt8.self) {
            case 252: at += 5
            case 253: at += 3
            case 254: return time(record, at: at + 5)
            case 255: return time(record, at: at + 2)
            default: return nil
            }
        }
        return nil
    }

    private static func time(_ record: RawSpan, at place: Int) -> Int64? {
        guard place + 8 <= record.byteCount else { return nil }
        let (time, isTooFar) = record.integer(at: place, as: Int64.self).addingReportingOverflow(epoch)
        return isTooFar ? nil : time
    }

    private static func aligned(_ length: UInt64) -> UInt64 { (length + 7) & ~7 }
}
