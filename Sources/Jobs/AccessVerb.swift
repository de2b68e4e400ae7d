/// What a client may do with a stanza, by the words of the option `tls-server-allow`.
package enum AccessVerb: String, CaseIterable, Sendable {
    /// Look at what is there, and at jobs.
    case read
    /// Add backups and WAL; nothing that is there is changed.
    case add
    /// Remove what retention no longer keeps.
    case expire
    /// All of it, and overwrite the cluster by a restore.
    case all
}
