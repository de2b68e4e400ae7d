import Foundation

/// pgBackRest, the referee, on a test's repositories.
package struct PgBackRest: BackupTool {
    /// Its version, `2.45` or `2.55`.
    package let version: String
    package let executable: String
    package let layout: RepositoryLayout

    /// The versions that the project tests with.
    package static let versions = ["2.45", "2.55"]

    /// pgBackRest of this version.
    package init(version: String, layout: RepositoryLayout) throws {
        self.version = version
        self.layout = layout
        executable = try Self.executable(version: version)
    }

    /// The pgBackRest for a major version of PostgreSQL: 2.45 up to 15, which it knows; 2.55 for later ones.
    package static func forPostgres(_ major: Int, layout: RepositoryLayout) throws -> PgBackRest {
        try PgBackRest(version: versionForPostgres(major), layout: layout)
    }

    /// The version that `forPostgres` takes.
    package static func versionForPostgres(_ major: Int) -> String { major <= 15 ? "2.45" : "2.55" }

    /// The path of pgBackRest of this version; throws when it is not there.
    package static func executable(version: String) throws -> String {
        let path =
            version == "2.45"
            ? "/usr/bin/pgbackrest" : "\(PostgresInstallation.cacheDirectory)/pgbackrest-\(version)/bin/pgbackrest"
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw TestSupportError("pgBackRest \(version) is not installed: run scripts/bootstrap")
        }
        return path
    }

    package func with(_ layout: RepositoryLayout) -> PgBackRest {
        PgBackRest(version: version, executable: executable, layout: layout)
    }

    package var description: String { "pgBackRest \(version)" }

    private init(version: String, executable: String, layout: RepositoryLayout) {
        self.version = version
        self.executable = executable
        self.layout = layout
    }
}
