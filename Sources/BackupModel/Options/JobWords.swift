/// `job COMMAND`: what is asked of another host. Its options are those of the command line that the command has; what
/// the configuration of this host says is none of that host's.
package struct JobWords: Sendable, Equatable {
    package let command: Command
    package let options: [Configuration.Given]
}

/// What else may follow `job`: it is about jobs that are there.
package enum JobAction: String, CaseIterable, Sendable {
    case list
    case show, follow, cancel

    /// The number of words that must come after it.
    var parameters: Int { self == .list ? 0 : 1 }
}
