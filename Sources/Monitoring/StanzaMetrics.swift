package import BackupEngine
import BackupModel

/// What was measured of a stanza.
package struct StanzaMeasure: Sendable {
    package var stanza: String
    package var repositories: [RepositoryMeasure]
    /// nil where the server is not on this host.
    package var lag: ArchiveLag?
    /// Of repositories that are directories of this host, by their `N`: bytes of the file system, and those that are free.
    package var volumes: [Int: (size: UInt64, free: UInt64)] = [:]

    package init(stanza: String, repositories: [RepositoryMeasure], lag: ArchiveLag? = nil) {
        self.stanza = stanza
        self.repositories = repositories
        self.lag = lag
    }
}

/// Metrics of stanzas, from what was measured of them.
enum StanzaMetrics {
    /// - Parameter now: seconds since 1970.
    static func families(_ measures: [StanzaMeasure], now: Int64) -> [MetricFamily] {
        var success = MetricFamily(
            "backup_last_success_timestamp_seconds", .gauge, "When the last backup of a type was complete.")
        var age = MetricFamily(
            "backup_last_success_age_seconds", .gauge, "How long ago the last backup of a type was complete.")
        var first = MetricFamily(
            "first_restorable_timestamp_seconds", .gauge, "The earliest moment that can be restored.")
        var last = MetricFamily(
            "last_restorable_timestamp_seconds", .gauge,
            "When the last WAL segment was stored that a restore reaches.")
        var gaps = MetricFamily(
            "wal_gaps", .gauge, "Places behind the start of the newest backup where WAL is missing in the archive.")
        var bytes = MetricFamily("repository_bytes", .gauge, "Stored bytes of backups and WAL.")
        var up = MetricFamily("repository_up", .gauge, "1 when the repository could be read.")
        var size = MetricFamily(
            "repository_volume_bytes", .gauge, "Size of the file system on which the repository is a directory.")
        var free = MetricFamily("repository_volume_free_bytes", .gauge, "Bytes that may still be written there.")
        var segments = MetricFamily("wal_lag_segments", .gauge, "WAL segments that wait to be archived.")
        var waiting = MetricFamily("wal_lag_bytes", .gauge, "Bytes of WAL that wait to be archived.")
        for measure in measures {
            let stanza = [(name: "stanza", value: measure.stanza)]
            for repository in measure.repositories {
                let labels = stanza + [(name: "repo", value: String(repository.key))]
                up.add(repository.failure == nil ? 1 : 0, labels)
                guard repository.failure == nil else { continue }
                for type in BackupType.allCases {
                    guard let time = repository.lastBackups[type] else { continue }
                    success.add(Double(time), labels + [(name: "type", value: type.rawValue)])
                    age.add(Double(max(0, now - time)), labels + [(name: "type", value: type.rawValue)])
                }
                if let time = repository.firstRestorable { first.add(Double(time), labels) }
                if let time = repository.lastRestorable { last.add(Double(time), labels) }
                gaps.add(Double(repository.gaps), labels)
                bytes.add(Double(repository.bytes), labels)
            }
            for (key, space) in measure.volumes.sorted(by: { $0.key < $1.key }) {
                let labels = stanza + [(name: "repo", value: String(key))]
                size.add(Double(space.size), labels)
                free.add(Double(space.free), labels)
            }
            if let lag = measure.lag {
                segments.add(Double(lag.segments), stanza)
                waiting.add(Double(lag.bytes), stanza)
            }
        }
        return [success, age, first, last, segments, waiting, gaps, bytes, size, free, up]
    }
}
