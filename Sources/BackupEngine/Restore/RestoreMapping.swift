package import BackupModel
package import RepositoryFormats

/// A sentence for the log, decided by a plan and written when it is carried out.
package struct RestoreNotice: Sendable, Equatable {
    package var isWarning: Bool
    package var text: String
}

/// Puts the targets and links of a manifest where this restore wants them (section C.8.4 of the reference).
package enum RestoreMapping {
    package static func apply(
        _ options: RestoreOptions, to manifest: inout Manifest
    ) throws(BackupError) -> [RestoreNotice] {
        var notices: [RestoreNotice] = []
        for index in manifest.targets.indices where manifest.targets[index].name == "pg_data" {
            if manifest.targets[index].path != options.dataDirectory {
                notices.append(
                    RestoreNotice(isWarning: false, text: "remap data directory to '\(options.dataDirectory)'"))
                manifest.targets[index].path = options.dataDirectory
            }
        }
        try mapTablespaces(options, &manifest, &notices)
        try mapLinks(options, &manifest, &notices)
        if !options.linkAll { dropLinks(options, &manifest, &notices) }
        try check(manifest, options)
        return notices
    }

    private static func mapTablespaces(
        _ options: RestoreOptions, _ manifest: inout Manifest, _ notices: inout [RestoreNotice]
    ) throws(BackupError) {
        let tablespaces = manifest.targets.indices.filter { manifest.targets[$0].tablespaceID != nil }
        var unused = Set(options.tablespaceMap.keys)
        for index in tablespaces {
            let target = manifest.targets[index]
            let id = target.tablespaceID.map(String.init) ?? ""
            let name = target.tablespaceName ?? id
            unused.remove(id)
            unused.remove(name)
            let mapped = options.tablespaceMap[name] ?? options.tablespaceMap[id]
            guard
                let path = mapped ?? options.tablespaceMapAll.map({ "\(LocalDisk.withoutTrailingSlash($0))/\(name)" }),
                path != target.path
            else {
                continue
            }
            guard path.hasPrefix("/") else {
                throw BackupError(.tablespaceMap, "unable to remap tablespace '\(name)' to '\(path)': not absolute")
            }
            notices.append(RestoreNotice(isWarning: false, text: "map tablespace '\(target.name)' to '\(path)'"))
            manifest.targets[index].path = LocalDisk.withoutTrailingSlash(path)
            let link = "pg_data/\(target.name)"
            for index in manifest.links.indices where manifest.links[index].name == link {
                manifest.links[index].destination = LocalDisk.withoutTrailingSlash(path)
            }
        }
        if let wrong = unused.min() {
            let names = tablespaces.map { manifest.targets[$0].tablespaceName ?? manifest.targets[$0].name }
            throw BackupError(
                .tablespaceMap, "unable to remap invalid tablespace '\(wrong)'",
                hint: names.isEmpty
                    ? "the backup has no tablespaces"
                    : "the backup has these tablespaces: " + names.joined(separator: ", "))
        }
    }

    private static func mapLinks(
        _ options: RestoreOptions, _ manifest: inout Manifest, _ notices: inout [RestoreNotice]
    ) throws(BackupError) {
        for (key, value) in options.linkMap.sorted(by: { $0.key < $1.key }) {
            let name = "pg_data/\(key)"
            let present = manifest.targets.firstIndex { $0.name == name }
            let isFile = present.map { manifest.targets[$0].file != nil } ?? (manifest.files.index(of: name) != nil)
            guard !key.hasPrefix("pg_tblspc/"), isFile || manifest.paths.contains(where: { $0.name == name }) else {
                throw BackupError(
                    .linkMap, "unable to remap invalid link '\(key)'",
                    hint: key.hasPrefix("pg_tblspc/")
                        ? "tablespaces are remapped with --tablespace-map"
                        : "the backup has no file or directory of that name in the data directory")
            }
            let destination = LocalDisk.withoutTrailingSlash(value)
            var target = ManifestTarget(name: name, kind: .link, path: destination)
            if isFile {
                target.path = LocalDisk.parent(of: destination)
                target.file = LocalDisk.lastComponent(of: destination)
            }
            notices.append(RestoreNotice(isWarning: false, text: "map link '\(key)' to '\(destination)'"))
            if let present {
                manifest.targets[present] = target
            } else {
                manifest.targets.append(target)
            }
            if let link = manifest.links.firstIndex(where: { $0.name == name }) {
                manifest.links[link].destination = destination
            } else {
                let root = manifest.paths.first { $0.name == "pg_data" }
                manifest.links.append(
                    ManifestLink(name: name, destination: destination, user: root?.user, group: root?.group))
            }
        }
        manifest.targets.sort { $0.name < $1.name }
        manifest.links.sort { $0.name < $1.name }
    }

    /// Without `--link-all` links become what they pointed at.
    private static func dropLinks(
        _ options: RestoreOptions, _ manifest: inout Manifest, _ notices: inout [RestoreNotice]
    ) {
        let dropped = manifest.targets.filter { target in
            target.kind == .link && target.tablespaceID == nil && target.name.hasPrefix("pg_data/")
                && options.linkMap[String(target.name.dropFirst("pg_data/".count))] == nil
        }
        for target in dropped {
            let name = target.name.dropFirst("pg_data/".count)
            notices.append(
                RestoreNotice(
                    isWarning: true,
                    text: target.file == nil
                        ? "contents of directory link '\(name)' will be restored in a directory at the same location"
                        : "file link '\(name)' will be restored as a file at the same location"))
        }
        let names = Set(dropped.map(\.name))
        manifest.targets.removeAll { names.contains($0.name) }
        manifest.links.removeAll { names.contains($0.name) }
    }

    /// No two places may be the same or lie in each other: cleaning one would destroy the other.
    private static func check(_ manifest: Manifest, _ options: RestoreOptions) throws(BackupError) {
        let targets = manifest.targets.map { (target: $0, path: path(of: $0, dataDirectory: options.dataDirectory)) }
        let directories = targets.filter { $0.target.file == nil }.sorted { $0.path < $1.path }
        for (index, outer) in directories.enumerated() {
            for inner in directories[(index + 1)...]
            where inner.path == outer.path || inner.path.hasPrefix(outer.path == "/" ? "/" : outer.path + "/") {
                throw BackupError(
                    .linkDestination,
                    "'\(inner.target.name)' would be restored to '\(inner.path)', which is the same as or lies in"
                        + " '\(outer.path)' of '\(outer.target.name)'",
                    hint: "choose other places with --tablespace-map, --tablespace-map-all or --link-map")
            }
        }
        for file in targets where file.target.file != nil {
            let directory = options.dataDirectory
            if file.path == directory || file.path.hasPrefix(directory + "/") {
                throw BackupError(
                    .linkDestination,
                    "destination '\(file.path)' of link '\(file.target.name)' is in the data directory",
                    hint: "choose another place with --link-map")
            }
        }
    }

    /// The directory that a target stands for. A relative link starts where the link is.
    package static func path(of target: ManifestTarget, dataDirectory: String) -> String {
        guard target.name.hasPrefix("pg_data/"), !target.path.hasPrefix("/") else {
            return LocalDisk.withoutTrailingSlash(target.path)
        }
        let link = "\(dataDirectory)/\(target.name.dropFirst("pg_data/".count))"
        return LocalDisk.resolve(target.path, in: LocalDisk.parent(of: link))
    }
}
