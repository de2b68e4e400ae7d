/// What a path of a repository is for, which decides who may write there.
enum RepositoryPlace: Equatable {
    /// Above all stanzas: the root, `archive`, `backup`, `permafrost`.
    case top
    case stanza(String, StanzaPlace)

    enum StanzaPlace: Equatable {
        /// `archive/S`, `backup/S`, `permafrost/S`.
        case directory
        /// `archive.info`, `backup.info` and their copies.
        case info
        /// The link to the last backup.
        case latest
        /// WAL, manifests that are kept after their backups, info files that were replaced: what is there stays as it is.
        case kept
        /// A backup's directory, or what is in it.
        case backup(label: String)
        /// The lock object.
        case lock
        /// What else we keep beside the format: it can be made again.
        case own
        /// Nothing of ours or of pgBackRest.
        case other
    }

    /// nil for what lies in none of the directories of a repository.
    init?(_ path: String) {
        let parts = path.split(separator: "/").map(String.init)
        guard let first = parts.first else {
            self = .top
            return
        }
        guard ["archive", "backup", "permafrost"].contains(first) else { return nil }
        guard parts.count > 1 else {
            self = .top
            return
        }
        self = .stanza(parts[1], Self.place(first, parts[2...]))
    }

    private static func place(_ top: String, _ rest: ArraySlice<String>) -> StanzaPlace {
        guard let name = rest.first else { return .directory }
        let isAlone = rest.count == 1
        switch top {
        case "permafrost":
            if name == "replaced" { return .kept }
            return isAlone && name == "lock" ? .lock : .own
        case "archive":
            if isAlone, ["archive.info", "archive.info.copy"].contains(name) { return .info }
            // `16-1/…`
            return name.contains("-") ? .kept : .other
        default:
            if isAlone, ["backup.info", "backup.info.copy"].contains(name) { return .info }
            if isAlone, name == "latest" { return .latest }
            if name == "backup.history" { return .kept }
            return name.utf8.first.map { (0x30...0x39).contains($0) } == true ? .backup(label: name) : .other
        }
    }
}
