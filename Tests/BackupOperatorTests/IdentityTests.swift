import BackupModel
import Foundation
import HTTP
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator
@testable import KubernetesClient

/// What clouds know pods by reaches all that touches a store, and nothing else.
@Suite(.serialized) struct IdentityTests {
    private static let azure = "azure.workload.identity/client-id"
    private static let amazon = "eks.amazonaws.com/role-arn"

    /// Of the page, by their names.
    private static func manifests() throws -> [String: KubernetesObject] {
        let page = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/cloud-identities.md")
        var manifests: [String: KubernetesObject] = [:]
        var block: [Substring]?
        let lines = try String(contentsOf: page, encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: false)
        for line in lines {
            if line == "```yaml" {
                block = []
            } else if line == "```", let manifest = block {
                for text in manifest.split(separator: "---") where !text.isEmpty {
                    let json = try YAMLReader.read(text.joined(separator: "\n") + "\n")
                    let object = try #require(KubernetesObject(json))
                    manifests["\(object.kind) \(object.name)"] = object
                }
                block = nil
            } else {
                block?.append(line)
            }
        }
        return manifests
    }

    private static func percona(_ name: String) throws -> (DatabaseCluster, ClusterObjects) {
        let object = try #require(try manifests()["PerconaPGCluster \(name)"])
        let cluster = try PerconaCluster(object).wanted { _, _ in nil }
        #expect(cluster.faultyRepositories.isEmpty && cluster.unsupported.isEmpty, "\(cluster.unsupported)")
        return (cluster, ClusterObjects(cluster, OperatorSettings()))
    }

    /// Of the database, of the repository host, of a Job that removes a stanza.
    private static func pods(_ cluster: DatabaseCluster, _ objects: ClusterObjects) throws -> [ServiceJSON] {
        let removal = objects.stanzaRemoval(try #require(cluster.repositories.first), secretFiles: []).object
        return [
            objects.podTemplate(secretFiles: []), objects.repositoryHostTemplate(secretFiles: []),
            try #require(removal["spec", "template"]),
        ]
    }

    private static func accounts(_ objects: ClusterObjects) -> [String: KubernetesObject] {
        let accounts = (objects.patroniAccess() + [objects.repositoryAccount()]).filter { $0.type == .serviceAccounts }
        return Dictionary(uniqueKeysWithValues: accounts.map { ($0.object.name, $0.object) })
    }

    @Test("the page's clusters: annotations of all accounts, labels of all pods, options of all configurations")
    func clusters() throws {
        for (name, annotation, option) in [
            ("on-eks", Self.amazon, "repo1-s3-key-type=web-id"),
            ("on-gke", "iam.gke.io/gcp-service-account", "repo1-gcs-key-type=auto"),
            ("on-aks", Self.azure, "repo1-azure-key-type=auto"),
        ] {
            let (cluster, objects) = try Self.percona(name)
            let accounts = Self.accounts(objects)
            #expect(accounts.count == 2 && accounts.values.allSatisfy { $0.annotations[annotation]?.isEmpty == false })
            for pod in try Self.pods(cluster, objects) {
                let account = pod[["spec", "serviceAccountName"]]?.string ?? ""
                #expect(accounts[account] != nil, "\(account)")
                let isAsked = pod[["metadata", "labels", "azure.workload.identity/use"]] == "true"
                #expect(isAsked == (annotation == Self.azure))
            }
            let configuration = EngineConfiguration(cluster: cluster, hasTrustedCertificates: false)
            for text in [configuration.agentText(), configuration.hostText()] { #expect(text.contains("\(option)\n")) }
            // They ask an agent, and know no store.
            let job = AgentJobPod(name: "backup", words: []).spec(objects)
            #expect(job["serviceAccountName"] == nil && job["automountServiceAccountToken"] == false)
        }
    }

    @Test("tokens that the manifest projects are in all pods that touch a store")
    func tokens() throws {
        let (cluster, objects) = try Self.percona("with-token")
        for pod in try Self.pods(cluster, objects) {
            let volumes = pod[["spec", "volumes"]]?.elements ?? []
            let sources = volumes.first { $0["name"] == "files" }?[["projected", "sources"]]?.elements ?? []
            let token = try #require(sources.lazy.compactMap { $0["serviceAccountToken"] }.first)
            #expect(token["path"] == "token" && token["audience"] == "sts.amazonaws.com")
            for container in pod[["spec", "containers"]]?.elements ?? [] {
                let variables = (container["env"]?.elements ?? []).reduce(into: [:]) {
                    $0[$1["name"]?.string ?? ""] = $1["value"]?.string
                }
                #expect(variables["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/etc/pgbackrest/conf.d/token")
                #expect(variables["AWS_ROLE_ARN"] == "arn:aws:iam::111122223333:role/backups")
                #expect(
                    container["volumeMounts"]?.elements.contains {
                        $0["name"] == "files" && $0["mountPath"] == "/etc/pgbackrest/conf.d"
                    } == true)
            }
        }
    }

    @Test("Microsoft's variables too; without a token or the annotations there are none")
    func azureToken() throws {
        var (cluster, _) = try Self.percona("on-aks")
        func names() -> [String] {
            ClusterObjects(cluster, OperatorSettings()).identityVariables.compactMap { $0["name"]?.string }
        }
        #expect(names() == [])
        cluster.files?.tokens = [
            ["serviceAccountToken": ["audience": "api://AzureADTokenExchange", "path": "azure-token"]]
        ]
        #expect(names() == [])
        cluster.pods.accountAnnotations["azure.workload.identity/tenant-id"] = "t"
        #expect(names() == ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"])
        cluster.files?.tokens[0][["serviceAccountToken", "audience"]] = "elsewhere"
        #expect(names() == [])
    }

    @Test("certificates of a private authority are in all pods that touch the store")
    func privateAuthority() throws {
        let (cluster, objects) = try Self.percona("private-store")
        let line = "repo1-storage-ca-file=/etc/pgbackrest/conf.d/ca.crt\n"
        let configuration = EngineConfiguration(cluster: cluster, hasTrustedCertificates: true)
        #expect(configuration.agentText().contains(line) && configuration.hostText().contains(line))
        #expect(configuration.agentText().contains("repo1-s3-uri-style=path\n"))
        #expect(cluster.files?.sources.map(\.name) == ["private-store-keys", "private-ca"])
        for pod in try Self.pods(cluster, objects) {
            #expect(pod[["spec", "volumes"]]?.elements.contains { $0["name"] == "files" } == true)
        }
        let storage = try #require(try Self.manifests()["SGObjectStorage private-store"])
        let location = try StackGresStorage(storage["spec"] ?? [:]).location(path: "x")
        #expect(location.files["storage-ca-file"] == SecretKey(name: "private-store-keys", key: "ca.crt"))
        #expect(location.options["s3-uri-style"] == "path")
    }

    @Test("the other dialect: annotations of the account, also for what removes a backup of a cluster that is gone")
    func removal() async throws {
        let manifests = try Self.manifests()
        try await withScene { scene, client in
            _ = try await client.create(StackGres.storages, try #require(manifests["SGObjectStorage on-eks"]))
            _ = try await client.create(StackGres.clusters, try #require(manifests["SGCluster on-eks"]))
            let place = ObjectKey(namespace: "demo", name: "on-eks")
            func account() async throws -> KubernetesObject? {
                try await client.find(.serviceAccounts, namespace: "demo", name: "on-eks-permafrost")
            }
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    try await scene.backups(client).contains { $0.phase == .completed }
                }
                let role = try await account()?.annotations[Self.amazon]
                #expect(role?.hasPrefix("arn:aws:iam::") == true)
                #expect(
                    try await client.get(.serviceAccounts, namespace: "demo", name: "on-eks-patroni").annotations[
                        Self.amazon] == role)
                try await client.delete(StackGres.clusters, namespace: "demo", name: "on-eks")
                try await eventually("the account goes with it") { try await account() == nil }
                let name = try #require(try await scene.backups(client).first?.object.name)
                scene.state.withLock { $0.isIdle = true }
                try await client.delete(StackGres.backups, namespace: "demo", name: name)
                func removal() async throws -> KubernetesObject? {
                    try await client.list(.jobs).objects.first { $0.name.hasSuffix("-delete") }
                }
                try await eventually("its removal") { try await removal() != nil }
                let job = try #require(try await removal())
                #expect(job["spec", "template", "spec", "serviceAccountName"] == "on-eks-permafrost")
                let made = try #require(try await account())
                #expect(made.annotations[Self.amazon] == role && made.ownerReferences.isEmpty)
                scene.state.withLock { $0.isIdle = false }
                try await eventually("gone") { try await scene.backups(client).isEmpty }
                #expect(scene.state.withLock { $0.backups[place]?.isEmpty } == true)
                // Its next cluster takes the account over.
                var next = try #require(manifests["SGCluster on-eks"])
                next.labels["again"] = "true"
                _ = try await client.create(StackGres.clusters, next)
                try await eventually("ready") {
                    try await scene.condition(client, "Ready", of: "on-eks")?["status"] == "True"
                }
                #expect(try await account()?.ownerReferences.count == 1)
            }
        }
    }
}
