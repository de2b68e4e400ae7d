package import BackupModel
import RepositoryFormats

/// What a restore with `--delta` or `--force` removes: all that is not in the manifest.
package struct RestoreCleaning: Sendable {
    package struct Removal: Sendable, Equatable {
        package enum Kind: Sendable, Equatable { case file, link, directory, special }
        package var path: String
        package var kind: Kind
    }
    package private(set) var removals: [Removal] = []

    /// Looks at every root of `plan`; follows no links, since what they lead to is a root of its own.
    package init(scanning plan: RestorePlan) throws(BackupError) {
        var keeper = Keeper(plan)
        for root in plan.roots {
            if root.isFile { continue }
            try scan(root.path, name: root.name, &keeper)
        }
    }

    private mutating func scan(_ directory: String, name: String, _ keeper: inout Keeper) throws(BackupError) {
        for entry in try LocalDisk.names(in: directory) ?? [] {
            let path = "\(directory)/\(entry)"
            let entryName = "\(name)/\(entry)"
            guard let status = try LocalDisk.status(path) else { continue }
            switch status.kind {
            case .directory:
                if keeper.keepsDirectory(entryName) {
                    try scan(path, name: entryName, &keeper)
                } else {
                    removals.append(Removal(path: path, kind: .directory))
                }
            case .file:
                if !keeper.keepsFile(entryName) { removals.append(Removal(path: path, kind: .file)) }
            case .link:
                let destination = try LocalDisk.linkDestination(path)
                if !keeper.keepsLink(entryName, to: destination) {
                    removals.append(Removal(path: path, kind: .link))
                }
            case .special:
                removals.append(Removal(path: path, kind: .special))
            }
        }
    }

    /// Carries it out.
    package func run() throws(BackupError) {
        for removal in removals {
            switch removal.kind {
            case .directory: try LocalDisk.removeTree(removal.path)
            default: try LocalDisk.removeFile(removal.path)
            }
        }
    }
}

private struct Keeper {
    let plan: RestorePlan
    let directories: Set<String>
    let links: [String: String]
    let kept: Set<String>

    init(_ plan: RestorePlan) {
        self.plan = plan
        links = Dictionary(plan.manifest.links.map { ($0.name, $0.destination) }) { $1 }
        directories = Set(plan.manifest.paths.map(\.name))
        kept = plan.preserved.union([RestoreExecution.manifestName])
    }

    func keepsDirectory(_ name: String) -> Bool { directories.contains(name) && links[name] == nil }

    func keepsFile(_ name: String) -> Bool {
        if name.hasPrefix("pg_data/"), kept.contains(String(name.dropFirst("pg_data/".count))) { return true }
        // Restored last, from nothing: its absence keeps an unfinished restore from being started.
        if name == "pg_data/global/pg_control" { return false }
        // PostgreSQL would rewrite the tablespace links by it.
        if name == "pg_data/tablespace_map" { return false }
        return links[name] == nil && plan.manifest.files.index(of: name) != nil
    }

    func keepsLink(_ name: String, to destination: String) -> Bool { links[name] == destination }
}
