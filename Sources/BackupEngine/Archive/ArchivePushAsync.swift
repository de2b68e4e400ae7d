import BackupModel
import Glibc
import Logging
import RepositoryStorage

/// `archive-push` with `archive-async`, as PostgreSQL calls it: answers from the spool, or has a background process push
/// what is ready and waits for this file.
struct ArchivePushAsync {
    private let context: EngineContext
    private let source: WALSource
    private let spool: ArchiveSpool

    init(_ context: EngineContext, _ source: WALSource) throws(BackupError) {
        self.context = context
        self.source = source
        spool = try ArchiveSpool(context.configuration, .push)
    }

    func run() async throws {
        let name = source.fileName
        do throws(BackupError) {
            try spool.prepare()
            _ = try spool.removeOutdated(name, statusDirectory: "\(source.directory)/archive_status")
            // An error found here is of an earlier run, or of one that still runs: the loop knows which.
            if case .done(let warning)? = try? spool.status(of: name) {
                tell(warning)
                return
            }
        } catch {
            return try await pushWithoutSpool(error.message)
        }
        let wait = BackgroundWait(
            context: context, spool: spool, name: name,
            arguments: context.configuration.arguments(for: .async, parameters: [source.directory]))
        do throws(BackgroundWait.Failure) {
            let warning = try await wait.run(timeout: context.archiveTimeout) { () throws(BackupError) -> String?? in
                switch try spool.status(of: name) {
                case nil: nil
                case .done(let warning)?: .some(warning)
                case .failed(let code, let message)?: throw BackupError(code, message)
                }
            }
            tell(warning)
        } catch {
            switch error {
            case .failed(let error): throw error
            case .noAnswer(let reason): try await pushWithoutSpool(reason)
            case .timeout:
                throw BackupError(
                    .archiveTimeout,
                    "unable to push WAL file '\(name)' to the archive asynchronously after \(context.archiveTimeout.components.seconds) second(s)",
                    hint: "look into the log of the background process, \(context.backgroundLogFile); "
                        + "it may still be at work")
            }
        }
    }

    private func tell(_ warning: String?) {
        if let warning { context.logger.warning("\(warning)") }
        context.logger.notice("pushed WAL file '\(source.fileName)' to the archive asynchronously")
    }

    /// A spool that cannot be used must not stop archiving.
    private func pushWithoutSpool(_ reason: String) async throws {
        let hint =
            "'\(source.fileName)' is pushed synchronously; see to spool directory '\(spool.directory)' "
            + "and to log file '\(context.backgroundLogFile)'"
        context.logger.warning("\(reason)\nHINT: \(hint)")
        try await ArchivePush(context).pushNow()
    }
}
