import BackupModel
import CertificateAuthority
import HTTP
import KubernetesClient

/// What a cluster that begins as a copy reads from: found, and checked as far as it can be before anything is made.
struct CopySource {
    let context: OperatorContext
    let cluster: DatabaseCluster
    let restore: WantedRestore

    private var namespace: String? { cluster.key.namespace }
    private var hasTrustedCertificates: Bool { context.settings.trustedCertificates != nil }

    func find() async throws(KubernetesError) -> Result<FoundSource, Refusal> {
        if let refusal = try await refuseData() { return .failure(refusal) }
        switch restore.source {
        case .place(let place): return try await find(place)
        case .cluster(let source): return try await find(source)
        }
    }

    /// PostgreSQL would start on what is there, and nothing would be restored.
    private func refuseData() async throws(KubernetesError) -> Refusal? {
        // One of an earlier cluster of this name may be there for a moment yet.
        let own = context.caches.statefulSets[cluster.key]?.ownerReferences.contains { $0.uid == cluster.owner.uid }
        if own == true { return nil }
        let name = "\(cluster.names.dataClaim)-\(PodNames.pod(0, cluster.key.name))"
        guard
            try await context.client.find(.persistentVolumeClaims, namespace: namespace, name: name) != nil
        else { return nil }
        return Refusal(
            "DataPresent",
            "claim '\(name)' has the data of an earlier cluster of this name: delete it for \(restore.description) to "
                + "be restored, or ask for no source, and the cluster goes on with that data",
            isTemporary: true)
    }

    // MARK: A place

    private func find(_ place: SourcePlace) async throws(KubernetesError) -> Result<FoundSource, Refusal> {
        if cluster.repositories.contains(where: { $0.location.identity == place.location.identity }) {
            if restore.stanza != OperatorNames.stanza {
                return .failure(
                    Refusal(
                        "StanzaDiffers",
                        "\(restore.description) is the cluster's own place too, where its stanza is "
                            + "'\(OperatorNames.stanza)', not '\(restore.stanza)': choose another path for its backups")
                )
            }
            if let writer = context.writer(to: place.location, but: cluster.key) {
                return .failure(Self.isTaken(restore.description, writer))
            }
        }
        var secrets: [String: KubernetesObject] = [:]
        for name in place.location.secretNames {
            secrets[name] = try await context.client.find(.secrets, namespace: namespace, name: name)
        }
        let (credentials, missing) = Credentials.collect([(place.key, place.location)]) {
            secrets[$0.name]?.data($0.key)
        }
        if let selector = missing[place.key] {
            return .failure(
                Refusal(
                    "SecretMissing", "\(restore.description) needs \(selector), which does not exist",
                    isTemporary: true))
        }
        var found = FoundSource(
            key: place.key,
            text: EngineConfiguration.sourceText(
                place.location, key: place.key, restore, host: nil, hasTrustedCertificates: hasTrustedCertificates),
            secretText: credentials.text, files: credentials.files)
        if let files = place.files {
            let content = try await content(files, in: namespace, beside: found.text)
            if let fault = content.faults.first(where: \.isTemporary) { return .failure(fault) }
            found.faults = content.faults
            add(content, to: &found)
        }
        return accepted(found)
    }

    /// Where two would write, and each would take the other's WAL for its own.
    static func isTaken(_ what: String, _ writer: ObjectKey) -> Refusal {
        Refusal(
            "RepositoryInUse",
            "\(what) is the cluster's own place too, and cluster '\(writer)' writes there: choose another path for the "
                + "backups of this one, or delete that one first",
            isTemporary: true)
    }

    // MARK: A cluster

    private func find(_ source: SourceCluster) async throws(KubernetesError) -> Result<FoundSource, Refusal> {
        if source.key == cluster.key { return try await findOwn(source) }
        let watched = context.settings.watchedNamespaces
        guard watched.isEmpty || watched.contains(source.key.namespace ?? "") else {
            return .failure(
                Refusal(
                    "NamespaceNotWatched",
                    "cluster '\(source.key)' is in a namespace that this operator does not look after"))
        }
        guard let manifest = context.cluster(source.key) else { return try await findRest(of: source) }
        // Whoever may make clusters here need not be one who may read what is there.
        if source.key.namespace != namespace, !Self.allows(manifest, namespace ?? "") {
            return .failure(
                Refusal(
                    "CopyNotAllowed",
                    "cluster '\(source.key)' is not to be read from here: it needs the annotation "
                        + "\(OperatorNames.copiesTo): \"\(namespace ?? "")\"",
                    isTemporary: true))
        }
        let wanted: DatabaseCluster
        do throws(Refusal) {
            wanted = try manifest.wanted(context.lookup(source.key.namespace))
        } catch {
            return .failure(
                Refusal(
                    "SourceRefused", "cluster '\(source.key)' cannot be used: \(error.message)", isTemporary: true))
        }
        if let refusal = refuse(source, manifest, wanted) { return .failure(refusal) }
        guard let repository = wanted.repositories.first(where: { $0.key == source.repository }) else {
            let fault = wanted.faultyRepositories.first { $0.key == source.repository }?.fault
            return .failure(
                Refusal(
                    "RepositoryNotFound",
                    "cluster '\(source.key)' has no repo\(source.repository) that can be used"
                        + (fault.map { ": \($0.message)" } ?? ""),
                    isTemporary: true))
        }
        return try await find(repository, of: source.key, wanted)
    }

    private static func allows(_ source: any ClusterManifest, _ namespace: String) -> Bool {
        (source.object.annotations[OperatorNames.copiesTo] ?? "").split(whereSeparator: { ", ".contains($0) })
            .contains { $0 == "*" || $0 == namespace }
    }

    private func refuse(
        _ source: SourceCluster, _ manifest: any ClusterManifest, _ wanted: DatabaseCluster
    ) -> Refusal? {
        if manifest.object.isBeingDeleted {
            return Refusal("SourceGoing", "cluster '\(source.key)' is being deleted", isTemporary: true)
        }
        if wanted.major != cluster.major {
            return Refusal(
                "PostgresVersionDiffers",
                "cluster '\(source.key)' is of PostgreSQL \(wanted.major), and this one is to be of \(cluster.major)")
        }
        // Both would have the same system identifier: nothing else would tell them apart.
        for own in cluster.repositories where own.location.claim == nil {
            if wanted.repositories.contains(where: { $0.location.identity == own.location.identity }) {
                return Self.isTaken("repository \(own.name)", source.key)
            }
        }
        guard let seen = context.watch[source.key].status?[source.repository], seen.error == nil else { return nil }
        guard !seen.backups.isEmpty else {
            return Refusal(
                "BackupNotFound", "there is no backup in repo\(source.repository) of cluster '\(source.key)' yet",
                isTemporary: true)
        }
        if let label = restore.options.first(where: { $0.name == "set" })?.value, label != "latest",
            !seen.backups.contains(where: { $0.label == label })
        {
            return Refusal(
                "BackupNotFound", "there is no backup \(label) in repo\(source.repository) of cluster '\(source.key)'",
                isTemporary: true)
        }
        return nil
    }

    /// One that lives: what is in a store is read there, with its keys; a volume through its repository host.
    private func find(
        _ repository: WantedRepository, of source: ObjectKey, _ wanted: DatabaseCluster
    ) async throws(KubernetesError) -> Result<FoundSource, Refusal> {
        let key = repository.key
        var found = FoundSource(key: key)
        if repository.volume != nil {
            if wanted.isStopped {
                return .failure(
                    Refusal(
                        "SourceStopped",
                        "repo\(key) of cluster '\(source)' is a volume, which nobody lends while the cluster is paused",
                        isTemporary: true))
            }
            let files = ["source-ca.crt", "source-tls.crt", "source-tls.key"]
            found.text = EngineConfiguration.sourceText(
                repository.location, key: key, restore,
                host: (
                    PodNames.repositoryHost(source), files.map { "\(PatroniConfiguration.restoreDirectory)/\($0)" }
                ), hasTrustedCertificates: hasTrustedCertificates)
            switch try await certificate(of: source) {
            case .failure(let refusal): return .failure(refusal)
            case .success(let (authority, issued)):
                for (name, text) in zip(files, [authority, issued.certificate, issued.key.revealed]) {
                    found.files[name] = Array(text.utf8)
                }
            }
        } else {
            found.text = EngineConfiguration.sourceText(
                repository.location, key: key, restore, host: nil, hasTrustedCertificates: hasTrustedCertificates)
            let name = ClusterObjects.configurationName(source.name)
            if let secret = try await context.client.find(.secrets, namespace: source.namespace, name: name) {
                let lines = String(decoding: secret.data("repo.conf") ?? [], as: UTF8.self).split(separator: "\n")
                    .filter { $0.hasPrefix("repo\(key)-") }
                found.secretText = (["[global]"] + lines.map(String.init)).joined(separator: "\n") + "\n"
                for option in repository.location.files.keys {
                    let file = EngineConfiguration.fileName(key, option)
                    found.files[file] = secret.data(file)
                }
            }
        }
        if wanted.files != nil {
            // As they were copied: without what the engine would refuse.
            let copied = UserFiles([
                UserFiles.Source(.secret, ClusterObjects.filesName(source.name), isOptional: true)
            ])
            let content = try await content(copied, in: source.namespace, beside: found.text)
            add(content, to: &found, onlyRepository: true)
        }
        return accepted(found)
    }

    /// Its own repository, which another cluster of its name has left: its own configuration leads there.
    private func findOwn(_ source: SourceCluster) async throws(KubernetesError) -> Result<FoundSource, Refusal> {
        guard let own = cluster.repositories.first(where: { $0.key == source.repository }) else {
            let fault = cluster.faultyRepositories.first { $0.key == source.repository }?.fault
            return .failure(
                Refusal(
                    "RepositoryNotFound",
                    "\(restore.description) is the cluster's own, and it has no such repository that can be used"
                        + (fault.map { ": \($0.message)" } ?? ""),
                    isTemporary: fault?.isTemporary ?? false))
        }
        guard let claim = own.volume?.claim else {
            if let writer = context.writer(to: own.location, but: cluster.key) {
                return .failure(Self.isTaken(restore.description, writer))
            }
            return .success(FoundSource(key: own.key))
        }
        // Made by this cluster it would be empty.
        let present = try await context.client.find(.persistentVolumeClaims, namespace: namespace, name: claim)
        guard present != nil else {
            return .failure(
                Refusal(
                    "ClaimNotFound", "there is no claim '\(claim)' that an earlier cluster of this name has left",
                    isTemporary: true))
        }
        return .success(FoundSource(key: own.key))
    }

    /// It is gone: a volume of it may be left.
    private func findRest(of source: SourceCluster) async throws(KubernetesError) -> Result<FoundSource, Refusal> {
        let isHere = source.key.namespace == namespace
        let claim =
            isHere
            ? try await context.client.find(.persistentVolumeClaims, namespace: namespace, name: source.claim) : nil
        guard claim != nil else {
            return .failure(
                Refusal(
                    "ClusterNotFound",
                    "there is no cluster '\(source.key)'"
                        + (isHere ? ", and no claim '\(source.claim)' that it has left" : "")
                        + "; if it left a bucket, name the bucket as the source",
                    isTemporary: true))
        }
        var location = RepositoryLocation(options: ["type": "posix"])
        location.claim = source.claim
        let directory = EngineConfiguration.tlsDirectory
        return .success(
            FoundSource(
                key: EngineConfiguration.sourceKey,
                text: EngineConfiguration.sourceText(
                    location, key: EngineConfiguration.sourceKey, restore,
                    host: (
                        PodNames.repositoryHost(cluster.key),
                        ["ca.crt", "tls.crt", "tls.key"].map { "\(directory)/\($0)" }
                    ), hasTrustedCertificates: hasTrustedCertificates), claim: source.claim))
    }

    // MARK: Certificates

    /// Its authority's certificate, and one for a client that may read. A repository host takes nobody else's.
    private func certificate(
        of source: ObjectKey
    ) async throws(KubernetesError) -> Result<(String, IssuedCertificate), Refusal> {
        let name = ClusterObjects.authorityName(source.name)
        guard let secret = try await context.client.find(.secrets, namespace: source.namespace, name: name),
            // What another has signed is not to be trusted.
            secret.labels[OperatorNames.cluster] == source.name, let certificate = secret.data("tls.crt"),
            let key = secret.data("tls.key")
        else {
            return .failure(
                Refusal("SourceNotReady", "cluster '\(source)' has no authority yet", isTemporary: true))
        }
        let authority = IssuedCertificate(
            certificate: String(decoding: certificate, as: UTF8.self),
            key: Secret(String(decoding: key, as: UTF8.self)))
        let present = try await context.client.find(
            .secrets, namespace: namespace, name: ClusterObjects.restoreName(cluster.key.name))
        if let old = present?.data("source-tls.crt"), let oldKey = present?.data("source-tls.key") {
            let text = String(decoding: old, as: UTF8.self)
            if authority.hasIssued(text, names: [OperatorNames.reader]),
                IssuedCertificate.validity(text)?.isDue(at: context.now()) == false
            {
                return .success(
                    (
                        authority.certificate,
                        IssuedCertificate(
                            certificate: text, key: Secret(String(decoding: oldKey, as: UTF8.self)))
                    ))
            }
        }
        do throws(BackupError) {
            let issued = try authority.issue(
                names: [OperatorNames.reader], now: context.now(), days: context.settings.certificateDays)
            return .success((authority.certificate, issued))
        } catch {
            return .failure(
                Refusal(
                    "SourceNotReady", "no certificate for cluster '\(source)': \(error.message)", isTemporary: true))
        }
    }

    // MARK: Files

    private func content(
        _ files: UserFiles, in namespace: String?, beside text: String?
    ) async throws(KubernetesError) -> UserFileContent {
        var present: [String: [String: [UInt8]]] = [:]
        for source in files.sources { present[source.shown] = try await context.entries(source, in: namespace) }
        return UserFileContent(files, beside: [text ?? ""], stanza: restore.stanza) { present[$0.shown] }
    }

    /// All of configuration becomes one text, without other repositories; a file that it names is beside it.
    private func add(_ content: UserFileContent, to found: inout FoundSource, onlyRepository: Bool = false) {
        let own = "repo\(found.key)-"
        for (name, bytes) in content.files.sorted(by: { $0.key < $1.key }) {
            guard name.hasSuffix(".conf") else {
                found.files["file-\(name)"] = bytes
                continue
            }
            for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init) {
                let isOther = line.hasPrefix("repo") || onlyRepository && !line.hasPrefix("[")
                if isOther, !line.hasPrefix(own) { continue }
                found.secretText += line + "\n"
            }
        }
        for name in content.files.keys where !name.hasSuffix(".conf") {
            let (old, new) = (
                "=\(PodParts.filesDirectory)/\(name)", "=\(PatroniConfiguration.restoreDirectory)/file-\(name)"
            )
            found.secretText = Self.replaced(found.secretText, old, new)
            found.text = found.text.map { Self.replaced($0, old, new) }
        }
    }

    /// Whole values only.
    private static func replaced(_ text: String, _ old: String, _ new: String) -> String {
        text.split(separator: "\n").map { line in
            line.hasSuffix(old) ? line.dropLast(old.utf8.count) + new : String(line)
        }.joined(separator: "\n") + "\n"
    }

    /// What the engine says of it.
    private func accepted(_ found: FoundSource) -> Result<FoundSource, Refusal> {
        var words = ["--stanza=\(restore.stanza)"]
        words += restore.options.map { "--\($0.name)=\($0.value)" }
        do throws(BackupError) {
            _ = try Configuration.parse(
                arguments: words + ["restore"],
                files: [
                    ConfigFile(path: "restore.conf", text: found.text ?? ""),
                    ConfigFile(path: "repo.conf", text: found.secretText),
                ])
            return .success(found)
        } catch {
            let text = error.message + (error.hint.map { "; \($0)" } ?? "")
            return .failure(
                Refusal(
                    "SourceIncomplete", "\(restore.description) cannot be read: \(text)", isTemporary: true))
        }
    }
}

extension OperatorContext {
    /// A cluster that writes to a place in a store, or may do so at any moment.
    func writer(to place: RepositoryLocation, but key: ObjectKey) -> ObjectKey? {
        guard place.claim == nil else { return nil }
        for dialect in caches.dialects {
            for object in dialect.clusters.objects() where object.key != key {
                guard let wanted = try? dialect.dialect.cluster(object).wanted(lookup(object.namespace)),
                    !wanted.isStopped, wanted.standby == nil,
                    wanted.repositories.contains(where: {
                        $0.location.claim == nil && $0.location.identity == place.identity
                    })
                else { continue }
                return object.key
            }
        }
        return nil
    }

    /// Of a Secret or ConfigMap; nil when there is none.
    func entries(
        _ source: UserFiles.Source, in namespace: String?
    ) async throws(KubernetesError) -> [String: [UInt8]]? {
        let type: ResourceType = source.kind == .secret ? .secrets : .configMaps
        guard let object = try await client.find(type, namespace: namespace, name: source.name) else { return nil }
        var entries: [String: [UInt8]] = [:]
        let (plain, encoded) = source.kind == .secret ? ("stringData", "data") : ("data", "binaryData")
        for (name, text) in object[plain]?.texts ?? [:] { entries[name] = Array(text.utf8) }
        for (name, text) in object[encoded]?.texts ?? [:] { entries[name] = Base64.decode(text) }
        return entries
    }
}
