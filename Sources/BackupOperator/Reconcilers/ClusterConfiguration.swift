import BackupModel
import CertificateAuthority
import HTTP
import KubernetesClient

/// The ConfigMaps and Secrets of a cluster: what users' Secrets say, and certificates.
struct ClusterConfiguration {
    let context: OperatorContext
    let objects: ClusterObjects

    /// Annotation of the Secret: what it was made from.
    private static let sources = "permafrost.dev/sources"
    /// Annotation of the Secret: when its certificate is to be renewed.
    private static let renewal = "permafrost.dev/renew-after"

    private var cluster: DatabaseCluster { objects.cluster }
    private var namespace: String? { cluster.key.namespace }

    /// - Returns: what of users' Secrets is missing, by repository.
    func reconcile() async throws(KubernetesError) -> [Int: SecretKey] {
        try await context.apply(objects.userSecret { Self.password() })
        let kept = try await kept()
        try await context.apply(objects.configurationMap(kept))
        let places = cluster.repositories.map { (key: $0.key, location: $0.location) }
        var missing: [Int: SecretKey] = [:]
        let name = ClusterObjects.configurationName(cluster.key.name)
        let sources = sources(places) + (kept.keys.isEmpty ? "" : " \(kept.keys.sorted())")
        let present = context.caches.secrets[ObjectKey(namespace: namespace, name: name)]
        let renewal = present?.annotations[Self.renewal].flatMap { Int64($0) } ?? 0
        if present?.annotations[Self.sources] != sources || context.now() >= renewal {
            missing = try await renew(places, name, sources, kept)
        }
        try await restore()
        try await tellPods()
        return missing
    }

    /// A repository that cannot be used as it is asked for stays as it was configured: WAL must not be thrown away
    /// because somebody makes its storage anew, or writes something wrong into it.
    private func kept() async throws(KubernetesError) -> KeptConfiguration {
        guard !cluster.faultyRepositories.isEmpty else { return KeptConfiguration() }
        let map = try await context.client.find(
            .configMaps, namespace: namespace, name: ClusterObjects.configurationName(cluster.key.name))
        return KeptConfiguration(cluster.faultyRepositories.map(\.key), map)
    }

    /// The Secrets by name and state: their content need not be asked for when they have not changed.
    private func sources(_ places: [(key: Int, location: RepositoryLocation)]) -> String {
        let names = places.reduce(into: Set<String>()) { $0.formUnion($1.location.secretNames) }
        let states = names.sorted().map { name in
            let secret = context.caches.secrets[ObjectKey(namespace: namespace, name: name)]
            return "\(name) \(secret?.uid ?? "") \(secret?.resourceVersion ?? "")"
        }
        let entries = places.flatMap { place in
            place.location.secrets.merging(place.location.files) { _, last in last }
                .map { "\(place.key) \($0.key) \($0.value)" }.sorted()
        }
        return OperatorNames.digest((states + entries).joined(separator: "\n"))
    }

    private func renew(
        _ places: [(key: Int, location: RepositoryLocation)], _ name: String, _ sources: String,
        _ kept: KeptConfiguration
    ) async throws(KubernetesError) -> [Int: SecretKey] {
        var (credentials, missing) = try await credentials(places)
        let present = try await context.client.find(.secrets, namespace: namespace, name: name)
        if let present { kept.add(to: &credentials, from: present) }
        let authority = try await authority()
        let names = PodNames.certificateNames(cluster.key)
        let now = context.now()
        var certificate = present?.data("tls.crt").map { String(decoding: $0, as: UTF8.self) } ?? ""
        var key = present?.data("tls.key").map { String(decoding: $0, as: UTF8.self) } ?? ""
        do throws(BackupError) {
            let isDue = IssuedCertificate.validity(certificate)?.isDue(at: now) ?? true
            if isDue || !authority.hasIssued(certificate, names: names) {
                let issued = try authority.issue(names: names, now: now, days: context.settings.certificateDays)
                (certificate, key) = (issued.certificate, issued.key.revealed)
            }
        } catch {
            throw KubernetesError(status: nil, message: "no certificate for cluster '\(cluster.key)': \(error.message)")
        }
        var secret = objects.configurationSecret(
            credentials, certificate: certificate, key: key, authority: authority.certificate)
        // While something is missing it is looked for each time.
        secret.object.annotations[Self.sources] = missing.isEmpty ? sources : nil
        if !credentials.accounts.isEmpty {
            secret.object.annotations[Credentials.accountsName] = credentials.accountsText
        }
        secret.object.annotations[Self.renewal] = "\(IssuedCertificate.validity(certificate)?.dueTime ?? 0)"
        try await context.apply(secret)
        return missing
    }

    private func authority() async throws(KubernetesError) -> IssuedCertificate {
        if let present = try await presentAuthority() { return present }
        let made: IssuedCertificate
        do throws(BackupError) {
            made = try IssuedCertificate.authority(
                named: "Permafrost \(cluster.key)".prefix(64).description, now: context.now(),
                days: context.settings.authorityDays)
        } catch {
            throw KubernetesError(status: nil, message: "no authority for cluster '\(cluster.key)': \(error.message)")
        }
        try await context.applying.apply(
            objects.authoritySecret(certificate: made.certificate, key: made.key.revealed), present: nil)
        // Somebody else may have been faster: what is there counts.
        return try await presentAuthority() ?? made
    }

    private func presentAuthority() async throws(KubernetesError) -> IssuedCertificate? {
        let name = ClusterObjects.authorityName(cluster.key.name)
        guard let secret = try await context.client.find(.secrets, namespace: namespace, name: name) else { return nil }
        // What another has signed is not to be trusted.
        try Applying.check(secret, .secrets, is: objects.object(.secrets, name, .configuration))
        guard let certificate = secret.data("tls.crt"), let key = secret.data("tls.key") else { return nil }
        return IssuedCertificate(
            certificate: String(decoding: certificate, as: UTF8.self), key: Secret(String(decoding: key, as: UTF8.self))
        )
    }

    private func credentials(
        _ places: [(key: Int, location: RepositoryLocation)]
    ) async throws(KubernetesError) -> (Credentials, [Int: SecretKey]) {
        var secrets: [String: KubernetesObject] = [:]
        for name in places.reduce(into: Set<String>(), { $0.formUnion($1.location.secretNames) }) {
            secrets[name] = try await context.client.find(.secrets, namespace: namespace, name: name)
        }
        return Credentials.collect(places) { secrets[$0.name]?.data($0.key) }
    }

    /// Of a cluster that begins as a copy, until it has begun.
    private func restore() async throws(KubernetesError) {
        guard let found = cluster.restore?.found else { return try await forget() }
        for wanted in objects.restoreObjects(found) { try await context.apply(wanted) }
    }

    /// It has begun: the keys of what it began with are of no use any more.
    private func forget() async throws(KubernetesError) {
        let name = ClusterObjects.restoreName(cluster.key.name)
        for type in [ResourceType.secrets, .configMaps] {
            guard let object = context.caches.cache(of: type)?[ObjectKey(namespace: namespace, name: name)],
                object.labels[OperatorNames.part] == ClusterObjects.Part.restore.rawValue
            else { continue }
            do throws(KubernetesError) {
                try await context.client.delete(
                    type, namespace: namespace, name: name,
                    DeleteOptions(propagation: .background, uid: object.uid))
            } catch {
                if !error.isNotFound { throw error }
            }
        }
    }

    /// The kubelet looks at what it has mounted once a minute, and at once when a pod changes.
    private func tellPods() async throws(KubernetesError) {
        let map = context.caches.configMaps[
            ObjectKey(namespace: namespace, name: ClusterObjects.configurationName(cluster.key.name))]
        let secret = context.caches.secrets[
            ObjectKey(namespace: namespace, name: ClusterObjects.configurationName(cluster.key.name))]
        guard let map, let secret else { return }
        var state = "\(map.resourceVersion ?? "")-\(secret.resourceVersion ?? "")"
        let files = ObjectKey(namespace: namespace, name: ClusterObjects.filesName(cluster.key.name))
        if cluster.files != nil, let version = context.caches.secrets[files]?.resourceVersion { state += "-\(version)" }
        let pods =
            context.pods(of: cluster.key, .database) + context.pods(of: cluster.key, .repositoryHost)
        for pod in pods where pod.annotations[OperatorNames.configuration] != state && !pod.isBeingDeleted {
            do throws(KubernetesError) {
                _ = try await context.client.patch(
                    .pods, namespace: pod.namespace, name: pod.name,
                    ["metadata": ["annotations": [OperatorNames.configuration: .text(state)]]])
            } catch {
                if !error.isNotFound { throw error }
            }
        }
    }

    /// 160 bits.
    static func password() -> String {
        let letters = Array("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")
        return String((0..<28).map { _ in letters[Int.random(in: 0..<letters.count)] })
    }
}
