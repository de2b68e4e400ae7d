package import BackupModel

/// `20261121-034000F`, `20261121-034000F_20261122-034000D` (section B.5 of the reference).
package struct BackupLabel: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Bytes of the label of a full backup.
    private static let fullLength = 16

    package let text: String
    package var description: String { text }
    package static func < (left: BackupLabel, right: BackupLabel) -> Bool { left.text < right.text }

    /// nil for what is no label.
    package init?(_ text: String) {
        let bytes = text.utf8
        let isLabel =
            switch bytes.count {
            case Self.fullLength: Self.isPart(bytes[...], endings: "F")
            case 2 * Self.fullLength + 1:
                Self.isPart(bytes.prefix(Self.fullLength), endings: "F")
                    && bytes.dropFirst(Self.fullLength).first == UInt8(ascii: "_")
                    && Self.isPart(bytes.suffix(Self.fullLength), endings: "DI")
            default: false
            }
        guard isLabel else { return nil }
        self.text = text
    }

    package var type: BackupType {
        switch text.utf8.last {
        case UInt8(ascii: "D"): .diff
        case UInt8(ascii: "I"): .incr
        default: .full
        }
    }

    /// The label of the full backup that this one rests on; itself for a full.
    package var full: String { String(text.prefix(Self.fullLength)) }

    /// `components` is a local time as `YYYYMMDD-HHMMSS`; `full` the label of the full backup for diff and incr.
    package init(type: BackupType, localTime components: String, full: String?) {
        let text =
            switch type {
            case .full: components + "F"
            case .diff: (full ?? "") + "_" + components + "D"
            case .incr: (full ?? "") + "_" + components + "I"
            }
        precondition(BackupLabel(text) != nil, "'\(text)' is no label")
        self.text = text
    }

    /// `YYYYMMDD-HHMMSS` and a letter. Digits only, no calendar: a label must stay readable whatever clock made it.
    private static func isPart(_ bytes: Substring.UTF8View, endings: String) -> Bool {
        guard bytes.count == fullLength, let last = bytes.last, endings.utf8.contains(last) else { return false }
        return bytes.dropLast().enumerated().allSatisfy { index, byte in
            index == 8
                ? byte == UInt8(ascii: "-") : byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
        }
    }
}
