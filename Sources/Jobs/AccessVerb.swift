/// What a client may do with a stanza, by the words of the option `tls-server-allow`; each holds those before it.
package enum AccessVerb: String, CaseIterable, Comparable, Sendable {
    /// Reads everything of the stanza, and its jobs.
    case read
    /// Also adds to it: archives WAL, takes backups. What is complete can neither be changed nor removed.
    case add
    /// Also removes backups and WAL, and changes annotations.
    case expire
    /// Also deletes the stanza, writes anywhere in it, and overwrites the cluster by a restore.
    case all

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }

    package static func < (one: AccessVerb, other: AccessVerb) -> Bool { one.rank < other.rank }
}
