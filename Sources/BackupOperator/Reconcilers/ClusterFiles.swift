import BackupModel
import HTTP
import KubernetesClient

/// Users' files of configuration: copied into a Secret of ours, without what the engine would refuse. A repository that
/// lacks something without them is left out, so that the others go on.
struct ClusterFiles {
    let context: OperatorContext
    let cluster: DatabaseCluster

    /// Annotation of the Secret: what it was made from.
    private static let sources = "permafrost.dev/sources"

    private var namespace: String? { cluster.key.namespace }
    private func configuration(_ cluster: DatabaseCluster) -> EngineConfiguration {
        EngineConfiguration(
            cluster: cluster, hasTrustedCertificates: context.settings.trustedCertificates != nil)
    }

    /// - Returns: the cluster with what can be used of its repositories, and what is wrong with the files.
    func reconcile() async throws(KubernetesError) -> (DatabaseCluster, [Refusal]) {
        guard let files = cluster.files else { return (cluster, []) }
        let texts = [configuration(cluster).agentText(), configuration(cluster).hostText()]
        let name = ObjectKey(namespace: namespace, name: ClusterObjects.filesName(cluster.key.name))
        let sources = sources(files, texts)
        if context.caches.secrets[name]?.annotations[Self.sources] == sources { return (cluster, []) }

        var present: [String: [String: [UInt8]]] = [:]
        for source in files.sources { present[source.shown] = try await context.entries(source, in: namespace) }
        let content = UserFileContent(files, beside: texts) { present[$0.shown] }
        var usable = cluster
        for repository in cluster.repositories {
            guard let fault = fault(of: repository, content) else { continue }
            usable.repositories.removeAll { $0.key == repository.key }
            if !usable.faultyRepositories.contains(where: { $0.key == repository.key }) {
                usable.faultyRepositories.append(
                    FaultyRepository(key: repository.key, name: repository.name, fault: fault))
            }
        }
        var secret = ClusterObjects(cluster, context.settings).filesSecret(content.files)
        // While something is missing it is looked for each time.
        if content.faults.isEmpty, usable.repositories.count == cluster.repositories.count {
            secret.object.annotations[Self.sources] = sources
        }
        try await context.apply(secret)
        return (usable, content.faults)
    }

    private func sources(_ files: UserFiles, _ texts: [String]) -> String {
        let states = files.sources.map { source in
            let cache = source.kind == .secret ? context.caches.secrets : context.caches.configMaps
            let object = cache[ObjectKey(namespace: namespace, name: source.name)]
            return "\(source) \(object?.uid ?? "") \(object?.resourceVersion ?? "")"
        }
        return OperatorNames.digest((states + texts).joined(separator: "\n"))
    }

    /// What the engine says of a repository with these files; nil when it is content.
    private func fault(of repository: WantedRepository, _ content: UserFileContent) -> Refusal? {
        var alone = cluster
        alone.repositories = [repository]
        var texts = [ConfigFile(path: "pgbackrest.conf", text: configuration(alone).agentText())]
        for (name, bytes) in content.files.sorted(by: { $0.key < $1.key }) where name.hasSuffix(".conf") {
            texts.append(ConfigFile(path: name, text: String(decoding: bytes, as: UTF8.self)))
        }
        do throws(BackupError) {
            _ = try Configuration.parse(arguments: ["--stanza=\(OperatorNames.stanza)", "backup"], files: texts)
            return nil
        } catch {
            let said =
                error.message.hasPrefix("backup command requires option: ")
                ? "there is no option \(error.message.dropFirst("backup command requires option: ".utf8.count)), neither in the cluster nor in its files"
                : error.message
            let missing = content.faults.filter(\.isTemporary).map(\.message)
            return Refusal(
                "ConfigurationIncomplete", ([said] + missing).joined(separator: "; "), isTemporary: true)
        }
    }
}
