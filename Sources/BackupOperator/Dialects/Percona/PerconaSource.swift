import BackupModel
import HTTP
import KubernetesClient

/// `spec.dataSource`: what a cluster begins with.
struct PerconaSource: Sendable {
    private(set) var restore: WantedRestore?
    private(set) var unsupported: [UnsupportedField] = []

    private static let path = "spec.dataSource"
    /// Where recovery may end in a database that begins to live then.
    private static let types: Set<String> = ["default", "immediate", "lsn", "name", "time", "xid"]

    init(_ cluster: KubernetesObject) throws(Refusal) {
        guard let json = cluster["spec", "dataSource"], !json.isEmpty else { return }
        if let volumes = json["volumes"], !volumes.isEmpty {
            throw Refusal(
                "DataSourceUnsupported",
                "\(Self.path).volumes: a cluster cannot begin with volumes of another: name its repository, in "
                    + "\(Self.path).postgresCluster or \(Self.path).pgbackrest")
        }
        let (from, bucket) = (json["postgresCluster"], json["pgbackrest"])
        switch (from, bucket) {
        case (let from?, nil): restore = try Self.cluster(from, cluster)
        case (nil, let bucket?): restore = try repository(bucket, cluster)
        case (nil, nil):
            throw Refusal("DataSourceInvalid", "\(Self.path) names neither postgresCluster nor pgbackrest")
        default:
            throw Refusal(
                "DataSourceInvalid", "\(Self.path) has both postgresCluster and pgbackrest: a cluster begins with one")
        }
    }

    // MARK: A cluster

    private static func cluster(_ json: ServiceJSON, _ cluster: KubernetesObject) throws(Refusal) -> WantedRestore {
        let path = "\(path).postgresCluster"
        guard let name = Percona.text(json, "repoName"), let key = Percona.key(name) else {
            throw Refusal(
                "DataSourceInvalid",
                "\(path).repoName '\(Percona.text(json, "repoName") ?? "")' is none of repo1 to repo4")
        }
        let source = ObjectKey(
            namespace: Percona.text(json, "clusterNamespace") ?? cluster.namespace,
            name: Percona.text(json, "clusterName") ?? cluster.name)
        var restore = WantedRestore(
            source: .cluster(SourceCluster(key: source, repository: key, claim: "\(source.name)-\(name)")),
            description: source == cluster.key
                ? "\(name) of an earlier cluster of this name" : "\(name) of cluster '\(source)'")
        restore.options = try options(json, path)
        return restore
    }

    private static func options(
        _ json: ServiceJSON, _ path: String
    ) throws(Refusal) -> [(name: String, value: String)] {
        do throws(Refusal) {
            let options = try PerconaRestore.options(
                try PerconaWords.options((json["options"]?.elements ?? []).compactMap(\.string)))
            for (name, value) in options {
                if name == "type", !types.contains(value) {
                    throw PerconaWords.refusal(
                        "'--type=\(value)' is not for a cluster that begins: "
                            + types.sorted().joined(separator: ", ") + " are")
                }
                if ["archive-mode", "force"].contains(name) {
                    throw PerconaWords.refusal("option '--\(name)' is not for a cluster that begins")
                }
            }
            // It always is.
            return options.filter { $0.name != "delta" }
        } catch {
            throw Refusal(error.reason, error.message.replacing("spec.options:", with: "\(path).options:"))
        }
    }

    // MARK: A bucket

    private mutating func repository(
        _ json: ServiceJSON, _ cluster: KubernetesObject
    ) throws(Refusal) -> WantedRestore {
        let path = "\(Self.path).pgbackrest"
        guard let repo = json["repo"], let name = Percona.text(repo, "name"), let key = Percona.key(name) else {
            throw Refusal("DataSourceInvalid", "\(path).repo.name is none of repo1 to repo4")
        }
        if repo["volume"] != nil {
            throw Refusal(
                "DataSourceUnsupported",
                "\(path).repo.volume: a volume is found by its cluster: name that one, though it may be gone, in "
                    + "\(Self.path).postgresCluster")
        }
        // The same words in another place.
        var other = KubernetesObject(Percona.clusters, namespace: cluster.namespace, name: cluster.name)
        other["spec"] = ["backups": ["pgbackrest": ["repos": [repo], "global": json["global"] ?? [:]]]]
        func here(_ text: String) -> String {
            text.replacing("\(PerconaRepositories.path).repos[0]", with: "\(path).repo")
                .replacing(PerconaRepositories.path, with: path)
        }
        let read: PerconaRepositories
        do throws(Refusal) {
            read = try PerconaRepositories(other, removed: [])
        } catch {
            throw Refusal(error.reason, here(error.message))
        }
        if let fault = read.faulty.first?.fault { throw Refusal(fault.reason, here(fault.message)) }
        guard let location = read.repositories.first?.location else {
            throw Refusal("DataSourceInvalid", "\(path).repo cannot be used")
        }
        unsupported = read.unsupported.map { UnsupportedField(here($0.path), here($0.reason)) }
        let files = PerconaFiles(json["configuration"], at: "\(path).configuration")
        unsupported += files.unsupported
        for place in files.files.tokens.indices {
            unsupported.append(
                UnsupportedField(
                    "\(path).configuration: serviceAccountToken \(place + 1)",
                    "pods have the tokens that \(PerconaRepositories.path).configuration names"))
        }
        var restore = WantedRestore(
            source: .place(SourcePlace(location: location, key: key, files: files.files)),
            description: PerconaLocation.destination(location) ?? name)
        restore.stanza = Percona.text(json, "stanza") ?? OperatorNames.stanza
        restore.options = try Self.options(json, path)
        restore.settings = read.engineOptions.filter { name, _ in
            guard let option = OptionName(rawValue: name), !name.hasPrefix("log-"), option != .archiveAsync else {
                return false
            }
            return OptionTable.definition(option)?.isValid(for: .restore) == true
        }
        return restore
    }
}

/// A list of sources of users' files, as `configuration` has it.
struct PerconaFiles: Sendable {
    private(set) var files = UserFiles()
    private(set) var unsupported: [UnsupportedField] = []

    init(_ list: ServiceJSON?, at path: String) {
        for (place, json) in (list?.elements ?? []).enumerated() {
            let path = "\(path)[\(place)]"
            for (member, kind) in [("secret", UserFiles.Source.Kind.secret), ("configMap", .configMap)] {
                guard let source = json[member] else { continue }
                guard let name = Percona.text(source, "name") else {
                    unsupported.append(UnsupportedField("\(path).\(member)", "it has no name"))
                    continue
                }
                var items: [UserFiles.Item]?
                if let list = source["items"]?.elements, !list.isEmpty {
                    items = list.compactMap { item in
                        guard let key = Percona.text(item, "key"), let file = Percona.text(item, "path") else {
                            return nil
                        }
                        return UserFiles.Item(key: key, file: file)
                    }
                }
                files.sources.append(
                    UserFiles.Source(kind, name, items: items, isOptional: source["optional"]?.bool ?? false))
            }
            if let token = json["serviceAccountToken"] { files.tokens.append(["serviceAccountToken": token]) }
            for member in ["downwardAPI", "clusterTrustBundle", "podCertificate"] where json[member] != nil {
                unsupported.append(UnsupportedField("\(path).\(member)", "nothing comes of it"))
            }
        }
    }
}
