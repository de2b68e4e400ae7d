package import BackupModel
import PostgresFormats
package import RepositoryFormats

/// Databases whose relations are restored without content: `--db-include` and `--db-exclude` (section C.8.9 of the
/// reference).
package struct SelectiveRestore: Sendable {
    /// Databases, by oid, that are left out.
    package private(set) var leftOut: Set<UInt32> = []
    package private(set) var notices: [RestoreNotice] = []
    private let tablespaceDirectory: String

    /// The first oid that PostgreSQL gives to what users make.
    private static let firstUserID: UInt32 = 16384
    private static let systemNames: Set<String> = ["postgres", "template0", "template1"]

    /// Throws `.databaseMissing` for a database that the backup does not have, `.databaseInvalid` for one that cannot
    /// be included, `.format` for a backup without databases.
    package init(_ manifest: Manifest, _ options: RestoreOptions) throws(BackupError) {
        let version = manifest.database.version
        tablespaceDirectory = version.tablespaceDirectory(catalogVersion: manifest.database.catalogVersion)
        guard !options.databaseInclude.isEmpty || !options.databaseExclude.isEmpty else { return }

        var system: Set<UInt32> = []
        var all: Set<UInt32> = []
        for database in manifest.databases
        where Self.systemNames.contains(database.name) || database.id < Self.firstUserID {
            system.insert(database.id)
            all.insert(database.id)
        }
        for index in 0..<manifest.files.count {
            let name = manifest.files.name(index)
            guard name.hasSuffix("/PG_VERSION"), let id = databaseID(of: name) else { continue }
            if id < Self.firstUserID { system.insert(id) }
            all.insert(id)
        }
        guard !all.isEmpty else {
            throw BackupError(
                .format, "no databases found for selective restore", hint: "is this a valid cluster?")
        }

        var excluded: Set<UInt32> = []
        for text in options.databaseExclude { excluded.insert(try Self.id(text, manifest, all, "exclude")) }
        var included: Set<UInt32> = []
        for text in options.databaseInclude {
            let id = try Self.id(text, manifest, all, "include")
            guard !system.contains(id) else {
                throw BackupError(
                    .databaseInvalid, "system databases (template0, postgres, etc.) are included by default",
                    hint: "remove --db-include=\(text)")
            }
            guard !excluded.contains(id) else {
                throw BackupError(.databaseInvalid, "database to include '\(text)' is in the exclude list")
            }
            included.insert(id)
        }
        leftOut = excluded
        if !included.isEmpty { leftOut.formUnion(all.subtracting(system).subtracting(included)) }

        guard !leftOut.isEmpty else {
            notices.append(
                RestoreNotice(isWarning: false, text: "nothing to filter - all user databases have been selected"))
            return
        }
        let names = leftOut.sorted().map { id in
            manifest.databases.first { $0.id == id }.map { "\($0.name) (\(id))" } ?? "\(id)"
        }
        notices.append(
            RestoreNotice(
                isWarning: false,
                text: "databases restored without content: \(names.joined(separator: ", ")); they must be dropped"
                    + " after recovery"))
    }

    /// Whether a file keeps its size and gets no content.
    package func leavesOut(_ name: String) -> Bool {
        guard !leftOut.isEmpty, !name.hasSuffix("/PG_VERSION"), let id = databaseID(of: name) else { return false }
        return leftOut.contains(id)
    }

    private static func id(
        _ text: String, _ manifest: Manifest, _ all: Set<UInt32>, _ verb: String
    ) throws(BackupError) -> UInt32 {
        if let id = UInt32(text), all.contains(id) { return id }
        guard let id = manifest.databases.first(where: { $0.name == text })?.id, all.contains(id) else {
            let names = manifest.databases.filter { all.contains($0.id) }.map(\.name).sorted()
            throw BackupError(
                .databaseMissing, "database to \(verb) '\(text)' does not exist",
                hint: "backup set \(manifest.label) has: \(names.joined(separator: ", "))")
        }
        return id
    }

    /// `pg_data/base/<oid>/…` and `pg_tblspc/<tablespace>/<PG_…>/<oid>/…`.
    private func databaseID(of name: String) -> UInt32? {
        var rest = name.utf8[...]
        func next() -> Substring.UTF8View? {
            guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return nil }
            defer { rest = rest[rest.index(after: slash)...] }
            return rest[..<slash]
        }
        guard let root = next() else { return nil }
        if root.elementsEqual("pg_data".utf8) {
            guard let base = next(), base.elementsEqual("base".utf8) else { return nil }
        } else {
            guard root.elementsEqual("pg_tblspc".utf8), next() != nil, let directory = next(),
                directory.elementsEqual(tablespaceDirectory.utf8)
            else { return nil }
        }
        return next().flatMap { UInt32(Substring($0)) }
    }
}
