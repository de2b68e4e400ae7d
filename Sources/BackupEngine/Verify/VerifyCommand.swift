package import BackupModel
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage

/// `verify`: reads repositories back and compares all of it with its checksums. Takes no lock and writes nothing but its
/// own state: backups, archiving and expiry may go on meanwhile.
package struct VerifyCommand: Sendable {
    let context: EngineContext
    let stanza: String
    let set: String?
    /// When the time that it may take is over.
    let deadline: ContinuousClock.Instant?

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
        set = context.configuration.string(.set)
        let budget = context.configuration.duration(.verifyBudget)
        deadline = budget.map { ContinuousClock.now + $0 }
        if set != nil, budget != nil {
            throw BackupError(
                .optionInvalid, "option 'verify-budget' cannot be used with option 'set'",
                hint: "leave one of the two out: a budget is spent on the whole repository, in turns")
        }
        if budget != nil, context.configuration.isSet(.repoTargetTime) {
            throw BackupError(
                .optionInvalid, "option 'verify-budget' cannot be used with option 'repo-target-time'",
                hint: "leave one of the two out: what was read is noted in the repository, and the past takes no notes")
        }
    }

    /// - Parameter deadline: of a budget.
    init(_ context: EngineContext, deadline: ContinuousClock.Instant) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
        set = nil
        self.deadline = deadline
    }

    /// Hands the report to `print`, if one was asked for.
    /// - Throws: `.checksum` or `.fileMissing` when something is damaged, after all that can be read was.
    package func run(print: (String) -> Void) async throws {
        var report = VerifyReport(stanza: stanza)
        var failures: [BackupError] = []
        let workers = WorkerThreads(count: context.configuration.integer(.processMax) ?? 1)
        for repository in context.repositories {
            do throws(BackupError) {
                let found = try await verify(repository, workers)
                report.repositories.append(found)
                if let failure = found.failure(stanza: stanza) { failures.append(failure) }
            } catch {
                if error.code == .terminated { throw error }
                failures.append(error)
            }
        }
        if context.configuration.string(.output) == "text", !report.repositories.isEmpty {
            print(String(VerifyText.text(report, verbose: context.configuration.bool(.verbose)).dropLast()))
        }
        // A set that is in one of several repositories is enough.
        if set != nil, !report.repositories.isEmpty { failures.removeAll { $0.code == .backupSetInvalid } }
        guard let first = failures.first else { return }
        throw failures.count == 1
            ? first
            : BackupError(first.code, failures.map(\.message).joined(separator: "; "), hint: first.hint)
    }

    private func verify(
        _ repository: Repository, _ workers: WorkerThreads
    ) async throws(BackupError) -> VerifyReport.Repository {
        do {
            let run = VerifyRun(context, repository, stanza: stanza, set: set, deadline: deadline, workers: workers)
            return try await run.execute()
        } catch {
            throw BackupError(error, in: repository.name)
        }
    }
}
