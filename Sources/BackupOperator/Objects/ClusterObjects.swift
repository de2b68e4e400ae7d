import HTTP
package import KubernetesClient

/// An object as it is to be.
package struct WantedObject: Sendable, Equatable {
    package var type: ResourceType
    package var object: KubernetesObject
    /// What is there is never changed: passwords, and claims.
    package var isKept = false
}

/// All objects of one cluster, as values: nothing is asked and nothing is done.
package struct ClusterObjects: Sendable {
    let cluster: DatabaseCluster
    let settings: OperatorSettings

    package init(_ cluster: DatabaseCluster, _ settings: OperatorSettings) {
        self.cluster = cluster
        self.settings = settings
    }

    var name: String { cluster.key.name }
    var namespace: String { cluster.key.namespace ?? "default" }
    var configuration: EngineConfiguration {
        EngineConfiguration(cluster: cluster, hasTrustedCertificates: settings.trustedCertificates != nil)
    }

    /// Of a cluster's part: what an object is for.
    enum Part: String {
        case database, configuration, access, repositoryHost = "repository-host", backup, restore, removal
    }

    func labels(_ part: Part) -> [String: String] {
        cluster.names.labels.merging([
            OperatorNames.cluster: name, OperatorNames.part: part.rawValue,
            "app.kubernetes.io/managed-by": "permafrost",
        ]) { _, last in last }
    }

    func object(_ type: ResourceType, _ name: String, _ part: Part) -> KubernetesObject {
        var object = KubernetesObject(type, namespace: namespace, name: name)
        object.labels = cluster.pods.objectLabels.merging(labels(part)) { _, own in own }
        object.annotations = cluster.pods.objectAnnotations
        object.ownerReferences = [cluster.owner]
        return object
    }

    // MARK: Configuration

    static func configurationName(_ cluster: String) -> String { "\(cluster)-permafrost" }
    static func filesName(_ cluster: String) -> String { "\(cluster)-permafrost-files" }
    static func bootstrapName(_ cluster: String) -> String { "\(cluster)-permafrost-bootstrap" }
    static func restoreName(_ cluster: String) -> String { "\(cluster)-restore" }
    static func patroniName(_ cluster: String) -> String { "\(cluster)-patroni" }
    /// Endpoints in which Patroni keeps what all members are to have.
    static func stateName(_ cluster: String) -> String { "\(cluster)-config" }
    static func authorityName(_ cluster: String) -> String { "\(cluster)-permafrost-ca" }
    /// Of all pods but the database's.
    static func accountName(_ cluster: String) -> String { "\(cluster)-permafrost" }

    func configurationMap(_ kept: KeptConfiguration = KeptConfiguration()) -> WantedObject {
        var map = object(.configMaps, Self.configurationName(name), .configuration)
        map["data"] = [
            "agent.conf": .text(kept.text(in: "agent.conf", after: configuration.agentText())),
            "host.conf": .text(kept.text(in: "host.conf", after: configuration.hostText())),
            "job.conf": .text(configuration.jobText()),
        ]
        if let text = settings.trustedCertificates { map["data", EngineConfiguration.trustedFile] = .text(text) }
        return WantedObject(type: .configMaps, object: map)
    }

    /// - Parameters:
    ///   - certificate: PEM, with its key and the certificate of the authority.
    func configurationSecret(
        _ credentials: Credentials, certificate: String, key: String, authority: String
    ) -> WantedObject {
        var secret = object(.secrets, Self.configurationName(name), .configuration)
        secret["type"] = "kubernetes.io/tls"
        var data: [String: ServiceJSON] = [
            "tls.crt": Self.encoded(certificate), "tls.key": Self.encoded(key), "ca.crt": Self.encoded(authority),
            "repo.conf": Self.encoded(credentials.text),
        ]
        for (name, bytes) in credentials.files { data[name] = .text(Base64.encode(bytes)) }
        secret["data"] = .object(data)
        return WantedObject(type: .secrets, object: secret)
    }

    func filesSecret(_ files: [String: [UInt8]]) -> WantedObject {
        var secret = object(.secrets, Self.filesName(name), .configuration)
        // An empty member would be a field of ours by itself.
        if !files.isEmpty { secret["data"] = .object(files.mapValues { .text(Base64.encode($0)) }) }
        return WantedObject(type: .secrets, object: secret)
    }

    /// The authority signs nothing but this cluster's certificate; no pod sees its key.
    func authoritySecret(certificate: String, key: String) -> WantedObject {
        var secret = object(.secrets, Self.authorityName(name), .configuration)
        secret["type"] = "kubernetes.io/tls"
        secret["data"] = ["tls.crt": Self.encoded(certificate), "tls.key": Self.encoded(key)]
        return WantedObject(type: .secrets, object: secret, isKept: true)
    }

    /// What a cluster that begins as a copy reads once.
    func restoreObjects(_ found: FoundSource) -> [WantedObject] {
        guard let text = found.text else { return [] }
        var map = object(.configMaps, Self.restoreName(name), .restore)
        map["data"] = ["restore.conf": .text(text)]
        if let text = settings.trustedCertificates { map["data", EngineConfiguration.trustedFile] = .text(text) }
        var secret = object(.secrets, Self.restoreName(name), .restore)
        var data: [String: ServiceJSON] = ["repo.conf": Self.encoded(found.secretText)]
        for (name, bytes) in found.files { data[name] = .text(Base64.encode(bytes)) }
        secret["data"] = .object(data)
        return [WantedObject(type: .configMaps, object: map), WantedObject(type: .secrets, object: secret)]
    }

    static func encoded(_ text: String) -> ServiceJSON { .text(Base64.encode(text.utf8)) }

    // MARK: Access

    /// Passwords stay as long as the volumes that know them.
    func accessSecret(_ name: String) -> KubernetesObject {
        var secret = object(.secrets, name, .access)
        if cluster.keepsVolumes { secret.ownerReferences = [] }
        return secret
    }

    /// Users' names are for reading; passwords are made once.
    func userSecret(password: () -> String) -> WantedObject {
        var secret = accessSecret(cluster.names.userSecret)
        var data = cluster.names.userEntries.mapValues(Self.encoded)
        let passwords =
            [cluster.names.superuserPassword, cluster.names.replicationPassword, PatroniConfiguration.restPassword]
            + cluster.names.additionalPasswords
        for name in passwords { data[name] = Self.encoded(password()) }
        secret["data"] = .object(data)
        return WantedObject(type: .secrets, object: secret, isKept: true)
    }

    /// What clouds know pods by: their roles are in its annotations.
    private func account(_ name: String) -> KubernetesObject {
        var account = object(.serviceAccounts, name, .access)
        account.annotations.merge(cluster.pods.accountAnnotations) { _, last in last }
        return account
    }

    /// Of what touches repositories: it may do nothing in Kubernetes.
    func repositoryAccount() -> WantedObject {
        WantedObject(type: .serviceAccounts, object: account(Self.accountName(name)))
    }

    /// Where the manifest projects a token itself: what the clouds' webhooks would set with theirs.
    var identityVariables: [ServiceJSON] {
        func file(_ audience: String) -> String? {
            let tokens = (cluster.files?.tokens ?? []).compactMap { $0["serviceAccountToken"] }
            guard let token = tokens.first(where: { $0["audience"]?.string == audience }) else { return nil }
            return token["path"]?.string.map { "\(PodParts.filesDirectory)/\($0)" }
        }
        let annotations = cluster.pods.accountAnnotations
        var variables: [ServiceJSON] = []
        if let role = annotations["eks.amazonaws.com/role-arn"], let file = file("sts.amazonaws.com") {
            variables += [
                PodParts.variable("AWS_ROLE_ARN", role), PodParts.variable("AWS_WEB_IDENTITY_TOKEN_FILE", file),
            ]
        }
        let azure = "azure.workload.identity"
        if let client = annotations["\(azure)/client-id"], let tenant = annotations["\(azure)/tenant-id"],
            let file = file("api://AzureADTokenExchange")
        {
            variables += [
                PodParts.variable("AZURE_CLIENT_ID", client), PodParts.variable("AZURE_TENANT_ID", tenant),
                PodParts.variable("AZURE_FEDERATED_TOKEN_FILE", file),
            ]
        }
        return variables
    }

    /// Azure gives an identity only to pods that say so.
    var identityLabels: [String: String] { Self.identityLabels(cluster.pods.accountAnnotations) }

    static func identityLabels(_ annotations: [String: String]) -> [String: String] {
        let prefix = "azure.workload.identity/"
        return annotations.keys.contains { $0.hasPrefix(prefix) } ? ["\(prefix)use": "true"] : [:]
    }

    /// Patroni keeps its state in Endpoints and in labels of its pods. Whoever may change any pod, as its image, may read
    /// every Secret of the namespace, and a superuser of the database may do what Patroni may.
    /// - Parameter pods: that are there, though they may be too many now: Patroni says of itself until its end.
    func patroniAccess(pods: [String] = []) -> [WantedObject] {
        let account = account(Self.patroniName(name))
        var role = object(.roles, Self.patroniName(name), .access)
        let states = ["", "-config", "-failover", "-sync"].map { ServiceJSON.text(name + $0) }
        role["rules"] = [
            ["apiGroups": [""], "resources": ["endpoints"], "verbs": ["create", "list", "watch"]],
            [
                "apiGroups": [""], "resources": ["endpoints"], "resourceNames": .array(states),
                "verbs": ["get", "patch", "update"],
            ],
            ["apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]],
            [
                "apiGroups": [""], "resources": ["pods"], "resourceNames": ServiceJSON(members(pods)),
                "verbs": ["patch", "update"],
            ],
        ]
        var binding = object(.roleBindings, Self.patroniName(name), .access)
        binding["roleRef"] = [
            "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": .text(Self.patroniName(name)),
        ]
        binding["subjects"] = [
            ["kind": "ServiceAccount", "name": .text(Self.patroniName(name)), "namespace": .text(namespace)]
        ]
        return [
            WantedObject(type: .serviceAccounts, object: account), WantedObject(type: .roles, object: role),
            WantedObject(type: .roleBindings, object: binding),
        ]
    }

    /// Each has its line in configurations and roles: a number of nine digits would be the end of the operator.
    static let mostMembers = 1000

    /// Names of the pods that there are to be, and of those of the database that there still are.
    private func members(_ pods: [String]) -> [String] {
        let left = pods.compactMap { pod -> Int? in
            guard pod.hasPrefix(name + "-"), let number = Int(pod.dropFirst(name.count + 1)),
                number >= cluster.instances, pod == "\(name)-\(number)"
            else { return nil }
            return number
        }
        // A rule of no names is one of all.
        return (Array(0..<max(1, cluster.instances)) + Set(left).sorted()).map { "\(name)-\($0)" }
    }

    // MARK: Services

    func services() -> [WantedObject] {
        let port: ServiceJSON = [
            "name": "postgres", "port": ServiceJSON(cluster.pods.servicePort), "targetPort": 5432,
        ]
        var pods = object(.services, PodNames.service(name), .database)
        pods["spec"] = [
            "clusterIP": "None", "publishNotReadyAddresses": true,
            "selector": .object(selector.mapValues { .text($0) }),
            "ports": [
                ["name": "postgres", "port": 5432, "targetPort": 5432], ["name": "patroni", "port": 8008],
                ["name": "agent", "port": ServiceJSON(EngineConfiguration.agentPort)],
            ],
        ]
        var primary = object(.services, cluster.names.primaryService, .database)
        primary.labels.merge(cluster.pods.primaryServiceLabels) { own, _ in own }
        primary.annotations.merge(cluster.pods.primaryServiceAnnotations) { _, own in own }
        // Without a selector: Patroni writes the primary's address.
        var primarySpec = Self.serviceType(cluster.pods.primaryServiceType)
        primarySpec["ports"] = [port]
        for (name, value) in cluster.pods.primaryServiceSettings { primarySpec[name] = value }
        // Nobody connects to it: Endpoints without a Service of their name would be removed.
        var state = object(.services, Self.stateName(name), .database)
        state["spec"] = ["clusterIP": "None"]
        var services = [pods, state]
        if cluster.names.primaryService != name {
            // The Endpoints that Patroni writes have the cluster's name.
            var leader = object(.services, name, .database)
            leader["spec"] = ["type": "ClusterIP", "ports": [port]]
            services.append(leader)
            primarySpec["selector"] = .object(
                selector.merging(["role": PodNames.primaryRole(cluster.major)]) { _, last in last }.mapValues {
                    .text($0)
                })
        }
        primary["spec"] = primarySpec
        services.append(primary)
        if cluster.pods.hasReplicaService {
            var replicas = object(.services, cluster.names.replicaService, .database)
            replicas.labels.merge(cluster.pods.replicaServiceLabels) { own, _ in own }
            replicas.annotations.merge(cluster.pods.replicaServiceAnnotations) { _, own in own }
            var spec = Self.serviceType(cluster.pods.replicaServiceType)
            spec["ports"] = [port]
            spec["selector"] = .object(
                selector.merging(["role": "replica"]) { _, last in last }.mapValues { .text($0) })
            for (name, value) in cluster.pods.replicaServiceSettings { spec[name] = value }
            replicas["spec"] = spec
            services.append(replicas)
        }
        return services.map { WantedObject(type: .services, object: $0) }
    }

    /// `None` is a Service whose name leads to the pods themselves.
    private static func serviceType(_ type: String) -> ServiceJSON {
        type == "None" ? ["type": "ClusterIP", "clusterIP": "None"] : ["type": .text(type)]
    }

    /// By which pods of the database are found.
    var selector: [String: String] {
        [OperatorNames.cluster: name, OperatorNames.part: Part.database.rawValue]
    }
}
