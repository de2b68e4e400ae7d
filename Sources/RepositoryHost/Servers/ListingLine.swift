import BackupEngine
import BackupModel
import HTTP
import RepositoryFormats

/// A line of a listing: a letter and fields, percent-encoded, a space between them; an empty field is nil.
enum ListingLine {
    static func text(_ entry: DataDirectoryScan.Entry) -> String {
        switch entry {
        case .file(let file, _):
            line("f", file.name, "\(file.size)", "\(file.timestamp)", "\(file.mode)", file.user, file.group)
        case .path(let path): line("p", path.name, "\(path.mode)", path.user, path.group)
        case .link(let link): line("l", link.name, link.destination, link.user, link.group)
        case .target(let target):
            line(
                "t", target.name, target.kind == .link ? "link" : "path", target.path, target.file,
                target.tablespaceID.map { "\($0)" }, target.tablespaceName)
        case .warning(let text): line("w", text)
        }
    }

    private static func line(_ fields: String?...) -> String {
        fields.map { PercentEncoding.encode($0 ?? "") }.joined(separator: " ") + "\n"
    }

    /// Of a line without its end; nil when malformed, and for a name that leads out of the data directory.
    static func entry(_ line: some Collection<UInt8>) -> DataDirectoryScan.Entry? {
        var fields: [String] = []
        for field in line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false) {
            guard let text = PercentEncoding.decode(String(decoding: field, as: UTF8.self)) else { return nil }
            fields.append(text)
        }
        func optional(_ index: Int) -> String? { fields[index].isEmpty ? nil : fields[index] }
        guard let kind = fields.first else { return nil }
        if kind == "w" { return fields.count == 2 ? .warning(fields[1]) : nil }
        guard fields.count > 1, isName(fields[1]) else { return nil }
        let name = fields[1]
        switch (kind, fields.count) {
        case ("f", 7):
            guard let size = UInt64(fields[2]), size <= UInt64(Int64.max), let timestamp = Int64(fields[3]),
                let mode = UInt16(fields[4])
            else { return nil }
            let file = ManifestFile(
                name: name, size: size, timestamp: timestamp, mode: mode, user: optional(5), group: optional(6))
            return .file(file, location: "")
        case ("p", 5):
            guard let mode = UInt16(fields[2]) else { return nil }
            return .path(ManifestPath(name: name, mode: mode, user: optional(3), group: optional(4)))
        case ("l", 5):
            return .link(ManifestLink(name: name, destination: fields[2], user: optional(3), group: optional(4)))
        case ("t", 7):
            guard fields[2] == "link" || fields[2] == "path", fields[5].isEmpty || UInt32(fields[5]) != nil else {
                return nil
            }
            return .target(
                ManifestTarget(
                    name: name, kind: fields[2] == "link" ? .link : .path, path: fields[3], file: optional(4),
                    tablespaceID: UInt32(fields[5]), tablespaceName: optional(6)))
        default: return nil
        }
    }

    /// Whether a name can be one of a manifest: below `pg_data` or `pg_tblspc`, and nowhere else.
    static func isName(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.first == "pg_data" || parts.first == "pg_tblspc", !name.utf8.contains(0) else { return false }
        return parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }
}
