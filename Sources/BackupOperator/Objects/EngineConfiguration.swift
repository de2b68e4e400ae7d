import HTTP
import KubernetesClient

/// The configuration of agents, repository host and jobs of one cluster: text for a ConfigMap, and what of it is secret.
struct EngineConfiguration {
    let cluster: DatabaseCluster
    /// Whether stores must be signed by what the operator was told.
    let hasTrustedCertificates: Bool

    static let trustedFile = "trusted-ca.crt"
    static let directory = "/etc/pgbackrest"
    static let tlsDirectory = "\(directory)/tls"
    static let dataDirectory = "/var/lib/postgresql/data"
    static let spool = "/var/lib/postgresql/spool"
    /// Of a volume that has outlived its cluster, on the repository host of one that begins with it; the engine's number
    /// for it, which is no user's.
    static let sourceDirectory = "/pgbackrest/source"
    static let sourceKey = 5
    static let socketDirectory = "/var/run/postgresql"
    static let runDirectory = "/run/permafrost"
    static let monitorPort = 9187
    static let agentPort = 8433
    static let hostPort = 8432

    /// By which parts of the cluster know each other: the common name of their certificate.
    var commonName: String { String(cluster.key.name.prefix(64)) }

    /// Of PostgreSQL's pods.
    func agentText() -> String {
        var lines = common()
        lines += [
            "lock-path=\(Self.runDirectory)/lock",
            "spool-path=\(Self.spool)",
            "agent-socket=\(Self.runDirectory)/agent.sock",
            "start-fast=y",
            "archive-async=y",
            "archive-timeout=10m",
        ]
        lines += server(port: Self.agentPort)
        lines += repositories(isHost: false)
        lines = withEngineOptions(lines)
        lines += stanza(["pg1-path=\(Self.dataDirectory)", "pg1-socket-path=\(Self.socketDirectory)"])
        return text(lines)
    }

    /// Of the repository host.
    func hostText() -> String {
        var lines = common()
        lines += ["lock-path=\(Self.runDirectory)/lock", "spool-path=\(Self.runDirectory)/spool"]
        lines += server(port: Self.hostPort)
        // Clusters that begin as copies read here.
        lines += [
            "tls-server-auth=\(OperatorNames.reader)=\(OperatorNames.stanza)",
            "tls-server-allow=\(OperatorNames.reader)=read",
        ]
        lines += repositories(isHost: true)
        if let found = cluster.restore?.found, found.claim != nil {
            lines.append("repo\(found.key)-path=\(Self.sourceDirectory)")
        }
        lines = withEngineOptions(lines)
        lines += stanza(["pg1-path=\(Self.dataDirectory)"])
        return text(lines)
    }

    /// Of pods that have an agent do something: they know no repository.
    func jobText() -> String {
        var lines = common() + ["lock-path=/tmp/lock", "spool-path=/tmp/spool"]
        // A repository can only be named that is known of; where it is, is for the agent to know.
        let keys = cluster.repositories.map(\.key) + cluster.faultyRepositories.map(\.key)
        lines += Set(keys).sorted().map { "repo\($0)-local=y" }
        var hosts: [String] = []
        for number in 0..<max(1, cluster.instances) {
            let prefix = "pg\(number + 1)"
            hosts += [
                "\(prefix)-path=\(Self.dataDirectory)", "\(prefix)-host=\(PodNames.host(number, cluster.key))",
                "\(prefix)-host-type=tls", "\(prefix)-host-port=\(Self.agentPort)",
                "\(prefix)-host-ca-file=\(Self.tlsDirectory)/ca.crt",
                "\(prefix)-host-cert-file=\(Self.tlsDirectory)/tls.crt",
                "\(prefix)-host-key-file=\(Self.tlsDirectory)/tls.key",
            ]
        }
        lines += stanza(hosts)
        return text(lines)
    }

    /// Of a pod that works on one repository by itself, and of the start of a cluster from a backup.
    /// - Parameters:
    ///   - directory: where the configuration is mounted.
    ///   - options: further ones of the engine.
    static func repositoryText(
        _ location: RepositoryLocation, in directory: String, options: [String: String] = [:],
        hasTrustedCertificates: Bool
    ) -> String {
        text(Self.repository(1, location, directory, hasTrustedCertificates), OperatorNames.stanza, options)
    }

    /// Of the start of a cluster from a repository.
    /// - Parameter host: that lends it, and where the certificates are with which it does.
    static func sourceText(
        _ location: RepositoryLocation, key: Int, _ restore: WantedRestore,
        host: (name: String, certificates: [String])?, hasTrustedCertificates: Bool
    ) -> String {
        guard let host else {
            let lines = Self.repository(
                key, location, PatroniConfiguration.restoreDirectory, hasTrustedCertificates)
            return text(lines, restore.stanza, restore.settings)
        }
        return text(
            Self.lent(key, location, host.name, certificates: host.certificates), restore.stanza, restore.settings)
    }

    private static func text(_ repository: [String], _ stanza: String, _ options: [String: String]) -> String {
        var lines = ["[global]", "log-level-console=info", "log-level-file=off"]
        lines += ["lock-path=/tmp/lock", "spool-path=/tmp/spool"]
        lines += options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        lines += repository
        lines += ["[\(stanza)]", "pg1-path=\(dataDirectory)", "pg1-socket-path=\(socketDirectory)"]
        return lines.joined(separator: "\n") + "\n"
    }

    private func common() -> [String] {
        [
            // Of a segment a line would be three.
            "[global:archive-push]", "log-level-console=warn", "[global:archive-get]", "log-level-console=warn",
            "[global]", "log-level-console=info", "log-level-file=off",
        ]
    }

    private func server(port: Int) -> [String] {
        [
            "tls-server-address=*", "tls-server-port=\(port)",
            "tls-server-ca-file=\(Self.tlsDirectory)/ca.crt", "tls-server-cert-file=\(Self.tlsDirectory)/tls.crt",
            "tls-server-key-file=\(Self.tlsDirectory)/tls.key",
            "tls-server-auth=\(commonName)=\(OperatorNames.stanza)",
            "monitor-address=*", "monitor-port=\(Self.monitorPort)",
        ]
    }

    /// What the user says counts before what is ours.
    private func withEngineOptions(_ lines: [String]) -> [String] {
        let given = cluster.engineOptions
        var section = ""
        let others = lines.filter { line in
            if line.hasPrefix("[") { section = line }
            return section != "[global]" || given[String(line.prefix { $0 != "=" })] == nil
        }
        return others + given.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }

    private func repositories(isHost: Bool) -> [String] {
        var lines: [String] = []
        // What belongs to no single repository is that of the first; a job brings its own.
        if let first = cluster.repositories.first {
            for name in ["compress-type", "process-max", "rate-limit-disk", "rate-limit-network"] {
                if let value = first.settings[name] { lines.append("\(name)=\(value)") }
            }
        }
        for repository in cluster.repositories {
            if repository.volume != nil {
                lines += volume(repository, isHost: isHost)
            } else {
                lines += Self.repository(
                    repository.key, repository.location, Self.directory, hasTrustedCertificates)
            }
            // A request for each small file takes a store longer than the file.
            var keeping = ["bundle": "y"]
            keeping["retention-full"] = repository.retention.map { "\($0)" }
            keeping.merge(repository.keeping) { _, user in user }
            lines += keeping.sorted { $0.key < $1.key }.map { "repo\(repository.key)-\($0.key)=\($0.value)" }
            for (name, value) in repository.settings.sorted(by: { $0.key < $1.key })
            where name.hasPrefix("storage-") {
                lines.append("repo\(repository.key)-\(name)=\(value)")
            }
            if repository.keepsArchiveOfHeld { lines.append("repo\(repository.key)-retention-hold-archive=y") }
        }
        return lines
    }

    /// A directory of the repository host, which agents reach by it.
    private func volume(_ repository: WantedRepository, isHost: Bool) -> [String] {
        let prefix = "repo\(repository.key)"
        if isHost {
            return repository.location.options.sorted { $0.key < $1.key }.map { "\(prefix)-\($0.key)=\($0.value)" }
        }
        return Self.lent(
            repository.key, repository.location, PodNames.repositoryHost(cluster.key),
            certificates: ["ca.crt", "tls.crt", "tls.key"].map { "\(Self.tlsDirectory)/\($0)" })
    }

    /// What a repository host has on a volume, for those who reach it there.
    /// - Parameter certificates: files of the authority, of the certificate and of its key.
    private static func lent(
        _ key: Int, _ location: RepositoryLocation, _ host: String, certificates: [String]
    ) -> [String] {
        let prefix = "repo\(key)"
        return location.options.filter { $0.key != "path" }.sorted { $0.key < $1.key }
            .map { "\(prefix)-\($0.key)=\($0.value)" } + [
                "\(prefix)-host=\(host)", "\(prefix)-host-type=tls", "\(prefix)-host-port=\(Self.hostPort)",
            ]
            + zip(["ca", "cert", "key"], certificates).map { "\(prefix)-host-\($0)-file=\($1)" }
    }

    private static func repository(
        _ key: Int, _ location: RepositoryLocation, _ directory: String, _ hasTrustedCertificates: Bool
    ) -> [String] {
        var lines = location.options.sorted { $0.key < $1.key }.map { "repo\(key)-\($0.key)=\($0.value)" }
        for name in location.files.keys.sorted() {
            lines.append("repo\(key)-\(name)=\(directory)/files/\(fileName(key, name))")
        }
        if hasTrustedCertificates, location.files["storage-ca-file"] == nil, location.options["storage-ca-file"] == nil
        {
            lines.append("repo\(key)-storage-ca-file=\(directory)/\(trustedFile)")
        }
        return lines
    }

    static func fileName(_ key: Int, _ option: String) -> String { "repo\(key)-\(option)" }

    private func stanza(_ lines: [String]) -> [String] { ["[\(OperatorNames.stanza)]"] + lines }

    private func text(_ lines: [String]) -> String { lines.joined(separator: "\n") + "\n" }
}

/// Names of pods in the DNS.
enum PodNames {
    /// What Patroni labels the leader with: before its version 4, which the image of 15 has not, it was another word.
    static func primaryRole(_ major: Int) -> String { major < 16 ? "master" : "primary" }

    static func service(_ cluster: String) -> String { "\(cluster)-pods" }

    static func pod(_ number: Int, _ cluster: String) -> String { "\(cluster)-\(number)" }

    static func host(_ number: Int, _ cluster: ObjectKey) -> String { host(pod(number, cluster.name), cluster) }

    static func host(_ pod: String, _ cluster: ObjectKey) -> String {
        "\(pod).\(service(cluster.name)).\(cluster.namespace ?? "default").svc"
    }

    static func repositoryHost(_ cluster: String) -> String { "\(cluster)-repo-host" }

    static func repositoryHost(_ cluster: ObjectKey) -> String {
        "\(repositoryHost(cluster.name)).\(cluster.namespace ?? "default").svc"
    }

    /// All that the certificate of a cluster is for; the common name first.
    static func certificateNames(_ cluster: ObjectKey) -> [String] {
        let namespace = cluster.namespace ?? "default"
        let pods = service(cluster.name)
        let host = repositoryHost(cluster.name)
        return [
            String(cluster.name.prefix(64)), "*.\(pods).\(namespace).svc", "*.\(pods).\(namespace).svc.cluster.local",
            host, "\(host).\(namespace)", "\(host).\(namespace).svc",
        ]
    }
}
