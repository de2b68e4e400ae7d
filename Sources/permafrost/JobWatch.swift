import BackupModel
import HTTP
import Jobs
import Logging
import Telemetry

/// Shows here what a job on another host logs and prints.
struct JobWatch {
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    /// - Parameter patience: how long the host may be out of reach; nil for as long as a job is worth.
    func client(_ host: HostAddress, patience: Duration? = nil) throws(BackupError) -> JobClient {
        var options = JobClient.Options()
        if let patience { options.patience = patience }
        options.notice = { [logger] in logger.warning("\($0)") }
        return JobClient(try host.transport(), host.origin, options)
    }

    /// Starts a job and follows it to its end. It is cancelled when this task is.
    func run(_ request: JobRequest, on host: HostAddress) async throws -> JobResult {
        try await client(host).run(request, cancelsWithTask: true, watcher) { [logger] id in
            logger.notice("job \(id) on \(host.origin.authority)")
        }
    }

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
