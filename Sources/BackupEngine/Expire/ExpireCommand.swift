package import BackupModel
import Logging
import RepositoryFormats
import RepositoryStorage
import Synchronization

/// `expire`: removes backups that the retention does not keep, then WAL that no kept backup needs.
///
/// For each repository all is planned before anything is removed; with `--dry-run` the plan is printed and nothing is
/// written.
package struct ExpireCommand: Sendable {
    private let context: EngineContext
    private let stanza: String
    private let request: ExpireRequest
    private let isDryRun: Bool
    private let isJSON: Bool
    private let print: @Sendable (String) -> Void

    /// - Parameter print: takes what goes to standard output: lines without their last newline.
    /// - Throws: `.optionInvalidValue` when the set is no label or the segment none, `.optionInvalid` for options that
    ///   exclude each other.
    package init(
        _ context: EngineContext, print: @Sendable @escaping (String) -> Void = { _ in }
    ) throws(BackupError) {
        self.context = context
        self.print = print
        stanza = try context.stanza()
        request = try ExpireRequest(context.configuration)
        isDryRun = context.configuration.bool(.dryRun)
        isJSON = context.configuration.command == .expire && context.configuration.string(.output) == "json"
    }

    /// Tries every repository; throws `.command` at the end when one of several failed.
    package func run() async throws {
        let plans = Mutex<[RepositoryExpirePlan]>([])
        do {
            try await CommandLocks.inEachRepository(context) { repository in
                guard let plan = try await expire(repository) else { return }
                plans.withLock { $0.append(plan) }
            }
        } catch {
            finish(plans.withLock { $0 })
            throw error
        }
        let found = plans.withLock { $0 }
        finish(found)
        if let set = request.set, found.isEmpty {
            throw BackupError(.backupSetInvalid, "backup '\(set)' does not exist", hint: "'info' lists the backups")
        }
    }

    private func finish(_ plans: [RepositoryExpirePlan]) {
        if isJSON { print(ExpireJSON.text(plans, stanza: stanza)) }
    }

    private func expire(_ repository: Repository) async throws(BackupError) -> RepositoryExpirePlan? {
        let planner = ExpirePlanner(context: context, repository: repository, stanza: stanza, request: request)
        guard let plan = try await planner.plan() else { return nil }
        for spared in plan.spared {
            guard case .unreadable(let reason) = spared.reason else { continue }
            context.logger.warning(
                "\(repository.name): backup directory \(spared.label) is kept, its manifest cannot be read: \(reason)")
        }
        let lines = ExpireText.lines(plan)
        if isDryRun {
            if !isJSON { print(lines.joined(separator: "\n")) }
            return plan
        }
        for line in lines { context.logger.notice("\(line)") }
        if let set = request.set, plan.info.backups.last.map({ $0.label < set }) ?? true {
            context.logger.warning(
                "\(repository.name): the newest backup goes: where archive retention is below the backups', WAL since the older ones may be gone, and they cannot be recovered to a later time"
            )
        }
        try await ExpireExecution(context: context, repository: repository, stanza: stanza).run(plan)
        return plan
    }
}
