package import BackupModel

/// A command that may be asked for over the network, and what a client may say of it.
///
/// A list of what is allowed, not of what is not: an option that is added to the program is none of a client's until it
/// is put here. None of these names a path, a host, a program, a configuration file or a secret of the host that runs
/// the job, or text that PostgreSQL runs (`recovery-option`); nor do they switch off what proves a backup good.
package struct JobCommand: Sendable, Equatable {
    package let command: Command
    /// What a client must be allowed to do with the stanza.
    package let verb: AccessVerb
    package let options: [OptionName]

    /// Whether it runs beside PostgreSQL only; a repository host runs the others.
    package var needsCluster: Bool {
        switch command {
        case .annotate, .expire, .info, .verify: false
        default: true
        }
    }

    package static let all: [JobCommand] = [
        JobCommand(
            .backup, .add,
            [
                .annotation, .archiveCopy, .archiveTimeout, .backupStandby, .checksumPage, .compressLevel,
                .compressType, .delta, .expireAuto, .processMax, .rateLimitDisk, .rateLimitNetwork, .repo, .resume,
                .startFast, .type,
            ]),
        JobCommand(
            .restore, .all,
            [
                .archiveMode, .dbExclude, .dbInclude, .delta, .dryRun, .force, .inPlace, .output, .processMax,
                .rateLimitDisk, .rateLimitNetwork, .repo, .set, .startTimeout, .target, .targetAction, .targetExclusive,
                .targetTimeline, .type,
            ]),
        JobCommand(.annotate, .expire, [.annotation, .repo, .set]),
        JobCommand(.check, .read, [.archiveTimeout, .backupStandby]),
        JobCommand(.stanzaCreate, .add, []),
        JobCommand(.stanzaUpgrade, .add, []),
        JobCommand(.expire, .expire, [.dryRun, .force, .oldest, .output, .repo, .set]),
        JobCommand(.verify, .read, [.output, .processMax, .rateLimitNetwork, .repo, .set, .verbose, .verifyBudget]),
        JobCommand(.info, .read, [.detailLevel, .output, .repo, .set, .type]),
    ]

    package static func named(_ name: String) -> JobCommand? { all.first { $0.command.rawValue == name } }

    private init(_ command: Command, _ verb: AccessVerb, _ options: [OptionName]) {
        self.command = command
        self.verb = verb
        self.options = options
    }
}
