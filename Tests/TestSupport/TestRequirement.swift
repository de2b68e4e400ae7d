import Foundation
package import Testing

/// Something a test cannot do without.
package enum TestRequirement: Sendable {
    /// A PostgreSQL of this major version.
    case postgres(Int)
    /// A pgBackRest of this version, `2.45` or `2.55`.
    case pgBackRest(String)
    /// Our own program, built.
    case permafrost

    /// Why it is not met, or nil when it is.
    package var missing: String? {
        do {
            switch self {
            case .postgres(let major): _ = try PostgresInstallation.find(major)
            case .pgBackRest(let version): _ = try PgBackRest.executable(version: version)
            case .permafrost: _ = try PermafrostPrograms.locate()
            }
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Whether this run is CI's, where a test without its needs must fail and not be skipped.
    package static var isCI: Bool {
        ["true", "1"].contains(ProcessInfo.processInfo.environment["CI"] ?? "")
    }

    /// Whether every row of every table is run, as `make test-all` has it.
    package static var runsAll: Bool { ProcessInfo.processInfo.environment["PERMAFROST_ALL"] == "1" }

    /// Whether a test with these needs should run: when they are met, and always in CI, so that the fixture then fails.
    package static func required(_ requirements: [TestRequirement]) -> Bool {
        isCI || requirements.allSatisfy { $0.missing == nil }
    }
}

extension Trait where Self == ConditionTrait {
    /// Skips the test, with the reason, where something it needs is missing; in CI the test runs and fails instead.
    package static func requires(_ requirements: TestRequirement...) -> Self {
        let reasons = requirements.compactMap(\.missing).joined(separator: "; ")
        let runs = TestRequirement.required(requirements)
        return .enabled(if: runs, Comment(rawValue: reasons))
    }
}
