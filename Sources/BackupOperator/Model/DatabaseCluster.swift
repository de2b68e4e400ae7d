package import HTTP
package import KubernetesClient

/// What a user wants of one database cluster, whichever dialect it was written in. Reconcilers know nothing else.
package struct DatabaseCluster: Sendable, Equatable {
    package var key: ObjectKey
    /// What belongs to the cluster goes with it.
    package var owner: OwnerReference
    package var names: ClusterNames
    package var instances: Int
    /// Of PostgreSQL.
    package var major: Int
    package var volume: Volume
    /// nil: replication is asynchronous.
    package var synchronous: Synchronous?
    package var pods = PodSettings()
    /// Where backups go that name none; nil when there is none.
    package var firstRepository: Int?
    /// At most four; with other keys each.
    package var repositories: [WantedRepository] = []
    package var faultyRepositories: [FaultyRepository] = []
    /// Options of the engine that belong to no single repository; they count before ours.
    package var engineOptions: [String: String] = [:]
    /// What users add to the engine's configuration; nil where a dialect has no such thing.
    package var files: UserFiles?
    /// Schedules that nothing comes of, and why.
    package var faultySchedules: [UnsupportedField] = []
    /// The cluster begins as a copy; nil: empty.
    package var restore: WantedRestore?
    /// The cluster follows another; nil: it leads itself.
    package var standby: WantedStandby?
    /// When its history parted from another's, in seconds since 1970: backups from before are not of it alone.
    package var historyBegan: Int64?
    /// Seconds after which a segment that is not full is archived.
    package var archiveTimeout = 60
    package var unsupported: [UnsupportedField] = []
    /// The user asks us to leave it alone.
    package var isPaused = false
    /// No pod is to run, and everything else is to stay.
    package var isStopped = false
    /// Whether the database's volumes outlive the cluster.
    package var keepsVolumes = false
    /// What Patroni keeps for all members, beside what is ours there.
    package var patroniSettings: ServiceJSON = [:]
    /// Parameters of PostgreSQL.
    package var parameters: [String: String] = [:]
    /// Made with the database; nil where a dialect has no such thing.
    package var users: [WantedUser]?
    /// The version of the operator to which pods may be brought that were made by another.
    package var update: String?

    /// WAL must not be thrown away: somebody wants it, whether or not it can be stored now.
    package var isArchiving: Bool { !repositories.isEmpty || !faultyRepositories.isEmpty }

    package struct Volume: Sendable, Equatable {
        /// As Kubernetes has it: `10Gi`.
        package var size: String
        package var storageClass: String?

        package init(size: String, storageClass: String?) {
            self.size = size
            self.storageClass = storageClass
        }

        /// ``text``.
        init?(_ text: String) {
            let parts = text.split(separator: " ").map(String.init)
            guard let size = parts.first, parts.count <= 2 else { return nil }
            self.init(size: size, storageClass: parts.count > 1 ? parts[1] : nil)
        }

        /// In one line.
        var text: String { size + (storageClass.map { " \($0)" } ?? "") }
    }

    /// Members that have what is committed before the primary says so.
    package struct Synchronous: Sendable, Equatable {
        package var members: Int
        /// Rather nothing is written than without them.
        package var isStrict: Bool
    }
}

/// What dialects name differently.
package struct ClusterNames: Sendable, Equatable {
    /// Labels of all pods, by which Services and Patroni find them.
    package var labels: [String: String]
    /// Of the template for the volumes' claims.
    package var dataClaim: String
    package var primaryService: String
    package var replicaService: String
    /// Secret of the users, and the keys of their passwords in it.
    package var userSecret: String
    package var superuserPassword: String
    package var replicationPassword: String
    /// Further entries of that Secret, as people read them.
    package var userEntries: [String: String]
    package var additionalPasswords: [String]
}

/// What of a cluster's pods a user may set; as the API has it.
package struct PodSettings: Sendable, Equatable {
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    /// `resources` of the database's container.
    package var resources: ServiceJSON?
    /// `nodeSelector`, `tolerations`, `affinity`, `priorityClassName`, `topologySpreadConstraints`.
    package var scheduling: [String: ServiceJSON] = [:]
    /// The same for the pods of backups.
    package var backupScheduling: [String: ServiceJSON] = [:]
    package var primaryServiceType = "ClusterIP"
    package var replicaServiceType = "ClusterIP"
    package var primaryServiceAnnotations: [String: String] = [:]
    package var replicaServiceAnnotations: [String: String] = [:]
    package var hasReplicaService = true
    /// Of the service accounts of pods: roles of clouds.
    package var accountAnnotations: [String: String] = [:]
    /// Pods of one cluster go to different nodes, if there are enough.
    package var spreads = true
    /// Of the repository host's pods.
    package var hostLabels: [String: String] = [:]
    package var hostAnnotations: [String: String] = [:]
    package var hostResources: ServiceJSON?
    /// The same for the repository host; nil: as the pods of backups.
    package var hostScheduling: [String: ServiceJSON]?
    package var agentResources: ServiceJSON?
    package var jobResources: ServiceJSON?
    /// Labels and annotations of all objects.
    package var objectLabels: [String: String] = [:]
    package var objectAnnotations: [String: String] = [:]
    package var servicePort = 5432
    /// Further members of the Services' `spec`: `loadBalancerClass`, `loadBalancerSourceRanges`.
    package var primaryServiceSettings: [String: ServiceJSON] = [:]
    package var replicaServiceSettings: [String: ServiceJSON] = [:]
    package var primaryServiceLabels: [String: String] = [:]
    package var replicaServiceLabels: [String: String] = [:]
}

/// Somebody who may log in, with databases of their own.
package struct WantedUser: Sendable, Equatable {
    package var name: String
    package var databases: [String]
    /// As `CREATE ROLE` has them: `SUPERUSER`.
    package var options: String
    /// Where the password is, and all else that is needed to connect.
    package var secret: String

    package init(name: String, databases: [String], options: String = "", secret: String) {
        self.name = name
        self.databases = databases
        self.options = options
        self.secret = secret
    }
}

/// A part of a manifest that nothing comes of.
package struct UnsupportedField: Sendable, Equatable, Comparable {
    /// As `spec.postgres.ssl`.
    package var path: String
    package var reason: String

    package init(_ path: String, _ reason: String) {
        self.path = path
        self.reason = reason
    }

    package static func < (one: UnsupportedField, other: UnsupportedField) -> Bool {
        (one.path, one.reason) < (other.path, other.reason)
    }
}

/// A manifest, or what it refers to, that cannot be carried out as it is.
package struct Refusal: Error, Sendable, Equatable {
    /// One word, for conditions and events.
    package var reason: String
    package var message: String
    /// Whether it may be mended elsewhere, by an object that is missing now.
    package var isTemporary: Bool

    package init(_ reason: String, _ message: String, isTemporary: Bool = false) {
        self.reason = reason
        self.message = message
        self.isTemporary = isTemporary
    }
}

/// A repository that is asked for and cannot be used as it is.
package struct FaultyRepository: Sendable, Equatable {
    package var key: Int
    package var name: String
    package var fault: Refusal
}
