import BackupModel
import Jobs
import Logging
import Telemetry

/// What a job says, said here.
struct JobOutput {
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    var watcher: JobClient.Watcher {
        JobClient.Watcher(
            line: { [logger] line in logger.log(level: Self.level(line.level), "\(line.message)") },
            output: { bytes throws(BackupError) in print(String(decoding: bytes, as: UTF8.self), terminator: "") })
    }

    /// A name for a request that its caller gave none: made again, it is the same job.
    static func newKey(_ configuration: Configuration) -> String {
        "\(configuration.string(.execId) ?? "")-\(UInt64.random(in: 0 ... .max))"
    }

    /// What a job logs as `info` is logged so here.
    private static func level(_ level: LogLevel?) -> Logger.Level {
        switch level {
        case .error: .error
        case .warn: .warning
        case .detail: .info
        case .debug: .debug
        case .trace: .trace
        default: .notice
        }
    }
}
