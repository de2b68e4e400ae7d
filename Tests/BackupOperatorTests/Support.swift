import BackupModel
import HTTP
import Jobs
import KubernetesClient
import KubernetesTestServer
import Logging
import RepositoryStorage
import Synchronization
import Testing

@testable import BackupOperator

func eventually(
    _ what: String, _ limit: Duration = .seconds(120), _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw BackupError(.unknown, "waited in vain: \(what)") }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// A scene of its own for a test, whose server is gone after it.
func withScene(_ body: (Scene, KubernetesClient) async throws -> Void) async throws {
    let scene = Scene()
    try await scene.start()
    do {
        try await body(scene, try scene.client("user"))
    } catch {
        await scene.server.stop()
        throw error
    }
    await scene.server.stop()
}

/// A cluster of which only the API server is real: pods are objects, and agents answer from memory. What the operator
/// sees of it is what a real one shows.
final class Scene: ClusterAgents {
    struct Stored: Sendable {
        var label: String
        var annotations: [String: String]
        var start: Int64
        var repository = 1
        var type = "full"
    }

    struct State: Sendable {
        /// Seconds since 1970.
        var now: Int64 = 1_795_600_000
        var hasStanza: [ObjectKey: Bool] = [:]
        var backups: [ObjectKey: [Stored]] = [:]
        var retention = 3
        var made = 0
        var fails: String?
        var storeError: String?
        /// Jobs of Kubernetes that have been played.
        var played: Set<String> = []
        var requests: [JobRequest] = []
        /// By which pods' agents.
        var asked: [String] = []
        var isSlow = false
        /// What the agent has read, where that is not the newest; backups that it has not seen yet.
        var agentText: String?
        var hidden = false
        /// That the agents tell of; of others only the first, in S3.
        var repositories: [ObjectKey: [(key: Int, type: String)]] = [:]
        /// Of single repositories.
        var faults: [Int: String] = [:]
        /// Clusters that follow another, and the newest segment in their archive.
        var inRecovery: Set<ObjectKey> = []
        var archive: [ObjectKey: String] = [:]
        /// Up to when can be restored, in microseconds since 1970.
        var restorable: Int64?
        /// Agents tell what they told in their first version.
        var isOld = false
        /// What agents answer to single commands.
        var refusals: [Command: String] = [:]
        /// So many restores find a standby.
        var standbys = 0
        /// Jobs of Kubernetes wait.
        var isIdle = false
    }

    let server = APITestServer()
    let state = Mutex(State())
    private let port = Mutex(0)

    static let crds = ["SGCluster", "SGBackup", "SGObjectStorage"]

    func start() async throws {
        let taken = try await server.start()
        port.withLock { $0 = taken }
        let client = try client("setup")
        for (type, hasStatus) in [
            (StackGres.clusters, true), (StackGres.backups, false), (StackGres.storages, false),
            (Percona.clusters, true), (Percona.backups, true), (Percona.restores, true),
        ] {
            var definition = KubernetesObject(.customResourceDefinitions, name: "\(type.plural).\(type.group)")
            var version: ServiceJSON = ["name": .text(type.version), "served": true, "storage": true]
            if hasStatus { version["subresources"] = ["status": [:]] }
            definition["spec"] = [
                "group": .text(type.group), "scope": "Namespaced",
                "names": ["plural": .text(type.plural), "kind": .text(type.kind)], "versions": [version],
            ]
            _ = try await client.create(.customResourceDefinitions, definition)
        }
        _ = try await client.create(.namespaces, KubernetesObject(.namespaces, name: "demo"))
    }

    func client(_ name: String, _ change: (inout KubernetesClient.Options) -> Void = { _ in }) throws
        -> KubernetesClient
    {
        var options = KubernetesClient.Options(fieldManager: name)
        options.retry = RetryPolicy(attempts: 3, shortest: .milliseconds(1), longest: .milliseconds(5))
        change(&options)
        let port = port.withLock { $0 }
        return try KubernetesClient(
            ClusterAccess(origin: HTTPOrigin(isSecure: false, host: "127.0.0.1", port: port)), options)
    }

    var now: Int64 { state.withLock { $0.now } }
    func pass(_ seconds: Int64) { state.withLock { $0.now += seconds } }

    func makeOperator(
        _ client: KubernetesClient? = nil, _ change: (inout OperatorSettings) -> Void = { _ in }
    ) throws -> Operator {
        var settings = OperatorSettings()
        settings.imagePrefix = "test.local/"
        settings.imageTag = "1"
        settings.second = .milliseconds(2)
        settings.identity = "test"
        change(&settings)
        return Operator(
            settings, try client ?? self.client(OperatorNames.fieldManager), [StackGresDialect(), PerconaDialect()],
            agents: { _ in self }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, now: { self.now })
    }

    // MARK: Agents

    func status(of cluster: ObjectKey, pod: String, fresh: Int) async throws(BackupError) -> StanzaStatus {
        if state.withLock({ $0.isSlow }) { try? await Task.sleep(for: .seconds(5)) }
        let json = state.withLock { state -> ServiceJSON in
            // As the agent reads its configuration: that of the ConfigMap.
            let map = server.object(
                "configmaps", namespace: cluster.namespace ?? "", name: "\(cluster.name)-permafrost")
            let options = Self.options(state.agentText ?? map?[["data", "agent.conf"]]?.string ?? "")
            let repositories = (state.repositories[cluster] ?? [(1, "s3")]).map { key, type in
                var repository: ServiceJSON = ["key": ServiceJSON(key), "type": .text(type)]
                let identity = RepositoryIdentity.text { options["repo\(key)-\($0)"] ?? ($0 == "type" ? "posix" : nil) }
                repository["identity"] = .text(OperatorNames.digest(identity))
                if let error = state.storeError ?? state.faults[key] {
                    repository["error"] = ["code": 105, "message": .text(error)]
                } else {
                    let has = state.hasStanza[cluster] ?? false
                    let backups = state.hidden ? [] : (state.backups[cluster] ?? []).filter { $0.repository == key }
                    let code = has ? (backups.isEmpty ? 2 : 0) : 1
                    repository["status"] = ["code": ServiceJSON(code), "message": has ? "ok" : "missing stanza path"]
                    repository["backups"] = .array(backups.map(Self.json))
                    if let newest = state.archive[cluster] {
                        repository["archive"] = [["id": "17-1", "max": .text(newest)]]
                    }
                }
                return repository
            }
            let isFailing = state.storeError != nil
            if state.isOld {
                return [
                    "stanza": "db", "time": .number("\(state.now + 1)"),
                    "server": ["in-recovery": false, "version": "17"],
                    "repositories": .array(
                        repositories.map { repository in
                            var repository = repository
                            repository["identity"] = nil
                            return repository
                        }),
                ]
            }
            return [
                "stanza": "db", "time": .number("\(state.now + 1)"),
                "server": [
                    "in-recovery": .bool(state.inRecovery.contains(cluster)), "version": "17.6",
                    "system-id": "7000000000000000001",
                ],
                "archiving": [
                    "is-failing": .bool(isFailing), "last-archived": "000000010000000000000003",
                    "last-archived-time": .number("\(state.now)"), "last-failed": "000000010000000000000004",
                    "ready": .number(isFailing ? "2" : "0"),
                    "restorable": state.restorable.map { .number("\($0)") } ?? .null,
                ],
                "volumes": [], "repositories": .array(repositories),
            ]
        }
        guard let status = StanzaStatus(json) else { throw BackupError(.jsonFormat, "no status") }
        return status
    }

    private static func options(_ text: String) -> [String: String] {
        var options: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { options[String(parts[0])] = String(parts[1]) }
        }
        return options
    }

    private static func json(_ backup: Stored) -> ServiceJSON {
        [
            "label": .text(backup.label), "type": .text(backup.type), "start": .number("\(backup.start)"),
            "stop": .number("\(backup.start)"), "lsn-start": "0/2000028", "lsn-stop": "0/2000100",
            "wal-start": "000000010000000000000002", "wal-stop": "000000010000000000000002", "size": 30_000_000,
            "repository-size": 4_000_000, "error": false, "annotations": ServiceJSON(backup.annotations),
        ]
    }

    func run(_ request: JobRequest, of cluster: ObjectKey, pod: String) async throws(BackupError) -> JobResult? {
        let refusal = state.withLock { state -> String? in
            state.requests.append(request)
            state.asked.append(pod)
            if let refusal = state.refusals[request.command.command] { return refusal }
            switch request.command.command {
            case .stanzaCreate: state.hasStanza[cluster] = true
            case .annotate:
                var notes: [String: String] = [:]
                var set = ""
                for option in request.options {
                    guard case .texts(let texts) = option.value else { continue }
                    if option.name == .set { set = texts[0] }
                    if option.name == .annotation {
                        for text in texts {
                            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                            notes[String(parts[0])] = String(parts[1])
                        }
                    }
                }
                for place in (state.backups[cluster] ?? []).indices where state.backups[cluster]?[place].label == set {
                    for (name, value) in notes {
                        state.backups[cluster]?[place].annotations[name] = value.isEmpty ? nil : value
                    }
                }
            case .expire:
                var texts: [OptionName: String] = [:]
                for option in request.options {
                    if case .texts(let values) = option.value { texts[option.name] = values[0] }
                }
                state.backups[cluster]?.removeAll {
                    "\($0.repository)" == texts[.repo] && $0.label.hasPrefix(texts[.set] ?? "none")
                }
            default: break
            }
            return nil
        }
        let now = now
        var result: ServiceJSON = [
            "job": "20261121-181000-123-5d1f0c9e8b7a6f5e4d3c", "command": .text(request.command.command.rawValue),
            "stanza": "db", "end": "completed", "exit-code": 0,
            "timestamp": ["start": .number("\(now)"), "stop": .number("\(now)")],
        ]
        if let refusal {
            result["end"] = "failed"
            result["exit-code"] = 55
            result["error"] = ["code": 55, "message": .text(refusal)]
        }
        return JobResult(result)
    }

    func forget(_ cluster: ObjectKey) {}

    // MARK: Controllers

    /// Plays StatefulSets and Jobs until the task is cancelled.
    func play() async throws {
        let client = try client("controllers")
        while !Task.isCancelled {
            do {
                for set in try await client.list(.statefulSets).objects { try await pods(of: set, client) }
                for host in try await client.list(.deployments).objects { try await start(host, client) }
                for claim in try await client.list(.persistentVolumeClaims).objects { try await bind(claim, client) }
                for job in try await client.list(.jobs).objects { try await play(job, client) }
            } catch let error as KubernetesError where error.isConflict || error.isNotFound || error.isAlreadyExists {
            } catch let error as KubernetesError where error.isCancelled {
                return
            }
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    private func start(_ host: KubernetesObject, _ client: KubernetesClient) async throws {
        let count = host["spec", "replicas"]?.integer ?? 0
        guard host["status", "readyReplicas"]?.integer != count else { return }
        _ = try await client.patch(
            .deployments, namespace: host.namespace, name: host.name, ["status": ["readyReplicas": ServiceJSON(count)]],
            .status)
    }

    private func bind(_ claim: KubernetesObject, _ client: KubernetesClient) async throws {
        guard claim["status", "phase"] == nil else { return }
        _ = try await client.patch(
            .persistentVolumeClaims, namespace: claim.namespace, name: claim.name,
            ["spec": ["volumeName": .text("pv-\(claim.name)")]])
        _ = try await client.patch(
            .persistentVolumeClaims, namespace: claim.namespace, name: claim.name, ["status": ["phase": "Bound"]],
            .status)
    }

    private func pods(of set: KubernetesObject, _ client: KubernetesClient) async throws {
        let name = "\(set.name)-0"
        if set["spec", "replicas"]?.integer == 0 {
            if try await client.find(.pods, namespace: set.namespace, name: name) != nil {
                try await client.delete(.pods, namespace: set.namespace, name: name)
            }
            return
        }
        guard try await client.find(.pods, namespace: set.namespace, name: name) == nil else { return }
        var pod = KubernetesObject(.pods, namespace: set.namespace, name: name)
        pod.labels = set["spec", "template", "metadata", "labels"]?.texts ?? [:]
        pod.labels["role"] = "primary"
        pod.ownerReferences = [set.owner()]
        pod["spec"] = set["spec", "template", "spec"]
        pod = try await client.create(.pods, pod)
        // What came too late for its owner, which is gone, would be nobody's.
        guard try await client.find(.statefulSets, namespace: set.namespace, name: set.name)?.uid == set.uid else {
            _ = try await client.delete(.pods, namespace: set.namespace, name: name)
            return
        }
        _ = try await client.patch(
            .pods, namespace: set.namespace, name: name,
            ["status": ["phase": "Running", "conditions": [["type": "Ready", "status": "True"]]]], .status)
    }

    private func play(_ job: KubernetesObject, _ client: KubernetesClient) async throws {
        guard job["status", "conditions"] == nil, !state.withLock({ $0.isIdle }) else { return }
        let words =
            job["spec", "template", "spec", "containers"]?.elements.first?["command"]?.elements.compactMap(\.string)
            ?? []
        let cluster = ObjectKey(namespace: job.namespace, name: job.labels[OperatorNames.cluster] ?? "")
        let uid = job.uid
        var message: ServiceJSON = [:]
        let failure = state.withLock { $0.fails }
        if words.contains("stanza-delete") {
            let key = words.first { $0.hasPrefix("--repo=") }.flatMap { Int($0.dropFirst(7)) }
            let error = state.withLock { state -> String? in
                if let error = state.faults[key ?? 0] { return error }
                state.backups[cluster]?.removeAll { $0.repository == key }
                return nil
            }
            return try await end(job, error.map { "P00  ERROR: [105]: \($0)" }, client)
        }
        if words.contains("--in-place") {
            let isStandby = state.withLock { state in
                guard state.standbys > 0, state.played.insert(uid).inserted else { return state.played.contains(uid) }
                state.standbys -= 1
                return true
            }
            if isStandby {
                let failed: ServiceJSON = [
                    "job": "20261121-181000-123-5d1f0c9e8b7a6f5e4d3c", "command": "restore", "stanza": "db",
                    "end": "failed", "exit-code": 72, "timestamp": ["start": 1, "stop": 2],
                    "error": ["code": 72, "message": "the server is a standby"],
                ]
                return try await end(job, failed.description, client)
            }
            let restored: ServiceJSON = [
                "job": "20261121-181000-123-5d1f0c9e8b7a6f5e4d3c", "command": "restore", "stanza": "db",
                "end": "completed", "exit-code": 0, "timestamp": ["start": 1, "stop": 2],
                "restored": ["stanza": "db", "repository": 1, "set": "20261122-000001F"],
            ]
            return try await end(job, nil, said: restored.description, client)
        }
        if words.contains("expire") {
            let label = words.first { $0.hasPrefix("--set=") }?.dropFirst(6) ?? ""
            state.withLock { $0.backups[cluster]?.removeAll { $0.label == label } }
        } else if failure == nil {
            state.withLock { state in
                guard state.played.insert(uid).inserted else { return }
                state.made += 1
                // What was looked at before does not know of it.
                state.now += 10
                var notes: [String: String] = [:]
                for word in words where word.hasPrefix("--annotation=") {
                    let parts = word.dropFirst(13).split(separator: "=", maxSplits: 1)
                    notes[String(parts[0])] = String(parts[1])
                }
                let stamp = "20261122-0000\(format2(state.made))"
                func option(_ name: String) -> String? {
                    words.first { $0.hasPrefix("--\(name)=") }.map { String($0.dropFirst(name.utf8.count + 3)) }
                }
                let repository = option("repo").flatMap { Int($0) } ?? 1
                let there = (state.backups[cluster] ?? []).filter { $0.repository == repository }
                let full = there.last { $0.type == "full" }
                // Without a full backup there is nothing to build on.
                let type = full == nil ? "full" : option("type") ?? "incr"
                let label = type == "full" ? "\(stamp)F" : "\(full?.label ?? "")_\(stamp)\(type == "diff" ? "D" : "I")"
                state.backups[cluster, default: []].append(
                    Stored(
                        label: label, annotations: notes, start: state.now, repository: repository, type: type))
                let counted = (state.backups[cluster] ?? []).filter {
                    $0.annotations["hold"] == nil && $0.repository == repository && $0.type == "full"
                }
                for old in counted.dropLast(state.retention) {
                    state.backups[cluster]?.removeAll { $0.label.hasPrefix(old.label) && $0.repository == repository }
                }
            }
        }
        let made = state.withLock { state in
            (state.backups[cluster] ?? []).last.map(Self.json)
        }
        message = [
            "job": "20261121-181000-123-5d1f0c9e8b7a6f5e4d3c", "command": "backup", "stanza": "db",
            "end": failure == nil ? "completed" : "failed", "exit-code": failure == nil ? 0 : 55,
            "timestamp": ["start": 1, "stop": 2],
        ]
        if let failure {
            message["error"] = ["code": 55, "message": .text(failure)]
        } else if let made {
            message["info"] = [
                "backup": [
                    [
                        "label": made["label"] ?? "", "type": made["type"] ?? "",
                        "annotation": made["annotations"] ?? [:],
                        "timestamp": ["start": made["start"] ?? 0, "stop": made["stop"] ?? 0],
                        "lsn": ["start": "0/2000028", "stop": "0/2000100"],
                        "archive": ["start": "000000010000000000000002", "stop": "000000010000000000000002"],
                        "info": ["size": 30_000_000, "repository": ["size": 4_000_000]],
                    ]
                ]
            ]
        }
        var pod = KubernetesObject(.pods, namespace: job.namespace, name: "\(job.name)-x")
        pod.labels = job.labels
        pod.ownerReferences = [job.owner()]
        if try await client.find(.pods, namespace: pod.namespace, name: pod.name) == nil {
            _ = try await client.create(.pods, pod)
        }
        _ = try await client.patch(
            .pods, namespace: pod.namespace, name: pod.name,
            [
                "status": [
                    "containerStatuses": [
                        [
                            "name": "backup",
                            "state": ["terminated": ["exitCode": 0, "message": .text(message.description)]],
                        ]
                    ]
                ]
            ], .status)
        _ = try await client.patch(
            .jobs, namespace: job.namespace, name: job.name,
            [
                "status": [
                    "completionTime": "2026-11-22T00:00:00Z",
                    "conditions": [["type": failure == nil ? "Complete" : "Failed", "status": "True"]],
                ]
            ], .status)
    }

    /// - Parameter message: of one that fails.
    private func end(
        _ job: KubernetesObject, _ message: String?, said: String = "", _ client: KubernetesClient
    ) async throws {
        var pod = KubernetesObject(.pods, namespace: job.namespace, name: "\(job.name)-\(job.uid.suffix(5))")
        pod.labels = job["spec", "template", "metadata", "labels"]?.texts ?? [:]
        pod.ownerReferences = [job.owner()]
        if try await client.find(.pods, namespace: pod.namespace, name: pod.name) == nil {
            _ = try await client.create(.pods, pod)
        }
        let end: ServiceJSON = ["exitCode": message == nil ? 0 : 105, "message": .text(message ?? said)]
        _ = try await client.patch(
            .pods, namespace: pod.namespace, name: pod.name,
            ["status": ["containerStatuses": [["name": "delete", "state": ["terminated": end]]]]], .status)
        _ = try await client.patch(
            .jobs, namespace: job.namespace, name: job.name,
            ["status": ["conditions": [["type": message == nil ? "Complete" : "Failed", "status": "True"]]]], .status)
    }

    private func format2(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

    // MARK: Manifests

    func secret(_ client: KubernetesClient, id: String = "AKIA0000") async throws {
        var secret = KubernetesObject(.secrets, namespace: "demo", name: "s3-backup-bucket-secret")
        secret["data"] = [
            "accessKeyId": .text(Base64.encode(id.utf8)), "secretAccessKey": .text(Base64.encode("geheim".utf8)),
        ]
        _ = try await client.apply(.secrets, secret)
    }

    func storage(_ client: KubernetesClient, name: String = "backupconfig1") async throws {
        var storage = KubernetesObject(StackGres.storages, namespace: "demo", name: name)
        func selector(_ key: String) -> ServiceJSON { ["name": "s3-backup-bucket-secret", "key": .text(key)] }
        storage["spec"] = [
            "type": "s3",
            "s3": [
                "bucket": "bucket",
                "awsCredentials": [
                    "secretKeySelectors": [
                        "accessKeyId": selector("accessKeyId"), "secretAccessKey": selector("secretAccessKey"),
                    ]
                ],
            ],
        ]
        _ = try await client.apply(StackGres.storages, storage)
    }

    func cluster(
        _ client: KubernetesClient, name: String = "pg", schedule: String? = "*/5 * * * *", retention: Int = 3
    ) async throws {
        var cluster = KubernetesObject(StackGres.clusters, namespace: "demo", name: name)
        var backups: ServiceJSON = ["sgObjectStorage": "backupconfig1", "retention": ServiceJSON(retention)]
        if let schedule { backups["cronSchedule"] = .text(schedule) }
        cluster["spec"] = [
            "instances": 1, "postgres": ["version": "17"], "pods": ["persistentVolume": ["size": "1Gi"]],
            "configurations": ["backups": [backups]],
        ]
        _ = try await client.apply(StackGres.clusters, cluster)
    }

    func backups(_ client: KubernetesClient) async throws -> [StackGresBackup] {
        try await client.list(StackGres.backups).objects.map { StackGresBackup($0) }
    }

    func condition(_ client: KubernetesClient, _ type: String, of name: String = "pg") async throws -> ServiceJSON? {
        let cluster = try await client.get(StackGres.clusters, namespace: "demo", name: name)
        return (cluster["status", "conditions"]?.elements ?? []).first { $0["type"]?.string == type }
    }
}

/// Runs work beside the body, and ends it with it.
func with(
    _ work: [@Sendable () async throws -> Void], _ body: () async throws -> Void
) async throws {
    let tasks = work.map { work in Task { try await work() } }
    defer { for task in tasks { task.cancel() } }
    do {
        try await body()
    } catch {
        for task in tasks { task.cancel() }
        for task in tasks { _ = await task.result }
        throw error
    }
    for task in tasks { task.cancel() }
    for task in tasks { _ = await task.result }
}
