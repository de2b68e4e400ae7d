package import BackupModel
import Glibc
package import PostgresFormats
package import RepositoryFormats

/// Walks a data directory, its tablespaces and its links, and lists what a backup holds. Blocking.
package struct DataDirectoryScan {
    package var dataDirectory: String
    package var version: PostgresVersion
    package var catalogVersion: UInt32
    package var isOnline: Bool
    /// Names by oid. Online, a tablespace that the catalog does not know is an error.
    package var tablespaceNames: [UInt32: String]
    /// Relative to the data directory; with a trailing `/` only the contents are left out.
    package var excludes: [String]

    package init(
        dataDirectory: String, version: PostgresVersion, catalogVersion: UInt32, isOnline: Bool,
        tablespaceNames: [UInt32: String], excludes: [String]
    ) {
        self.dataDirectory = dataDirectory
        self.version = version
        self.catalogVersion = catalogVersion
        self.isOnline = isOnline
        self.tablespaceNames = tablespaceNames
        self.excludes = excludes
    }

    package struct Result: Sendable {
        package var files = ManifestFiles()
        package var paths: [ManifestPath] = []
        package var links: [ManifestLink] = []
        package var targets: [ManifestTarget] = []
        package var warnings: [String] = []

        package init() {}

        /// In the manifest's order.
        package mutating func sort() {
            files.sort()
            paths.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            links.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            targets.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        }
    }

    package enum Entry: Sendable, Equatable {
        /// - location: where it can be opened, links followed.
        case file(ManifestFile, location: String)
        case path(ManifestPath)
        case link(ManifestLink)
        case target(ManifestTarget)
        case warning(String)
    }

    package func run() throws(BackupError) -> Result {
        var result = Result()
        try run(into: &result)
        result.sort()
        return result
    }

    /// Gives entries to `sink` as they are found, files almost in the manifest's order.
    package func run(into sink: inout some ScanSink) throws(BackupError) {
        var walk = Walk(scan: self, sink: sink, linkRules: LinkRules(dataDirectory: dataDirectory))
        try walk.start()
        sink = walk.sink
    }
}

/// Takes what a scan finds.
package protocol ScanSink {
    mutating func take(_ entry: DataDirectoryScan.Entry) throws(BackupError)
}

extension DataDirectoryScan.Result: ScanSink {
    package mutating func take(_ entry: DataDirectoryScan.Entry) {
        switch entry {
        case .file(let file, _): files.append(file)
        case .path(let path): paths.append(path)
        case .link(let link): links.append(link)
        case .target(let target): targets.append(target)
        case .warning(let text): warnings.append(text)
        }
    }
}

/// One run of the scan.
private struct Walk<Sink: ScanSink> {
    let scan: DataDirectoryScan
    var sink: Sink
    var owners = OwnerNames()
    var linkRules: LinkRules
    var hasTablespaces = false
    /// The directory of their links, which is walked last.
    var tablespaces: String?

    mutating func start() throws(BackupError) {
        let status = try fileStatus(scan.dataDirectory)
        guard status.isDirectory else {
            throw BackupError(.pathMissing, "'\(scan.dataDirectory)' is not a directory", hint: "is pg1-path right?")
        }
        try sink.take(.target(ManifestTarget(name: "pg_data", kind: .path, path: scan.dataDirectory)))
        try addPath("pg_data", status)
        try walk(directory: scan.dataDirectory, name: "pg_data", relative: "")
        if let tablespaces { try walkTablespaces(directory: tablespaces) }
    }

    /// - Parameters:
    ///   - name: in the manifest, `pg_data/base`.
    ///   - relative: to the data directory, `base`; for a tablespace `pg_tblspc/<oid>/…`.
    mutating func walk(directory: String, name: String, relative: String) throws(BackupError) {
        guard var entries = try LocalDirectory.names(directory) else { return }
        // So that rows come in the order of the manifest, but for odd names: to sort millions of them costs memory.
        entries.sort()
        if DataDirectoryRules.keepsOnlyDirectory(relative, version: scan.version, online: scan.isOnline) { return }
        if isExcludedByUser(relative + "/") { return }

        let unlogged = DataDirectoryRules.unloggedFiles(in: entries)
        for entry in entries where !unlogged.contains(entry) {
            let entryRelative = relative.isEmpty ? entry : "\(relative)/\(entry)"
            if isExcludedByUser(entryRelative) { continue }
            if name == "pg_data", entry == "pg_tblspc" {
                tablespaces = "\(directory)/\(entry)"
                continue
            }
            try visit(path: "\(directory)/\(entry)", name: "\(name)/\(entry)", relative: entryRelative)
        }
    }

    mutating func visit(path: String, name: String, relative: String) throws(BackupError) {
        guard let status = try LocalDirectory.status(path) else { return }
        if status.isLink {
            try visitLink(path: path, name: name, relative: relative)
        } else if status.isDirectory {
            if DataDirectoryRules.isExcluded(relative, version: scan.version, online: scan.isOnline) { return }
            try addPath(name, status)
            try walk(directory: path, name: name, relative: relative)
        } else if status.isRegular {
            try addFile(name, relative, status, at: path)
        } else {
            try sink.take(.warning("'\(path)' is not a file, directory or link and is left out of the backup"))
        }
    }

    /// A link in the data directory, not to a tablespace: what it leads to is backed up under the link's name.
    mutating func visitLink(path: String, name: String, relative: String) throws(BackupError) {
        if DataDirectoryRules.isExcluded(relative, version: scan.version, online: scan.isOnline) { return }
        let (destination, target) = try resolveLink(path)
        let owner = try fileStatus(path, followLinks: false)
        try sink.take(
            .link(
                ManifestLink(
                    name: name, destination: destination, user: owners.user(owner.user),
                    group: owners.group(owner.group))))
        let status = try fileStatus(target, followLinks: false)
        if status.isLink {
            throw BackupError(
                .linkDestination, "link '\(path)' leads to '\(destination)', which is a link itself",
                hint: "a link in the data directory must lead to a directory or file")
        }
        if status.isDirectory {
            try addLinkTarget(ManifestTarget(name: name, kind: .link, path: destination))
            try addPath(name, status)
            try walk(directory: target, name: name, relative: relative)
        } else if status.isRegular {
            let (directory, file) = splitLast(destination)
            try addLinkTarget(ManifestTarget(name: name, kind: .link, path: directory, file: file))
            try addFile(name, relative, status, at: target)
        } else {
            throw BackupError(
                .linkDestination, "link '\(path)' leads to '\(destination)', which is neither a file nor a directory")
        }
    }

    mutating func walkTablespaces(directory: String) throws(BackupError) {
        guard let status = try LocalDirectory.status(directory) else { return }
        try addPath("pg_data/pg_tblspc", status)
        if isExcludedByUser("pg_tblspc/") { return }
        guard let entries = try LocalDirectory.names(directory) else { return }
        for entry in entries.sorted() where !isExcludedByUser("pg_tblspc/\(entry)") {
            let path = "\(directory)/\(entry)"
            guard let entryStatus = try LocalDirectory.status(path) else { continue }
            guard entryStatus.isLink else {
                throw BackupError(
                    .linkExpected, "'\(path)' is not a link",
                    hint: "only links to tablespaces belong under pg_tblspc; in-place tablespaces are for developers")
            }
            guard let oid = UInt32(entry), String(oid) == entry else {
                throw BackupError(.linkExpected, "'\(path)' is not named by the oid of a tablespace")
            }
            let tablespaceName = scan.tablespaceNames[oid]
            if scan.isOnline, tablespaceName == nil {
                throw BackupError(
                    .assertion, "tablespace with oid \(oid) is linked at '\(path)' but unknown to PostgreSQL",
                    hint: "was it created or dropped during the start of the backup? Run the backup again.")
            }
            if !hasTablespaces { try addPath("pg_tblspc", status) }
            hasTablespaces = true
            try walkTablespace(oid: oid, name: tablespaceName ?? "ts\(oid)", link: path, entryStatus)
        }
    }

    mutating func walkTablespace(
        oid: UInt32, name tablespaceName: String, link: String, _ linkStatus: FileStatus
    ) throws(BackupError) {
        let (destination, target) = try resolveLink(link)
        let name = "pg_tblspc/\(oid)"
        try sink.take(
            .link(
                ManifestLink(
                    name: "pg_data/\(name)", destination: destination, user: owners.user(linkStatus.user),
                    group: owners.group(linkStatus.group))))
        try addLinkTarget(
            ManifestTarget(
                name: name, kind: .link, path: destination, tablespaceID: oid, tablespaceName: tablespaceName))
        let status = try fileStatus(target)
        guard status.isDirectory else {
            throw BackupError(.linkDestination, "tablespace link '\(link)' leads to '\(destination)', not a directory")
        }
        try addPath(name, status)
        // Other versions of PostgreSQL may keep their files beside ours.
        let versionDirectory = scan.version.tablespaceDirectory(catalogVersion: scan.catalogVersion)
        guard let versionStatus = try LocalDirectory.status("\(target)/\(versionDirectory)") else { return }
        try addPath("\(name)/\(versionDirectory)", versionStatus)
        try walk(
            directory: "\(target)/\(versionDirectory)", name: "\(name)/\(versionDirectory)",
            relative: "\(name)/\(versionDirectory)")
    }

    mutating func addLinkTarget(_ target: ManifestTarget) throws(BackupError) {
        try linkRules.accept(target)
        try sink.take(.target(target))
    }

    mutating func addFile(
        _ name: String, _ relative: String, _ status: FileStatus, at location: String
    ) throws(BackupError) {
        if DataDirectoryRules.isExcluded(relative, version: scan.version, online: scan.isOnline) { return }
        try sink.take(
            .file(
                ManifestFile(
                    name: name, size: status.size, timestamp: status.modified, mode: status.mode,
                    user: owners.user(status.user), group: owners.group(status.group)), location: location))
    }

    mutating func addPath(_ name: String, _ status: FileStatus) throws(BackupError) {
        try sink.take(
            .path(
                ManifestPath(
                    name: name, mode: status.mode, user: owners.user(status.user), group: owners.group(status.group))))
    }

    func isExcludedByUser(_ relative: String) -> Bool {
        !scan.excludes.isEmpty && scan.excludes.contains(relative)
    }

    /// The link's text, and the absolute path that it means.
    func resolveLink(_ path: String) throws(BackupError) -> (text: String, absolute: String) {
        let text = try LocalDirectory.linkText(path)
        let absolute = text.hasPrefix("/") ? text : "\(splitLast(path).directory)/\(text)"
        if try LocalDirectory.status(absolute) == nil {
            throw BackupError(
                .linkDestination, "link '\(path)' leads to '\(text)', which does not exist",
                hint: "remove the link or restore what it led to")
        }
        return (text, absolute)
    }

    func fileStatus(_ path: String, followLinks: Bool = true) throws(BackupError) -> FileStatus {
        guard let status = try LocalDirectory.status(path, followLinks: followLinks) else {
            throw BackupError(
                .pathMissing, "'\(path)' does not exist", hint: "is pg1-path right, and is this the database host?")
        }
        return status
    }
}

/// Directory and last component.
func splitLast(_ path: String) -> (directory: String, last: String) {
    guard let slash = path.lastIndex(of: "/") else { return ("", path) }
    return (slash == path.startIndex ? "/" : String(path[..<slash]), String(path[path.index(after: slash)...]))
}
