package import BackupModel
import RepositoryStorage

/// How far clocks in one place are ahead of UTC, and when that changes: a file of the tz database (RFC 8536).
package struct TimeZone: Sendable, Equatable {
    package var name: String
    /// Seconds since 1970 of each change, ascending, and what holds from then on.
    private var changes: [Int64] = []
    private var offsets: [Int] = []
    /// Before the first change.
    private var first = 0
    /// After the last.
    private var rule: TimeZoneRule?

    package static let utc = TimeZone(name: "UTC")

    private init(name: String) { self.name = name }

    /// Where systems keep the database.
    package static let directory = "/usr/share/zoneinfo"
    private static let sizeLimit = 1 << 20

    /// - Parameter name: `Europe/Berlin`. Reads a file, which blocks.
    package static func named(_ name: String, directory: String = TimeZone.directory) throws(BackupError) -> TimeZone {
        if ["UTC", "Etc/UTC", "GMT", ""].contains(name) { return .utc }
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        let isName = parts.allSatisfy { part in
            !part.isEmpty && part.first != "."
                && part.utf8.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"):
                        true
                    default: false
                    }
                }
        }
        guard isName else { throw BackupError(.optionInvalidValue, "'\(name)' is no time zone") }
        let bytes: [UInt8]
        do throws(BackupError) {
            bytes = try LocalFile.readAll("\(directory)/\(name)", limit: sizeLimit)
        } catch {
            throw BackupError(
                .optionInvalidValue, "time zone '\(name)' is not known",
                hint: "zones have names such as Europe/Berlin or UTC")
        }
        guard let zone = TimeZone(name: name, bytes) else {
            throw BackupError(.fileInvalid, "'\(directory)/\(name)' is no time zone")
        }
        return zone
    }

    /// nil for what is no file of a zone.
    init?(name: String, _ bytes: [UInt8]) {
        self.name = name
        var reader = Reader(bytes: bytes)
        guard let old = reader.header() else { return nil }
        var header = old
        var width = 4
        if old.version >= UInt8(ascii: "2") {
            guard reader.skip(old.size(width: 4)), let new = reader.header() else { return nil }
            (header, width) = (new, 8)
        }
        for _ in 0..<header.changes {
            guard let time = reader.integer(width) else { return nil }
            if let last = changes.last, last >= time { return nil }
            changes.append(time)
        }
        var types: [Int] = []
        for _ in 0..<header.changes {
            guard let type = reader.integer(1), type >= 0, type < header.types else { return nil }
            types.append(Int(type))
        }
        var offsetsOfTypes: [Int] = []
        for _ in 0..<header.types {
            guard let offset = reader.integer(4), abs(offset) < 7 * 86_400, reader.skip(2) else { return nil }
            offsetsOfTypes.append(Int(offset))
        }
        guard let first = offsetsOfTypes.first else { return nil }
        self.first = first
        offsets = types.map { offsetsOfTypes[$0] }
        guard width == 8 else { return }
        guard reader.skip(header.names + header.leaps * 12 + header.standards + header.universals) else { return nil }
        let footer = reader.rest.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: true)
        if let text = footer.first.map({ String(decoding: $0, as: UTF8.self) }), !text.isEmpty {
            rule = TimeZoneRule(text)
        }
    }

    /// Seconds to add to UTC at a time in seconds since 1970.
    func offset(at time: Int64) -> Int {
        guard let last = changes.last else { return rule?.offset(at: time) ?? first }
        if time >= last, let rule { return rule.offset(at: time) }
        var low = 0
        var high = changes.count
        while low < high {
            let middle = (low + high) / 2
            if changes[middle] <= time { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? first : offsets[low - 1]
    }

    private struct Header {
        var version: UInt8
        var universals: Int
        var standards: Int
        var leaps: Int
        var changes: Int
        var types: Int
        var names: Int

        func size(width: Int) -> Int {
            changes * (width + 1) + types * 6 + names + leaps * (width + 4) + standards + universals
        }
    }

    private struct Reader {
        let bytes: [UInt8]
        var place = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var rest: ArraySlice<UInt8> { bytes[place...] }

        mutating func skip(_ count: Int) -> Bool {
            guard count >= 0, count <= bytes.count - place else { return false }
            place += count
            return true
        }

        /// Big endian, with sign where it has 4 bytes or 8.
        mutating func integer(_ width: Int) -> Int64? {
            guard width <= bytes.count - place else { return nil }
            var value: UInt64 = 0
            for byte in bytes[place..<place + width] { value = value << 8 | UInt64(byte) }
            place += width
            return width == 4 ? Int64(Int32(truncatingIfNeeded: value)) : Int64(bitPattern: value)
        }

        mutating func header() -> Header? {
            guard bytes.count - place >= 44, bytes[place..<place + 4].elementsEqual("TZif".utf8) else { return nil }
            let version = bytes[place + 4]
            place += 20
            var counts: [Int] = []
            for _ in 0..<6 {
                guard let count = integer(4), count >= 0, count <= bytes.count else { return nil }
                counts.append(Int(count))
            }
            return Header(
                version: version, universals: counts[0], standards: counts[1], leaps: counts[2], changes: counts[3],
                types: counts[4], names: counts[5])
        }
    }
}
