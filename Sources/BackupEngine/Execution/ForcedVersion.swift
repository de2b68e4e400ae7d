package import BackupModel
import PostgresFormats

extension Configuration {
    /// Runs `body` with `pg_control` and WAL headers read as the version that `pg-version-force` names, if it does.
    /// Throws `.optionInvalidValue` for a version whose files we do not know.
    package func withForcedVersion<Result>(_ body: () async throws -> Result) async throws -> Result {
        guard let text = string(.pgVersionForce) else { return try await body() }
        guard let version = PostgresVersion(text), version.hasKnownLayout else {
            throw BackupError(
                .optionInvalidValue, "'\(text)' is not allowed for 'pg-version-force' option",
                hint: "give the major version of a PostgreSQL that is supported, such as 17")
        }
        return try await PostgresVersion.$forced.withValue(version) { try await body() }
    }
}
