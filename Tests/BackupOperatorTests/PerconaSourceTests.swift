import BackupModel
import CertificateAuthority
import Foundation
import HTTP
import Jobs
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// Clusters that begin with what another has written, and those that follow one: what their manifests mean, and what the
/// operator makes of them beside the clusters that they come from.
@Suite(.serialized) struct PerconaSourceTests {
    private static let onVolume: ServiceJSON = ["name": "repo1", "volume": PerconaTranslationTests.volume]
    private static let inBucket: ServiceJSON = ["name": "repo1", "s3": PerconaTranslationTests.s3]

    private static func object(
        _ name: String, _ repo: ServiceJSON, _ more: ServiceJSON = [:], namespace: String = "demo",
        global: ServiceJSON = [:], secret: String? = nil
    ) -> KubernetesObject {
        var backups: ServiceJSON = ["repos": [repo], "global": global]
        if let secret { backups["configuration"] = [["secret": ["name": .text(secret)]]] }
        var object = PerconaTranslationTests.object(backups, more, replicas: 1)
        object["metadata", "name"] = .text(name)
        object["metadata", "namespace"] = .text(namespace)
        return object
    }

    private static func wanted(_ more: ServiceJSON, _ repo: ServiceJSON = Self.onVolume) throws -> DatabaseCluster {
        try PerconaCluster(object("pg", repo, more)).wanted { _, _ in nil }
    }

    // MARK: Manifests

    private static func from(_ member: String, _ json: ServiceJSON) -> ServiceJSON { ["dataSource": [member: json]] }
    private static func bucketSource(_ change: ServiceJSON = [:]) -> ServiceJSON {
        let base: ServiceJSON = ["stanza": "db", "repo": inBucket]
        return from("pgbackrest", base.merging(change))
    }

    static let refusedCases: [(more: ServiceJSON, reason: String, said: String)] = [
        (from("volumes", ["pgDataVolume": ["pvcName": "x"]]), "DataSourceUnsupported", "dataSource.volumes"),
        (["dataSource": ["other": ["name": "x"]]], "DataSourceInvalid", "neither"),
        (
            ["dataSource": ["postgresCluster": ["repoName": "repo1"], "pgbackrest": ["repo": inBucket]]],
            "DataSourceInvalid", "has both"
        ),
        (from("postgresCluster", ["clusterName": "x"]), "DataSourceInvalid", "repoName"),
        (from("postgresCluster", ["repoName": "repo5"]), "DataSourceInvalid", "repo5"),
        (
            from("postgresCluster", ["repoName": "repo1", "options": ["--repo=2"]]), "OptionInvalid",
            "spec.dataSource.postgresCluster.options: option '--repo'"
        ),
        (
            from("postgresCluster", ["repoName": "repo1", "options": ["--type=standby"]]), "OptionInvalid",
            "not for a cluster that begins"
        ),
        (
            from("postgresCluster", ["repoName": "repo1", "options": ["--target-action=pause"]]), "OptionInvalid",
            "always becomes the primary"
        ),
        (
            from("postgresCluster", ["repoName": "repo1", "options": ["--archive-mode=off"]]), "OptionInvalid",
            "archive-mode"
        ),
        (from("postgresCluster", ["repoName": "repo1", "options": ["--type='time"]]), "OptionInvalid", "quotation"),
        (bucketSource(["options": ["--stanza=x"]]), "OptionInvalid", "dataSource.pgbackrest.options"),
        (bucketSource(["repo": ["name": "repo9"]]), "DataSourceInvalid", "repo.name"),
        (
            from("pgbackrest", ["repo": onVolume]), "DataSourceUnsupported", "name that one"
        ),
        (from("pgbackrest", ["repo": ["name": "repo1"]]), "RepositoryInvalid", "spec.dataSource.pgbackrest.repo must"),
        (
            bucketSource(["global": ["repo1-cipher-type": "aes"]]), "OptionInvalid",
            "spec.dataSource.pgbackrest.global.repo1-cipher-type"
        ),
        (["standby": ["enabled": true]], "StandbyInvalid", "repoName"),
        (["standby": ["enabled": true, "repoName": "repo1"]], "StandbyInvalid", "is a volume"),
        (["standby": ["enabled": true, "repoName": "repo2"]], "StandbyInvalid", "no repo2"),
        (["standby": ["enabled": true, "host": "main"]], "StandbyUnsupported", "spec.standby.host"),
    ]

    @Test("a source or a standby that cannot be is refused by name", arguments: refusedCases)
    func refuses(_ more: ServiceJSON, _ reason: String, _ said: String) {
        #expect { try Self.wanted(more) } throws: { error in
            guard let refusal = error as? Refusal else { return false }
            return refusal.reason == reason && refusal.message.contains(said)
        }
    }

    @Test("a source is read as a shell would, and counts no more when the database has begun")
    func source() throws {
        let spec = Self.from(
            "postgresCluster",
            [
                "clusterName": "old", "repoName": "repo2", "resources": ["limits": ["cpu": "1"]],
                "options": ["--type=time --target='2026-07-22 12:22:17+00'", "--delta"],
            ])
        let cluster = try Self.wanted(spec)
        let restore = try #require(cluster.restore)
        let place = ObjectKey(namespace: "demo", name: "old")
        #expect(restore.source == .cluster(SourceCluster(key: place, repository: 2, claim: "old-repo2")))
        #expect(restore.options.map(\.value) == ["2026-07-22 12:22:17+00", "time"])
        #expect(cluster.unsupported.map(\.path) == ["spec.dataSource.postgresCluster.resources"])
        let command = PatroniConfiguration.command(restore, major: 17)
        #expect(command.contains("--target=2026-07-22 12:22:17+00") && command.contains("--target-action=promote"))
        var begun = Self.object("pg", Self.onVolume, spec)
        begun["status"] = ["conditions": [["type": "Bootstrapped", "status": "True"]]]
        let later = try PerconaCluster(begun).wanted { _, _ in nil }
        #expect(later.restore == nil && later.unsupported.isEmpty)
    }

    @Test("a standby has Patroni follow the archive until it was promoted, and then nothing of it is left")
    func standby() throws {
        let follows = try Self.wanted(["standby": ["enabled": true, "repoName": "repo1"]], Self.inBucket)
        let dynamic = PatroniConfiguration(cluster: follows).dynamic
        #expect(
            dynamic[["standby_cluster", "restore_command"]]?.string
                == "permafrost --stanza=db --repo=1 archive-get %f \"%p\"")
        let method = PatroniConfiguration(cluster: follows).json[["postgresql", "permafrost"]]
        #expect(method?["no_leader"] == true && method?["command"]?.string?.contains("--repo=1") == true)
        #expect(PatroniConfiguration(cluster: follows).promotedScript.contains("\n\\getenv superuser"))
        var ends = Self.object("pg", Self.inBucket, ["standby": ["enabled": false, "repoName": "repo1"]])
        ends["status"] = [
            "conditions": [["type": "Bootstrapped", "status": "True"]],
            "permafrost": ["standby": ["state": "following", "repo": "repo1", "lastWal": "0A"]],
        ]
        var wanted = try PerconaCluster(ends).wanted { _, _ in nil }
        #expect(wanted.standby?.isToEnd == true && wanted.standby?.lastSegment == "0A")
        #expect(PatroniConfiguration(cluster: wanted).dynamic["standby_cluster"] == nil)
        wanted.standby?.hold = Refusal("SourceIsWriting", "")
        #expect(PatroniConfiguration(cluster: wanted).dynamic["standby_cluster"] != nil)
        ends["status", "permafrost", "standby", "state"] = "promoting"
        ends["spec", "standby", "enabled"] = true
        let decided = try PerconaCluster(ends).wanted { _, _ in nil }.standby
        #expect(decided?.isDecided == true && decided?.isFollowing == false, "it does not go back")
        ends["spec", "standby", "enabled"] = false
        ends.json[["metadata", "finalizers"]] = [.text(Percona.deleteBackups)]
        #expect(PerconaCluster(ends).removal?.backupsFinalizer == nil, "the backups are another's")
        ends["status", "permafrost", "standby", "state"] = "promoted"
        #expect(try PerconaCluster(ends).wanted { _, _ in nil }.standby == nil)
        #expect(PerconaCluster(ends).removal?.backupsFinalizer != nil)
        ends["spec", "standby", "enabled"] = true
        #expect { try PerconaCluster(ends).wanted { _, _ in nil } } throws: { error in
            (error as? Refusal)?.message.contains("was written to") ?? false
        }
    }

    // MARK: Life

    private func create(_ client: KubernetesClient, _ object: KubernetesObject) async throws {
        _ = try await client.create(Percona.clusters, object)
    }

    private func cluster(
        _ client: KubernetesClient, _ name: String, _ namespace: String = "demo"
    ) async throws -> KubernetesObject { try await client.get(Percona.clusters, namespace: namespace, name: name) }

    private func condition(
        _ client: KubernetesClient, _ name: String, _ type: String, _ namespace: String = "demo"
    ) async throws -> ServiceJSON? {
        (try await cluster(client, name, namespace)["status", "conditions"]?.elements ?? []).first {
            $0["type"]?.string == type
        }
    }

    private func refused(
        _ client: KubernetesClient, _ name: String, _ reason: String, _ said: String, _ namespace: String = "demo"
    ) async throws {
        try await eventually("\(name): \(reason)") {
            let ready = try await condition(client, name, "Ready", namespace)
            return ready?["reason"]?.string == reason && ready?["message"]?.string?.contains(said) == true
        }
    }

    private func begun(_ client: KubernetesClient, _ name: String, _ namespace: String = "demo") async throws {
        try await eventually("\(name) has begun") {
            try await condition(client, name, "Bootstrapped", namespace)?["status"] == "True"
        }
    }

    private func restoreText(_ server: Scene, _ name: String, _ namespace: String = "demo") -> String? {
        server.server.object("configmaps", namespace: namespace, name: "\(name)-restore")?[["data", "restore.conf"]]?
            .string
    }

    /// Controllers that make no pod: what is made for the start can be looked at.
    private func withoutPods(_ scene: Scene, _ body: () async throws -> Void) async throws {
        let work = try scene.makeOperator()
        try await with([{ try await work.run() }]) { try await body() }
    }

    private let old = ObjectKey(namespace: "demo", name: "old")

    private func liveSource(_ scene: Scene, _ client: KubernetesClient, _ object: KubernetesObject) async throws {
        let repo = object["spec", "backups", "pgbackrest", "repos"]?.elements.first
        let type = repo?["s3"] == nil ? "posix" : "s3"
        scene.state.withLock {
            $0.repositories[old] = [(1, type)]
        }
        try await create(client, object)
        let work = try scene.makeOperator()
        try await with([{ try await work.run() }, { try await scene.play() }]) {
            try await eventually("the first backup") {
                scene.state.withLock { $0.backups[old]?.isEmpty == false }
            }
            try await eventually("ready") { try await condition(client, "old", "ReadyForBackup")?["status"] == "True" }
        }
    }

    @Test("a volume of a live cluster is read through its host, with a certificate that may only read")
    func liveVolume() async throws {
        try await withScene { scene, client in
            try await liveSource(scene, client, Self.object("old", Self.onVolume))
            let from = Self.from("postgresCluster", ["clusterName": "old", "repoName": "repo1"])
            try await create(client, Self.object("copy", Self.onVolume, from))
            try await withoutPods(scene) {
                try await eventually("its configuration") {
                    try await client.find(.secrets, namespace: "demo", name: "copy-restore") != nil
                }
                let text = try #require(restoreText(scene, "copy"))
                #expect(text.contains("repo1-host=old-repo-host.demo.svc\n") && text.contains("repo1-host-port=8432\n"))
                #expect(text.contains("repo1-host-cert-file=/etc/permafrost-restore/source-tls.crt\n"), "\(text)")
                let secret = try await client.get(.secrets, namespace: "demo", name: "copy-restore")
                let pem = String(decoding: try #require(secret.data("source-tls.crt")), as: UTF8.self)
                let theirs = try await client.get(.secrets, namespace: "demo", name: "old-permafrost-ca")
                let authority = IssuedCertificate(
                    certificate: String(decoding: try #require(theirs.data("tls.crt")), as: UTF8.self),
                    key: Secret(String(decoding: try #require(theirs.data("tls.key")), as: UTF8.self)))
                #expect(authority.hasIssued(pem, names: ["copies.permafrost.dev"]))
                #expect(secret.data("source-ca.crt") == theirs.data("tls.crt") && theirs.data("tls.key") != nil)
                #expect(secret["data"]?.texts.values.contains(theirs["data", "tls.key"]?.string ?? "") == false)
                let host = try await client.get(.configMaps, namespace: "demo", name: "old-permafrost")
                let served = try #require(host["data", "host.conf"]?.string)
                #expect(served.contains("tls-server-allow=copies.permafrost.dev=read\n"))
                // The same one, however often it is looked at.
                let version = secret.resourceVersion
                _ = try await client.patch(
                    Percona.clusters, namespace: "demo", name: "copy", ["metadata": ["labels": ["a": "b"]]])
                try await Task.sleep(for: .milliseconds(200))
                let again = try await client.get(.secrets, namespace: "demo", name: "copy-restore")
                #expect(again.resourceVersion == version)
            }
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await begun(client, "copy")
                try await eventually("the keys are gone") {
                    try await client.find(.secrets, namespace: "demo", name: "copy-restore") == nil
                }
                let status = try await cluster(client, "copy")["status"]
                #expect(
                    status?[["permafrost", "dataSource", "from"]] == "repo1 of cluster 'demo/old'", "\(status ?? [:])")
                try await eventually("its own first backup") {
                    scene.state.withLock {
                        $0.backups[ObjectKey(namespace: "demo", name: "copy")]?.isEmpty == false
                    }
                }
            }
        }
    }

    @Test("a bucket of a live cluster is read with the keys of that one alone, and never written to")
    func liveBucket() async throws {
        try await withScene { scene, client in
            var secret = KubernetesObject(.secrets, namespace: "demo", name: "keys")
            let lines = """
                [global]
                repo1-s3-key=AKIA
                repo1-s3-key-secret=geheim
                repo1-cipher-pass=verborgen
                repo1-storage-ca-file=/etc/pgbackrest/conf.d/ca.crt
                process-max=2

                """
            secret["stringData"] = ["s3.conf": .text(lines), "ca.crt": "PEM"]
            _ = try await client.create(.secrets, secret)
            try await liveSource(
                scene, client,
                Self.object(
                    "old", Self.inBucket, global: ["repo1-path": "/one", "repo1-cipher-type": "aes-256-cbc"],
                    secret: "keys"))
            let from = Self.from(
                "postgresCluster", ["clusterName": "old", "repoName": "repo1", "options": ["--set=20261122-000001F"]])
            try await create(client, Self.object("copy", Self.onVolume, from))
            try await create(
                client, Self.object("twin", Self.inBucket, from, global: ["repo1-path": "/one"], secret: "keys"))
            try await create(
                client,
                Self.object(
                    "unset", Self.onVolume,
                    Self.from(
                        "postgresCluster",
                        ["clusterName": "old", "repoName": "repo1", "options": ["--set=20200101-000000F"]])))
            try await create(
                client,
                Self.object(
                    "elder", Self.onVolume,
                    from.merging(["postgresVersion": 15])))
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }]) {
                try await eventually("its configuration") {
                    try await client.find(.secrets, namespace: "demo", name: "copy-restore") != nil
                }
                let text = try #require(restoreText(scene, "copy"))
                #expect(text.contains("repo1-path=/one\n") && text.contains("repo1-s3-bucket=b\n"), "\(text)")
                let secret = try await client.get(.secrets, namespace: "demo", name: "copy-restore")
                let own = String(decoding: try #require(secret.data("repo.conf")), as: UTF8.self)
                #expect(own.contains("repo1-s3-key-secret=geheim\n") && own.contains("repo1-cipher-pass=verborgen\n"))
                #expect(own.contains("repo1-storage-ca-file=/etc/permafrost-restore/file-ca.crt\n"), "\(own)")
                #expect(!own.contains("process-max") && secret.data("file-ca.crt") == Array("PEM".utf8))
                try await refused(client, "twin", "RepositoryInUse", "cluster 'demo/old' writes there")
                try await refused(client, "elder", "PostgresVersionDiffers", "of PostgreSQL 17")
                #expect(try await client.find(.statefulSets, namespace: "demo", name: "twin") == nil)
            }
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await refused(client, "unset", "BackupNotFound", "20200101-000000F")
            }
        }
    }

    @Test("a cluster of another namespace is read only where it says so")
    func consent() async throws {
        try await withScene { scene, client in
            _ = try await client.create(.namespaces, KubernetesObject(.namespaces, name: "other"))
            try await liveSource(scene, client, Self.object("old", Self.onVolume))
            let from = Self.from(
                "postgresCluster", ["clusterName": "old", "clusterNamespace": "demo", "repoName": "repo1"])
            try await create(client, Self.object("copy", Self.onVolume, from, namespace: "other"))
            try await withoutPods(scene) {
                try await refused(client, "copy", "CopyNotAllowed", "permafrost.dev/copies-to: \"other\"", "other")
                #expect(try await client.find(.secrets, namespace: "other", name: "copy-restore") == nil)
                _ = try await client.patch(
                    Percona.clusters, namespace: "demo", name: "old",
                    ["metadata": ["annotations": [OperatorNames.copiesTo: "third, other"]]])
                try await eventually("its configuration") { restoreText(scene, "copy", "other") != nil }
                #expect(restoreText(scene, "copy", "other")?.contains("old-repo-host.demo.svc") == true)
            }
        }
    }

    @Test("of a cluster that is gone a claim is lent by the new one's host, and nothing else is guessed")
    func rest() async throws {
        try await withScene { scene, client in
            let from = Self.from("postgresCluster", ["clusterName": "old", "repoName": "repo1"])
            try await create(client, Self.object("copy", Self.onVolume, from))
            try await withoutPods(scene) {
                try await refused(client, "copy", "ClusterNotFound", "no claim 'old-repo1'")
                #expect(try await client.list(.statefulSets).objects.isEmpty)
                var claim = KubernetesObject(.persistentVolumeClaims, namespace: "demo", name: "old-repo1")
                claim["spec"] = PerconaTranslationTests.volume["volumeClaimSpec"]
                _ = try await client.create(.persistentVolumeClaims, claim)
                try await eventually("its configuration") { restoreText(scene, "copy") != nil }
                #expect(restoreText(scene, "copy")?.contains("repo5-host=copy-repo-host.demo.svc\n") == true)
                try await eventually("its host") {
                    let host = try await client.find(.deployments, namespace: "demo", name: "copy-repo-host")
                    let volumes = host?["spec", "template", "spec", "volumes"]?.elements ?? []
                    return volumes.contains { $0[["persistentVolumeClaim", "claimName"]] == "old-repo1" }
                }
            }
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await begun(client, "copy")
                try await eventually("the claim is let go") {
                    let host = try await client.get(.deployments, namespace: "demo", name: "copy-repo-host")
                    let volumes = host["spec", "template", "spec", "volumes"]?.elements ?? []
                    return !volumes.contains { $0["name"] == "source" }
                }
            }
        }
    }

    @Test(
        "what an earlier cluster of the name left is gone on with, by its own configuration, when no data is in the way"
    )
    func ownName() async throws {
        try await withScene { scene, client in
            let from = Self.from("postgresCluster", ["repoName": "repo1"])
            var data = KubernetesObject(.persistentVolumeClaims, namespace: "demo", name: "pgdata-pg-0")
            data["spec"] = PerconaTranslationTests.volume["volumeClaimSpec"]
            _ = try await client.create(.persistentVolumeClaims, data)
            try await create(client, Self.object("pg", Self.onVolume, from))
            try await withoutPods(scene) {
                try await refused(client, "pg", "DataPresent", "claim 'pgdata-pg-0'")
                try await client.delete(.persistentVolumeClaims, namespace: "demo", name: "pgdata-pg-0")
                try await refused(client, "pg", "ClaimNotFound", "no claim 'pg-repo1'")
                var claim = KubernetesObject(.persistentVolumeClaims, namespace: "demo", name: "pg-repo1")
                claim.labels[OperatorNames.cluster] = "pg"
                claim["spec"] = PerconaTranslationTests.volume["volumeClaimSpec"]
                _ = try await client.create(.persistentVolumeClaims, claim)
                try await eventually("its start") {
                    let map = try await client.find(.configMaps, namespace: "demo", name: "pg-patroni")
                    return map?["data", "patroni.yml"]?.string?.contains("permafrost --repo=1 --stanza=db --delta")
                        == true
                }
                #expect(restoreText(scene, "pg") == nil)
            }
        }
    }

    @Test("a bucket alone, whose keys come late, is adopted in place: its old backups stay, and one of its own is made")
    func bucketAlone() async throws {
        try await withScene { scene, client in
            let place = ObjectKey(namespace: "demo", name: "pg")
            scene.state.withLock {
                $0.repositories[place] = [(1, "s3")]
                $0.hasStanza[place] = true
                $0.backups[place] = [Scene.Stored(label: "20200101-000000F", annotations: [:], start: 1_577_836_800)]
            }
            let from = Self.bucketSource([
                "global": ["repo1-path": "/left"],
                "configuration": [["secret": ["name": "keys", "items": [["key": "k", "path": "s3.conf"]]]]],
            ])
            try await create(
                client, Self.object("pg", Self.inBucket, from, global: ["repo1-path": "/left"], secret: "keys"))
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await refused(client, "pg", "SecretMissing", "Secret 'keys'")
                #expect(try await client.list(.statefulSets).objects.isEmpty)
                var secret = KubernetesObject(.secrets, namespace: "demo", name: "keys")
                secret["stringData"] = ["k": "[global]\nrepo1-s3-key=A\n"]
                _ = try await client.create(.secrets, secret)
                try await refused(client, "pg", "SourceIncomplete", "repo1-s3-key-secret")
                _ = try await client.patch(
                    .secrets, namespace: "demo", name: "keys",
                    [
                        "stringData": [
                            "k": "[global]\nrepo1-s3-key=A\nrepo1-s3-key-secret=B\n",
                            "s3.conf": "[global]\nrepo1-s3-key=A\nrepo1-s3-key-secret=B\n",
                        ]
                    ])
                try await begun(client, "pg")
                try await eventually("its own backup beside the old one") {
                    scene.state.withLock { $0.backups[place]?.count } == 2
                }
                let status = try await cluster(client, "pg")["status"]
                #expect(status?[["permafrost", "dataSource", "from"]] == "s3://b/left", "\(status ?? [:])")
            }
        }
    }

    @Test(
        "a standby makes nothing while it follows, is promoted when nobody writes, and then makes a backup of its own")
    func follower() async throws {
        try await withScene { scene, client in
            let place = ObjectKey(namespace: "demo", name: "far")
            var secret = KubernetesObject(.secrets, namespace: "demo", name: "keys")
            secret["stringData"] = ["s3.conf": "[global]\nrepo1-s3-key=A\nrepo1-s3-key-secret=B\n"]
            _ = try await client.create(.secrets, secret)
            scene.state.withLock {
                $0.repositories[place] = [(1, "s3")]
                $0.hasStanza[place] = true
                $0.inRecovery.insert(place)
                $0.archive[place] = "000000010000000000000007"
                $0.backups[place] = [Scene.Stored(label: "20200101-000000F", annotations: [:], start: 1_577_836_800)]
            }
            try await create(client, Self.object("old", Self.inBucket, secret: "keys"))
            try await create(
                client,
                Self.object("far", Self.inBucket, ["standby": ["enabled": true, "repoName": "repo1"]], secret: "keys"))
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("it follows") {
                    try await condition(client, "far", "Standby")?["reason"] == "FollowsArchive"
                }
                try await begun(client, "far")
                var backup = KubernetesObject(Percona.backups, namespace: "demo", name: "none")
                backup["spec"] = ["pgCluster": "far", "repoName": "repo1"]
                _ = try await client.create(Percona.backups, backup)
                try await eventually("its end") {
                    let status = try await client.get(Percona.backups, namespace: "demo", name: "none")["status"]
                    return status?["state"] == "Failed" && status?["error"]?.string?.contains("follows another") == true
                }
                try await eventually("what it has seen") {
                    try await cluster(client, "far")["status", "permafrost", "standby", "lastWal"]
                        == "000000010000000000000007"
                }
                _ = try await client.patch(
                    Percona.clusters, namespace: "demo", name: "far", ["spec": ["standby": ["enabled": false]]])
                try await eventually("the other writes") {
                    try await condition(client, "far", "Standby")?["reason"] == "RepositoryInUse"
                }
                _ = try await client.patch(Percona.clusters, namespace: "demo", name: "old", ["spec": ["pause": true]])
                scene.state.withLock { $0.archive[place] = "000000010000000000000008" }
                try await eventually("somebody has just written") {
                    try await condition(client, "far", "Standby")?["reason"] == "SourceIsWriting"
                }
                #expect(scene.state.withLock { $0.backups[place]?.count } == 1)
                try await eventually("it was seen") {
                    try await cluster(client, "far")["status", "permafrost", "standby", "lastWal"]
                        == "000000010000000000000008"
                }
                scene.pass(100)
                try await eventually("it is decided") {
                    try await cluster(client, "far")["status", "permafrost", "standby", "state"] == "promoting"
                }
                // What it archives itself, and who comes back, do not make it follow again.
                _ = try await client.patch(Percona.clusters, namespace: "demo", name: "old", ["spec": ["pause": false]])
                scene.state.withLock {
                    $0.archive[place] = "000000020000000000000009"
                    _ = $0.inRecovery.remove(place)
                }
                try await eventually("it leads") {
                    try await cluster(client, "far")["status", "permafrost", "standby", "state"] == "promoted"
                }
                try await eventually("a backup of its own") {
                    scene.state.withLock { $0.backups[place]?.count } == 2
                }
                try await eventually("nothing is told of it any more") {
                    try await condition(client, "far", "Standby") == nil
                }
                let requests = scene.state.withLock { $0.requests.map(\.command.command) }
                #expect(!requests.contains(.stanzaCreate) || scene.state.withLock { $0.hasStanza[old] == true })
            }
        }
    }

    @Test("the newest backup says up to when can be restored, and the window ends there")
    func latestRestorableTime() async throws {
        try await withScene { scene, client in
            try await liveSource(scene, client, Self.object("old", Self.onVolume))
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                func backup() async throws -> KubernetesObject? {
                    try await client.list(Percona.backups).objects.max { $0.name < $1.name }
                }
                let stop = try #require(scene.state.withLock { $0.backups[old]?.last?.start })
                // Before the backup was complete it is of no use.
                scene.state.withLock { $0.restorable = stop * 1_000_000 }
                try await Task.sleep(for: .milliseconds(300))
                #expect(try await backup()?["status", "latestRestorableTime"] == nil)
                scene.state.withLock { $0.restorable = (stop + 60) * 1_000_000 + 123_456 }
                let text = PerconaBackup.target((stop + 60) * 1_000_000 + 123_456)
                #expect(text.hasSuffix(".123456+0000") && text.count == "2026-07-22 12:22:17.000000+0000".count)
                try await eventually("told") {
                    try await backup()?["status", "latestRestorableTime"]?.string == text
                }
                try await eventually("the window") {
                    let status = try await cluster(client, "old")["status"]
                    return status?[["pgbackrest", "repos"]]?.elements.first?["lastRestorableTime"]?.string
                        == ServiceTime.rfc3339(stop + 60)
                }
                let map = try await client.get(.configMaps, namespace: "demo", name: "old-patroni")
                #expect(map["data", "patroni.yml"]?.string?.contains(#""track_commit_timestamp":"on""#) == true)
            }
        }
    }

    /// A cluster with a backup, and one that begins as a copy of it; the operator ends before one of its changes.
    private func copying(_ falls: Int?) async throws -> Int {
        var count = 0
        try await withScene { scene, client in
            try await liveSource(scene, client, Self.object("old", Self.onVolume))
            let guillotine = KillTests.Guillotine()
            guillotine.state.withLock { $0.falls = falls }
            scene.server.set { $0.intercept = { request in guillotine.respond(to: request) } }
            let work: [@Sendable () async throws -> Void] = [
                { try await scene.play() }, { try await KillTests().keepRunning(scene, guillotine) },
            ]
            let copy = ObjectKey(namespace: "demo", name: "copy")
            try await with(work) {
                let from = Self.from("postgresCluster", ["clusterName": "old", "repoName": "repo1"])
                try await create(client, Self.object("copy", Self.onVolume, from))
                try await begun(client, "copy")
                try await eventually("its own first backup, change \(falls ?? 0)") {
                    try await client.list(Percona.backups).objects.contains {
                        $0.name.hasPrefix("copy-") && $0["status", "state"] == "Succeeded"
                    }
                }
                try await eventually("the keys are gone, change \(falls ?? 0)") {
                    try await client.find(.secrets, namespace: "demo", name: "copy-restore") == nil
                }
                let status = try await cluster(client, "copy")["status"]
                #expect(status?[["permafrost", "dataSource", "from"]] == "repo1 of cluster 'demo/old'")
                #expect(scene.state.withLock { $0.backups[copy]?.count } == 1, "change \(falls ?? 0)")
                count = guillotine.changes
            }
        }
        return count
    }

    @Test("killed before each change while a copy begins, and started again")
    func killed() async throws {
        let count = try await copying(nil)
        #expect(count > 20)
        let all = ProcessInfo.processInfo.environment["PERMAFROST_ALL"] != nil
        for falls in stride(from: 1, through: count, by: all ? 1 : 8) { _ = try await copying(falls) }
    }
}
