import BackupModel
package import HTTP

/// Where backups lie and what is kept there.
package struct WantedRepository: Sendable, Equatable {
    /// 1 to 4: the engine's number for it, which never changes.
    package var key: Int
    /// The user's name for it.
    package var name: String
    package var location: RepositoryLocation
    package var schedules: [WantedSchedule] = []
    /// A full backup is made as soon as there is none.
    package var beginsWithBackup = false
    /// Full backups that do not count as held; nil: what ``keeping`` says, or all.
    package var retention: Int?
    /// How backups are kept, in options of the engine without `repoN-`: `retention-diff`, `bundle`.
    package var keeping: [String: String] = [:]
    /// Where it is a volume.
    package var volume: RepositoryVolume?
    /// WAL is kept from the oldest held backup on.
    package var keepsArchiveOfHeld = false
    /// Further options of the engine, without `repoN-`: compression, limits.
    package var settings: [String: String] = [:]
    /// Of a backup; nil: none.
    package var timeoutSeconds: Int?
    package var retries = 3
    /// What the status of a backup keeps of this repository, in the words of its dialect.
    package var record: ServiceJSON = [:]
}

/// A repository in the engine's own words: options without the `repoN-` before them.
package struct RepositoryLocation: Sendable, Equatable {
    package var options: [String: String]
    /// Options whose values are in Secrets.
    package var secrets: [String: SecretKey] = [:]
    /// Options that name a file, whose content is in a Secret.
    package var files: [String: SecretKey] = [:]
    /// The claim of a volume that it is on: only the cluster reaches it.
    package var claim: String?

    /// By which two that are written differently are found to be one place.
    /// Of a volume an agent knows the host alone.
    package var identity: String { RepositoryIdentity.text { claim != nil && $0 == "path" ? nil : options[$0] } }

    /// The same, and which volume it is: those of two clusters have the same path.
    package var place: String { identity + (claim.map { "\n\($0) \(options["path"] ?? "")" } ?? "") }

    /// An option whose value does not fit into one line of a file.
    package var unwritable: String? {
        options.sorted { $0.key < $1.key }.first { _, value in
            value.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F } || value.contains(where: \.isNewline)
        }?.key
    }

    package var secretNames: Set<String> {
        Set(secrets.values.map(\.name)).union(files.values.map(\.name))
    }
}

/// A volume that the repository host has, and lends to the agents.
package struct RepositoryVolume: Sendable, Equatable {
    /// Of the claim; it belongs to nobody, so that it outlives the cluster.
    package var claim: String
    /// As the API has it: `spec` of the claim.
    package var spec: ServiceJSON
    package var directory: String
}

/// An entry of a Secret in the cluster's namespace.
package struct SecretKey: Sendable, Hashable, CustomStringConvertible {
    package var name: String
    package var key: String

    package init(name: String, key: String) {
        self.name = name
        self.key = key
    }

    package var description: String { "'\(key)' of Secret '\(name)'" }
}

package struct WantedSchedule: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable, Comparable {
        case full, diff, incr

        private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
        package static func < (one: Kind, other: Kind) -> Bool { one.rank < other.rank }
    }

    package var type: Kind
    /// As it was written; it was read once.
    package var text: String
    package var cron: CronSchedule
    /// Of the tz database; nil is UTC.
    package var timeZone: String?
}
