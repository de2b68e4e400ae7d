/// What PostgreSQL hands to `archive_command` and asks of `restore_command`.
package enum WALFileName: Hashable, Sendable {
    case segment(WALSegment)
    /// `<segment>.partial`
    case partial(WALSegment)
    /// `<timeline>.history`
    case history(timeline: UInt32)
    /// `<segment>.<offset>.backup`
    case backupLabel(WALSegment, offset: UInt32)

    package init?(_ name: some StringProtocol) {
        let bytes = name.utf8
        func ends(with suffix: StaticString, after count: Int) -> Bool {
            suffix.withUTF8Buffer { bytes.dropFirst(count).elementsEqual($0) }
        }
        switch bytes.count {
        case 24:
            guard let segment = WALSegment(utf8: bytes) else { return nil }
            self = .segment(segment)
        case 32:
            guard ends(with: ".partial", after: 24), let segment = WALSegment(utf8: bytes.prefix(24)) else {
                return nil
            }
            self = .partial(segment)
        case 16:
            guard ends(with: ".history", after: 8), let timeline = Hexadecimal.value(bytes.prefix(8)) else {
                return nil
            }
            self = .history(timeline: timeline)
        case 40:
            guard ends(with: ".backup", after: 33), let segment = WALSegment(utf8: bytes.prefix(24)),
                bytes.dropFirst(24).first == UInt8(ascii: "."),
                let offset = Hexadecimal.value(bytes.dropFirst(25).prefix(8))
            else { return nil }
            self = .backupLabel(segment, offset: offset)
        default:
            return nil
        }
    }

    /// The name as PostgreSQL writes it.
    package var name: String {
        switch self {
        case .segment(let segment): segment.description
        case .partial(let segment): "\(segment).partial"
        case .history(let timeline): "\(Hexadecimal.fixedWidth(timeline)).history"
        case .backupLabel(let segment, let offset): "\(segment).\(Hexadecimal.fixedWidth(offset)).backup"
        }
    }
}
