import Foundation

/// A PostgreSQL version whose programs are on this machine. `scripts/bootstrap` installs them all.
package struct PostgresInstallation: Sendable, CustomStringConvertible {
    /// Its major version.
    package let major: Int
    /// The directory of its programs.
    package let binDirectory: String

    /// The major versions that the project tests with.
    package static let majors = [15, 16, 17, 18]

    /// The versions that tests with a table of versions should run on: all of them in CI, where a missing one is a
    /// failure, and elsewhere those that are there.
    package static var majorsToTest: [Int] {
        TestRequirement.isCI ? majors : majors.filter { (try? find($0)) != nil }
    }

    /// All that are installed, oldest first.
    package static var all: [PostgresInstallation] { majors.compactMap { try? find($0) } }

    /// The installation of one major version; throws when it is not there.
    package static func find(_ major: Int) throws -> PostgresInstallation {
        for directory in ["\(cacheDirectory)/postgresql-\(major)/bin", "/usr/lib/postgresql/\(major)/bin"]
        where FileManager.default.isExecutableFile(atPath: "\(directory)/postgres") {
            return PostgresInstallation(major: major, binDirectory: directory)
        }
        throw TestSupportError("PostgreSQL \(major) is not installed: run scripts/bootstrap")
    }

    /// The path of one of its programs, such as `pg_waldump`.
    package func program(_ name: String) -> String { "\(binDirectory)/\(name)" }

    /// Whether its server has the extension amcheck. Our build of 16 is the one that lacks it.
    package var hasAmcheck: Bool { major != 16 }

    package var description: String { "PostgreSQL \(major)" }

    /// Where `scripts/bootstrap` puts what Debian 12 lacks.
    static var cacheDirectory: String {
        ProcessInfo.processInfo.environment["PERMAFROST_CACHE"] ?? "/var/cache/permafrost"
    }
}
