import HTTP
package import KubernetesClient

/// A cluster with all that its objects say of its backups. A value: made of objects and a clock, asked nothing else.
/// Times are seconds since 1970.
package struct ClusterOverview: Sendable, Equatable {
    package struct Repository: Sendable, Equatable {
        /// `repo1`.
        package var name: String
        /// The object that says where it is.
        package var storage: String?
        /// `s3 bucket/path`; never with credentials.
        package var place: String?
        /// nil: nobody has looked yet.
        package var isReady: Bool?
        package var reason = ""
        package var message = ""
        package var firstRestorable: Int64?
        package var lastRestorable: Int64?
        package var backups: Int?
        package var size: Int64?
        /// The newest, by its name in the repository.
        package var newest: String?
    }

    package enum Archiving: Sendable, Equatable {
        case off(String)
        case unknown(String)
        case working(segment: String?, time: Int64?)
        case failing(segment: String?, time: Int64?, message: String)
    }

    package enum Progress: String, Sendable {
        case waiting, running, complete, failed

        package var isOver: Bool { self == .complete || self == .failed }
    }

    package struct Backup: Sendable, Equatable {
        package var name: String
        /// In the repository.
        package var label: String?
        /// `repo1`.
        package var repository: String?
        package var type: String?
        package var progress: Progress
        package var size: Int64?
        package var created: Int64
        package var end: Int64?
        /// Where it becomes consistent.
        package var stopLSN: UInt64?
        package var major: Int?
        /// Of a cluster before this one, which had its name.
        package var isOfAnother = false
        package var isBeingDeleted = false
        /// Why it failed, or what it waits for.
        package var error: String?
    }

    package struct Restore: Sendable, Equatable {
        package var name: String
        package var progress: Progress
        package var stage: String?
        package var target: String?
        package var created: Int64
        package var error: String?
    }

    package struct Schedule: Sendable, Equatable {
        package var repository: String
        package var type: String
        package var text: String
        package var zone: String
        package var next: Int64?
        /// Why there is no next.
        package var fault: String?
    }

    package var kind: ClusterKind
    package var namespace: String
    package var name: String
    /// One word.
    package var state: String
    /// Sentences: what is wrong with it.
    package var troubles: [String] = []
    package var version: String?
    package var podsReady: Int?
    package var podsWanted: Int?
    package var primary: String?
    package var repositories: [Repository] = []
    package var archiving: Archiving
    /// The newest first.
    package var backups: [Backup] = []
    package var restores: [Restore] = []
    package var schedules: [Schedule] = []
    /// Fields of the manifest, with why nothing comes of them.
    package var unsupported: [String] = []

    /// - Parameters:
    ///   - backups, restores: of the namespace; those of other clusters are left out.
    ///   - storages: what the cluster may name for its repositories, by name.
    ///   - zones: nil for a zone that is not known.
    package init(
        _ kind: ClusterKind, _ cluster: KubernetesObject, backups: [KubernetesObject],
        restores: [KubernetesObject] = [], storages: [String: KubernetesObject] = [:], now: Int64,
        zones: @escaping (String?) -> TimeZone?
    ) {
        switch kind {
        case .stackGres: self = StackGresReading(cluster, storages, now, zones).overview(backups)
        case .percona: self = PerconaReading(cluster, now, zones).overview(backups, restores)
        }
        if cluster.isBeingDeleted { state = "being deleted" }
        let going = Set(backups.filter(\.isBeingDeleted).map(\.name))
        for place in self.backups.indices {
            self.backups[place].isBeingDeleted = going.contains(self.backups[place].name)
            self.backups[place].isOfAnother = self.backups[place].created < cluster.creationTime ?? 0
        }
        self.backups.sort { ($0.created, $0.name) > ($1.created, $1.name) }
        self.restores.sort { ($0.created, $0.name) > ($1.created, $1.name) }
    }

    init(_ kind: ClusterKind, _ object: KubernetesObject, archiving: Archiving) {
        self.kind = kind
        self.archiving = archiving
        namespace = object.namespace ?? ""
        name = object.name
        state = "unknown"
    }

    /// `SGCluster demo/shop`.
    package var title: String { "\(kind.clusters.kind) \(namespace)/\(name)" }
}

/// Conditions of a status, as both kinds of clusters have them.
struct ReadConditions {
    private let list: [ServiceJSON]

    init(_ object: KubernetesObject) { list = object["status", "conditions"]?.elements ?? [] }

    private func find(_ type: String) -> ServiceJSON? { list.first { $0["type"]?.string == type } }

    func state(_ type: String) -> Condition.State? {
        find(type)?["status"]?.string.flatMap(Condition.State.init(rawValue:))
    }

    func reason(_ type: String) -> String? { find(type)?["reason"]?.string }

    /// nil for none and for an empty one.
    func message(_ type: String) -> String? {
        guard let text = find(type)?["message"]?.string, !text.isEmpty else { return nil }
        return text
    }

    /// What of these is not as it should be, in sentences, none twice.
    func troubles(_ types: [String]) -> [String] {
        var found: [String] = []
        for type in types {
            guard let state = state(type), state != (type == "Failed" ? .no : .yes),
                let text = message(type) ?? reason(type), !found.contains(text)
            else { continue }
            found.append(text)
        }
        return found
    }

    var unsupported: [String] {
        guard state("Unsupported") == .yes, let text = message("Unsupported") else { return [] }
        return text.split(separator: "; ").map(String.init)
    }
}

extension ServiceJSON {
    /// Of a member that is a time.
    func time(_ path: String...) -> Int64? { self[path]?.string.flatMap(ServiceTime.parseISO8601) }

    /// Of a member that is text and not empty.
    func word(_ path: String...) -> String? {
        guard case .text(let text)? = self[path], !text.isEmpty else { return nil }
        return text
    }

    /// Of a member that is a whole number.
    func count(_ path: String...) -> Int64? { self[path]?.string.flatMap { Int64($0) } }
}

extension ClusterOverview.Schedule {
    /// - Parameter zone: nil for UTC.
    init(
        _ repository: String, _ type: String, _ text: String, zone: String?, now: Int64, zones: (String?) -> TimeZone?
    ) {
        self.init(repository: repository, type: type, text: text, zone: zone ?? "UTC")
        do throws(CronSchedule.Fault) {
            let cron = try CronSchedule(text)
            guard let known = zones(zone) else {
                fault = "time zone '\(self.zone)' is not known here"
                return
            }
            next = cron.next(after: now, in: known)
            if next == nil { fault = "it never comes" }
        } catch {
            fault = error.message
        }
    }
}
