package import BackupModel
import PostgresFormats
package import RepositoryFormats

/// One restore, decided: what goes where, in which order, before anything is written.
package struct RestorePlan: Sendable {
    /// A place that is emptied (or must be empty) before files are written there.
    package struct Root: Sendable, Equatable {
        /// Of what lies here, in the manifest.
        package var name: String
        package var path: String
        package var isFile = false
    }

    /// One piece of work: a file, or parts of one bundle that are stored one behind the other.
    package struct Job: Sendable, Equatable {
        /// Into ``RestorePlan/order``.
        package var files: Range<Int>
        package var isBundle: Bool
    }

    package var stanza: String
    /// The backup, targets and links mapped to where they are restored.
    package var manifest: Manifest
    package var dataDirectory: String
    package var roots: [Root]
    /// Row numbers of the manifest's files, pg_control and what is left out not among them.
    package var order: [Int32]
    /// Largest first.
    package var jobs: [Job]
    package var controlFile: Int
    package var recovery: RecoverySettings
    package var notices: [RestoreNotice]
    /// Bytes of all files.
    package var totalSize: UInt64
    /// Of files, directories and links.
    package var users: Set<String> = []
    package var groups: Set<String> = []
    /// Whether something has an owner that had no name where it was backed up.
    package var hasUnnamedOwners = false
    /// Databases that get no content.
    package var selection: SelectiveRestore
    /// Files at the top of the data directory that are neither removed nor replaced.
    package var preserved: Set<String> = []

    /// Throws `.format` for a manifest that would write outside of its targets, and what ``RestoreMapping`` and
    /// ``SelectiveRestore`` throw.
    package init(_ manifest: consuming Manifest, _ options: RestoreOptions) throws(BackupError) {
        var options = options
        if !options.isTypeGiven, !manifest.options.online { options.type = .none }
        stanza = options.stanza
        dataDirectory = options.dataDirectory
        notices = try RestoreMapping.apply(options, to: &manifest)
        selection = try SelectiveRestore(copy manifest, options)
        notices += selection.notices
        roots = Self.roots(of: manifest, dataDirectory: options.dataDirectory)
        let version = manifest.database.version
        recovery = try RecoverySettings(options, version: version)
        if options.type == .preserve { preserved = Set(RecoverySettings.files(of: version)) }

        var skipped: Set<String> = ["pg_data/tablespace_map"]
        if manifest.files.index(of: "pg_data/tablespace_map") != nil {
            notices.append(
                RestoreNotice(
                    isWarning: false,
                    text: "skip 'tablespace_map': tablespace links will be created based on mappings"))
        }
        for name in preserved { skipped.insert("pg_data/\(name)") }

        guard let control = manifest.files.index(of: "pg_data/global/pg_control") else {
            throw BackupError(
                .format, "manifest of backup set \(manifest.label) has no file 'pg_data/global/pg_control'")
        }
        controlFile = control
        skipped.insert("pg_data/global/pg_control")

        var scan = FileScan(label: manifest.label, references: manifest.references.count)
        for index in 0..<manifest.files.count {
            let file = manifest.files[index]
            try scan.add(file, index: index, skipped: skipped, isLeftOut: selection.leavesOut(file.name))
        }
        for path in manifest.paths { try scan.add(name: path.name, user: path.user, group: path.group) }
        for link in manifest.links { try scan.add(name: link.name, user: link.user, group: link.group) }
        (order, jobs) = scan.jobs()
        totalSize = scan.totalSize
        users = scan.users
        groups = scan.groups
        hasUnnamedOwners = scan.hasUnnamedOwners
        self.manifest = manifest
    }

    private static func roots(of manifest: Manifest, dataDirectory: String) -> [Root] {
        manifest.targets.map { target in
            let path = RestoreMapping.path(of: target, dataDirectory: dataDirectory)
            if target.tablespaceID != nil {
                let directory = manifest.database.version.tablespaceDirectory(
                    catalogVersion: manifest.database.catalogVersion)
                return Root(name: "\(target.name)/\(directory)", path: "\(path)/\(directory)")
            }
            guard let file = target.file else { return Root(name: target.name, path: path) }
            return Root(name: target.name, path: "\(path)/\(file)", isFile: true)
        }
    }

    /// Where something of the manifest lies; tablespaces and links are reached through their links.
    package func path(of name: String) -> String {
        if name == "pg_data" { return dataDirectory }
        if name.hasPrefix("pg_data/") { return dataDirectory + name.dropFirst("pg_data".count) }
        return "\(dataDirectory)/\(name)"
    }

    /// Bytes that each root will hold.
    package func sizes() -> [UInt64] {
        var sizes = [UInt64](repeating: 0, count: roots.count)
        for row in order + [Int32(controlFile)] {
            let name = manifest.files.name(Int(row))
            if selection.leavesOut(name) { continue }
            var best: (index: Int, length: Int)?
            for (index, root) in roots.enumerated() {
                let length = root.name.utf8.count
                if length > (best?.length ?? 0), name == root.name || name.hasPrefix(root.name + "/") {
                    best = (index, length)
                }
            }
            if let best { sizes[best.index] &+= manifest.files.size(Int(row)) }
        }
        return sizes
    }
}

/// One pass over the rows of a manifest.
private struct FileScan {
    private struct Entry {
        var index: Int32
        var reference: Int32
        var bundle: UInt64
        var offset: UInt64
        var size: UInt64
    }

    let label: String
    let references: Int
    var totalSize: UInt64 = 0
    var users: Set<String> = []
    var groups: Set<String> = []
    var hasUnnamedOwners = false
    private var entries: [Entry] = []

    init(label: String, references: Int) {
        self.label = label
        self.references = references
    }

    mutating func add(name: String, user: String?, group: String?) throws(BackupError) {
        let isKnown =
            name == "pg_data" || name == "pg_tblspc" || name.hasPrefix("pg_data/") || name.hasPrefix("pg_tblspc/")
        guard isKnown, !name.utf8.contains(0), !name.split(separator: "/").contains("..") else {
            throw BackupError(.format, "manifest of backup set \(label) has '\(name)', which is outside of its targets")
        }
        if let user { if !users.contains(user) { users.insert(user) } } else { hasUnnamedOwners = true }
        if let group { if !groups.contains(group) { groups.insert(group) } } else { hasUnnamedOwners = true }
    }

    mutating func add(_ file: ManifestFile, index: Int, skipped: Set<String>, isLeftOut: Bool) throws(BackupError) {
        try add(name: file.name, user: file.user, group: file.group)
        let isSkipped = skipped.contains(file.name)
        if isSkipped, file.name != "pg_data/global/pg_control" { return }
        guard file.checksum != nil || file.size == 0 else {
            throw BackupError(.format, "manifest of backup set \(label) has no checksum for '\(file.name)'")
        }
        if let reference = file.reference, reference < 0 || reference >= references {
            throw BackupError(.format, "manifest of backup set \(label) has an unknown reference for '\(file.name)'")
        }
        let (sum, sumOverflow) = totalSize.addingReportingOverflow(isLeftOut ? 0 : file.size)
        let (_, endOverflow) = file.bundleOffset.addingReportingOverflow(file.repoSize)
        guard !sumOverflow, !endOverflow, max(sum, file.size) <= UInt64(Int64.max) else {
            throw BackupError(.format, "manifest of backup set \(label) has an impossible size for '\(file.name)'")
        }
        totalSize = sum
        if isSkipped { return }
        // Blocks come from several objects, each by reads of its own.
        let isAlone = isLeftOut || file.size == 0 || file.isBlockIncremental
        entries.append(
            Entry(
                index: Int32(truncatingIfNeeded: index), reference: Int32(truncatingIfNeeded: file.reference ?? -1),
                bundle: isAlone ? 0 : file.bundleID, offset: file.bundleOffset, size: isLeftOut ? 0 : file.size))
    }

    /// Parts of one bundle together and in the order in which they lie there; jobs by size, largest first.
    mutating func jobs() -> (order: [Int32], jobs: [RestorePlan.Job]) {
        entries.sort { ($0.bundle, $0.reference, $0.offset, $0.index) < ($1.bundle, $1.reference, $1.offset, $1.index) }
        var jobs: [(job: RestorePlan.Job, size: UInt64)] = []
        for (position, entry) in entries.enumerated() {
            if entry.bundle != 0, let last = jobs.last, last.job.isBundle,
                let first = entries[safe: last.job.files.lowerBound], first.bundle == entry.bundle,
                first.reference == entry.reference
            {
                jobs[jobs.count - 1].job.files = last.job.files.lowerBound..<(position + 1)
                jobs[jobs.count - 1].size += entry.size
            } else {
                let job = RestorePlan.Job(files: position..<(position + 1), isBundle: entry.bundle != 0)
                jobs.append((job, entry.size))
            }
        }
        jobs.sort { ($1.size, $0.job.files.lowerBound) < ($0.size, $1.job.files.lowerBound) }
        return (entries.map(\.index), jobs.map(\.job))
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
