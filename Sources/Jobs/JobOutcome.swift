import BackupModel
import Glibc
import HTTP
import Logging
import RepositoryStorage
import Telemetry

extension JobResult {
    /// Of how the process ended and what its log says. Who did not wait for it has the log alone.
    init(_ record: JobRecord, _ end: ProcessEnd, _ facts: JobLogFacts, isCancelled: Bool, stop: Int64) {
        let command = record.request.command.command.rawValue
        let ending: ProcessEnd =
            if end == .unknown, let code = facts.exitCode { .exited(code) } else { end }
        let broken: JobEnd = isCancelled ? .cancelled : .failed
        switch ending {
        case .exited(0):
            self.init(record, end: .completed, exitCode: 0, stop: stop)
            restored = facts.restored
        case .exited(let code):
            let error = facts.error(
                ErrorCode(rawValue: code), otherwise: "\(command) ended with exit code \(code) and without an error")
            self.init(record, end: broken, exitCode: code, error: error, stop: stop)
        case .killed(let signal):
            let error = BackupError(
                isCancelled ? .terminated : .execute,
                "\(command) was killed by signal \(signal)" + (facts.other.isEmpty ? "" : ": \(facts.other)"))
            self.init(record, end: broken, exitCode: error.code.rawValue, error: error, stop: stop)
        case .unknown:
            let error = BackupError(
                isCancelled ? .terminated : .unknown,
                "\(command) ended while nobody watched it, and its log does not say how",
                hint: "'info' shows whether there is a new backup; the log of the host says more")
            self.init(
                record, end: isCancelled ? .cancelled : .lost, exitCode: error.code.rawValue, error: error, stop: stop)
        }
    }
}

extension JobRunner {
    private static let infoSize = 16 << 20

    /// What `info` says of a new backup; nil when it cannot be had, which takes nothing from the backup.
    func info(_ record: JobRecord, _ label: String) async -> ServiceJSON? {
        let path = store.infoPath(record.id)
        let outcome = await OwnThread.run { [self] in
            Result { () throws(BackupError) in
                let output = try store.openForProgram(path)
                defer { close(output) }
                return try ChildProcess(
                    options.program,
                    options.words + logWords(.off) + [
                        "--\(OptionName.stanza.rawValue)=\(record.request.stanza)",
                        "--\(OptionName.set.rawValue)=\(label)", "--\(OptionName.output.rawValue)=json",
                        Command.info.rawValue,
                    ], output: output, log: -1)
            }
        }
        let end: ProcessEnd
        do throws(BackupError) {
            let process = try outcome.get()
            let limit = Task { [options] in
                try await Task.sleep(for: options.infoLimit)
                _ = process.signal(SIGKILL, toGroup: true)
            }
            end = await process.end()
            limit.cancel()
        } catch {
            logger.warning("backup '\(label)' is not described in the result of job \(record.id): \(error.message)")
            return nil
        }
        let bytes = await OwnThread.run {
            defer { _ = try? LocalFile.remove(path) }
            return try? LocalFile.readAll(path, limit: Self.infoSize)
        }
        guard end == .exited(0), let stanza = bytes.flatMap({ ServiceJSON($0) })?.elements.first else {
            logger.warning("backup '\(label)' is not described in the result of job \(record.id): info failed")
            return nil
        }
        return stanza
    }
}
