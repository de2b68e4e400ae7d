package enum Command: String, CaseIterable, Sendable {
    case annotate
    case archiveGet = "archive-get"
    case archivePush = "archive-push"
    case backup
    case check
    case expire
    case help
    case info
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
    case verify
    case version
}
