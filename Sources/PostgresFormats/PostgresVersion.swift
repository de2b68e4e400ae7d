/// A major version of PostgreSQL.
package struct PostgresVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// `server_version_num` of the major: 90600, 100000, … 180000.
    package let number: Int

    package init(number: Int) { self.number = number }
    package static func < (left: PostgresVersion, right: PostgresVersion) -> Bool { left.number < right.number }

    /// From `9.6` or `15`, the text in repositories. Versions of which we know no more than the name are read too: a
    /// repository's history may name what it was upgraded from.
    package init?(_ text: some StringProtocol) {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count <= 2, let first = parts.first, let major = Self.component(first) else { return nil }
        if parts.count == 1 {
            guard major >= 10 else { return nil }
            number = major * 10000
        } else {
            guard major < 10, major > 0, let minor = Self.component(parts[1]) else { return nil }
            number = major * 10000 + minor * 100
        }
    }

    /// The major version of a `server_version_num`.
    package init(serverVersionNumber: Int) {
        number = serverVersionNumber - serverVersionNumber % (serverVersionNumber >= 100_000 ? 10000 : 100)
    }

    package var description: String {
        number >= 100_000 ? "\(number / 10000)" : "\(number / 10000).\(number / 100 % 100)"
    }

    /// Versions of which we take backups: 13 to 18. Others can be read in a repository and restored.
    package var isSupported: Bool { number >= 130_000 && number < 190_000 }

    /// Whether we know how this version lays its files out.
    package var hasKnownLayout: Bool { VersionLayout.find(self) != nil }

    /// What `pg_control` and WAL headers are read as within one run, whatever numbers they carry (`pg-version-force`):
    /// for builds of PostgreSQL that have numbers of their own.
    @TaskLocal package static var forced: PostgresVersion?

    /// `pg_wal`, or `pg_xlog` before 10.
    package var walDirectory: String { number >= 100_000 ? "pg_wal" : "pg_xlog" }

    /// The commit log: `pg_xact`, or `pg_clog` before 10.
    package var transactionDirectory: String { number >= 100_000 ? "pg_xact" : "pg_clog" }

    /// By both numbers of pg_control; nil when it is none that we know.
    package init?(controlVersion: UInt32, catalogVersion: UInt32) {
        guard let layout = VersionLayout.find(controlVersion: controlVersion, catalogVersion: catalogVersion) else {
            return nil
        }
        self = layout.version
    }

    /// `PG_15_202209061`: where a tablespace keeps the files of one version.
    package func tablespaceDirectory(catalogVersion: UInt32) -> String { "PG_\(self)_\(catalogVersion)" }

    /// One or two digits without a leading zero.
    private static func component(_ digits: some Collection<UInt8>) -> Int? {
        guard (1...2).contains(digits.count), digits.first != UInt8(ascii: "0") || digits.count == 1 else { return nil }
        var value = 0
        for digit in digits {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return value
    }
}
