import HTTP
package import KubernetesClient

/// What another cluster begins with: a backup, and the WAL after it.
package struct WantedRestore: Sendable, Equatable {
    package var source: Source
    /// Of the backup; nil: the engine finds the one for the target.
    package var label: String?
    package var target = RestoreTarget(.default)
    /// Options of the engine: `process-max`.
    package var settings: [String: String] = [:]
    /// Further ones for the command, as a user wrote them; the target is among them where ``label`` is nil.
    package var options: [(name: String, value: String)] = []
    package var stanza = OperatorNames.stanza
    /// What is told of it.
    package var description = ""
    /// What the source has come to; nil before it was looked for.
    package var found: FoundSource?

    package enum Source: Sendable, Equatable {
        case place(SourcePlace)
        case cluster(SourceCluster)
    }

    package static func == (one: WantedRestore, other: WantedRestore) -> Bool {
        one.source == other.source && one.label == other.label && one.target == other.target
            && one.settings == other.settings && one.stanza == other.stanza && one.description == other.description
            && one.found == other.found && one.options.count == other.options.count
            && zip(one.options, other.options).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    }
}

/// A place that a store has, whoever wrote there.
package struct SourcePlace: Sendable, Equatable {
    package var location: RepositoryLocation
    /// The engine's number for it, with which options of users begin.
    package var key = 1
    /// What users add to the engine's configuration to get there; nil where a dialect has no such thing.
    package var files: UserFiles?
}

/// A repository of a cluster that lives, or what has outlived one.
package struct SourceCluster: Sendable, Equatable {
    package var key: ObjectKey
    package var repository: Int
    /// Of the volume that the repository is on, if it is on one.
    package var claim: String
}

/// How the source is reached, when all that can be checked was checked.
package struct FoundSource: Sendable, Equatable {
    /// The engine's number of the repository.
    package var key: Int
    /// Configuration; nil: the cluster's own has it.
    package var text: String?
    /// What of it is secret.
    package var secretText = "[global]\n"
    /// By name.
    package var files: [String: [UInt8]] = [:]
    /// A volume that the cluster's own repository host lends until the cluster has begun.
    package var claim: String?
    /// What of users' files is left out.
    package var faults: [Refusal] = []
}

/// A cluster follows another by the archive of that one, and writes nothing there.
package struct WantedStandby: Sendable, Equatable {
    /// The repository that both have.
    package var repository: Int
    /// It is to become a cluster of its own.
    package var isToEnd: Bool
    /// Why not yet.
    package var hold: Refusal?
    /// It was written down that it is promoted: from then on nothing holds it.
    package var isDecided = false
    /// The newest segment in the archive, and when it was first seen there, in seconds since 1970.
    package var lastSegment: String?
    package var lastTime: Int64?

    /// Seconds in which nobody may have archived anything before it is promoted: whoever still writes does so once in
    /// ``DatabaseCluster/archiveTimeout``, unless nothing happens there.
    static let silence: Int64 = 90

    package init(repository: Int, isToEnd: Bool) {
        self.repository = repository
        self.isToEnd = isToEnd
    }

    var isFollowing: Bool { !isToEnd || hold != nil }
}

/// Where recovery ends.
package struct RestoreTarget: Sendable, Equatable {
    package enum Kind: String, Sendable {
        /// All WAL that there is.
        case `default`
        case immediate, time, xid, lsn, name
    }

    package var kind: Kind
    package var value: String?
    /// Nil: the latest.
    package var timeline: String?
    /// False: just before the target.
    package var isInclusive = true

    package init(_ kind: Kind, _ value: String? = nil, timeline: String? = nil, isInclusive: Bool = true) {
        self.kind = kind
        self.value = value
        self.timeline = timeline
        self.isInclusive = isInclusive
    }
}
