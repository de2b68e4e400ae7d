/// Amounts as people read them.
package enum SizeText {
    /// As pgBackRest prints sizes: `512B`, `1KB`, `46.9KB`, `2.9GB`: powers of 1024, one decimal rounded half up and
    /// left out when it is 0, nothing larger than GB.
    package static func bytes(_ count: UInt64) -> String {
        let (shift, suffix): (UInt64, String) =
            switch count {
            case ..<(1 << 10): (0, "B")
            case ..<(1 << 20): (10, "KB")
            case ..<(1 << 30): (20, "MB")
            default: (30, "GB")
            }
        guard shift > 0 else { return "\(count)B" }
        // Whole and rest apart: ten times a count can overflow.
        let rest = count & (1 << shift - 1)
        let tenths = (count >> shift) * 10 + (rest * 10 + 1 << (shift - 1)) >> shift
        return "\(tenths / 10)" + (tenths % 10 == 0 ? "" : ".\(tenths % 10)") + suffix
    }

    /// `8s`, `2m05s`, `1h02m`, `3d04h`.
    package static func duration(seconds: UInt64) -> String {
        switch seconds {
        case ..<60: "\(seconds)s"
        case ..<3600: "\(seconds / 60)m\(padded(seconds % 60, 2))s"
        case ..<86400: "\(seconds / 3600)h\(padded(seconds / 60 % 60, 2))m"
        default: "\(seconds / 86400)d\(padded(seconds / 3600 % 24, 2))h"
        }
    }
}
