/// The names of databases' directories and of the files in them (format: `relpath.c` of PostgreSQL).
enum RelationPath {
    /// `global`, `base/<oid>` or `pg_tblspc/<oid>/PG_<version>_<catalog>/<oid>`.
    static func isDatabaseDirectory(_ directory: Substring) -> Bool {
        if directory == "global" { return true }
        var rest = directory.utf8[...]
        if removePrefix("base/", from: &rest) { return isNumber(rest) }
        guard removePrefix("pg_tblspc/", from: &rest), removeDigits(from: &rest), removePrefix("/PG_", from: &rest),
            let slash = rest.firstIndex(of: UInt8(ascii: "/")), slash > rest.startIndex
        else { return false }
        return isNumber(rest[slash...].dropFirst())
    }

    /// `pg_internal.init`, or a left over `pg_internal.init.<pid>`.
    static func isInternalInit(_ name: Substring) -> Bool {
        var rest = name.utf8[...]
        guard removePrefix("pg_internal.init", from: &rest) else { return false }
        return rest.isEmpty || (removePrefix(".", from: &rest) && isNumber(rest))
    }

    /// `t<backend>_<number>` with or without a fork and a segment.
    static func isTemporaryRelation(_ name: Substring) -> Bool {
        var rest = name.utf8[...]
        return removePrefix("t", from: &rest) && removeDigits(from: &rest) && removePrefix("_", from: &rest)
            && removeDigits(from: &rest) && isForkEnd(rest)
    }

    /// The `<number>` of a file `<number>[_fsm|_vm][.<segment>]`; nil for every other name, among them `_init` forks.
    static func fileNumber(ofFork name: String) -> Substring? {
        var rest = name.utf8[...]
        guard removeDigits(from: &rest), isForkEnd(rest) else { return nil }
        return name[..<rest.startIndex]
    }

    private static func isForkEnd(_ text: Substring.UTF8View) -> Bool {
        var rest = text
        _ = removePrefix("_fsm", from: &rest) || removePrefix("_vm", from: &rest)
        return rest.isEmpty || (removePrefix(".", from: &rest) && isNumber(rest))
    }

    private static func isNumber(_ text: Substring.UTF8View) -> Bool {
        var rest = text
        return removeDigits(from: &rest) && rest.isEmpty
    }

    private static func removePrefix(_ prefix: StaticString, from text: inout Substring.UTF8View) -> Bool {
        let isThere = prefix.withUTF8Buffer { text.starts(with: $0) }
        if isThere { text = text.dropFirst(prefix.utf8CodeUnitCount) }
        return isThere
    }

    /// False when there is none.
    private static func removeDigits(from text: inout Substring.UTF8View) -> Bool {
        let rest = text.drop { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        defer { text = rest }
        return rest.startIndex > text.startIndex
    }
}
