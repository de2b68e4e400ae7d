package enum Command: String, CaseIterable, Sendable {
    /// Ours.
    case agent
    case annotate
    case archiveGet = "archive-get"
    case archivePush = "archive-push"
    case backup
    case check
    /// Ours.
    case completion
    case expire
    case help
    case info
    /// Ours.
    case job
    /// Ours: kubectl's plugin, with options of its own.
    case kubectl
    /// Ours.
    case kubernetesOperator = "operator"
    case manifest
    case repoGet = "repo-get"
    case repoLs = "repo-ls"
    case repoPut = "repo-put"
    case repoRm = "repo-rm"
    case restore
    case server
    case serverPing = "server-ping"
    case stanzaCreate = "stanza-create"
    case stanzaDelete = "stanza-delete"
    case stanzaUpgrade = "stanza-upgrade"
    case start
    case stop
    /// Ours.
    case tls
    case verify
    case version
}

/// As whom a command runs: `archive-push:async` is what `archive-push` starts in the background.
package enum CommandRole: String, Sendable {
    case main
    case async
}

extension Command {
    /// Those that can be told on the command line.
    var roles: [CommandRole] { self == .archivePush || self == .archiveGet ? [.main, .async] : [.main] }
}
