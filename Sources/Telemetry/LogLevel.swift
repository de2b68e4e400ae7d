package import Logging

/// How much is logged, with the names of the options `log-level-…`, from nothing to everything.
package enum LogLevel: String, CaseIterable, Comparable, Sendable {
    case off, error, warn, info, detail, debug, trace

    /// The level of a message of a `Logger`. We log `info` as `notice` and `detail` as `info`.
    package init(_ level: Logger.Level) {
        self =
            switch level {
            case .critical, .error: .error
            case .warning: .warn
            case .notice: .info
            case .info: .detail
            case .debug: .debug
            case .trace: .trace
            }
    }

    /// The least important level that a logger must let pass; nil when nothing is logged.
    var loggerLevel: Logger.Level? {
        switch self {
        case .off: nil
        case .error: .error
        case .warn: .warning
        case .info: .notice
        case .detail: .info
        case .debug: .debug
        case .trace: .trace
        }
    }

    package static func < (left: LogLevel, right: LogLevel) -> Bool { left.rank < right.rank }

    private var rank: Int {
        switch self {
        case .off: 0
        case .error: 1
        case .warn: 2
        case .info: 3
        case .detail: 4
        case .debug: 5
        case .trace: 6
        }
    }
}

/// The option `log-format`.
package enum LogFormat: String, CaseIterable, Sendable {
    /// pgBackRest's lines.
    case text
    /// One object per line: `ts`, `level`, `logger`, `msg`, then the facts.
    case json
}

/// Facts that text lines show too.
package enum LogFact {
    /// A number under which the work is known: `P01`. Without it, `P00`.
    package static let process = "process"
    /// An error's exit code: `[055]: `.
    package static let code = "code"
    /// What a restore has restored, as an object: in one line, when it is done.
    package static let restored = "restored"
}
