import Foundation
import HTTP
import KubernetesClient
import KubernetesTestServer
import TestSupport
import Testing

/// The program as kubectl's plugin, against an API server that only holds objects: nothing looks after them.
@Suite(.keepsScratchOnFailure, .requires(.permafrost), .timeLimit(.minutes(5)))
struct KubectlPluginTests {
    @Test func showsBacksUpAndRestores() async throws {
        try await withScene { scene in
            let one = try await scene.plugin("status", "shop")
            one.succeeded()
            #expect(one.stdout.hasPrefix("SGCluster demo/shop: ready"), "\(one)")
            #expect(one.stdout.contains("  repo1 bucket: s3 example-backups/own\n"), "\(one)")
            let all = try await scene.plugin("status")
            all.succeeded()
            #expect(all.stdout.split(separator: "\n").count == 3, "\(all)")
            let json = try await scene.plugin("status", "pg/store", "-o", "json")
            json.succeeded()
            #expect(ServiceJSON(json.output)?["kind"] == "PerconaPGCluster", "\(json)")
            // As a command of the program, too.
            let same = try await scene.run("permafrost", ["kubectl", "status", "shop", "-o", "json"])
            #expect(ServiceJSON(same.output)?["kind"] == "SGCluster", "\(same)")

            let made = try await scene.plugin("backup", "store", "--repo=repo1", "--type=diff", "-o", "name")
            made.succeeded()
            let name = try #require(
                made.stdout.split(separator: "/").last.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) })
            #expect(name.hasPrefix("store-"))
            let backup = try #require(scene.server.object("perconapgbackups", namespace: "demo", name: name))
            #expect(backup["spec"]?["options"] == ["--type=diff"])

            let trial = try await scene.plugin("restore", "store", "--dry-run", "--immediate")
            trial.succeeded()
            #expect(trial.stdout.contains("# Restore of PerconaPGCluster demo/store, in place\n"), "\(trial)")
            #expect(
                trial.stdout.contains("\n    - --type=immediate\n") || trial.stdout.contains("\"--type=immediate\""),
                "\(trial)")
            let unasked = try await scene.plugin("restore", "store")
            #expect(unasked.status == 37 && unasked.stderr.contains("nobody is there to be asked"), "\(unasked)")
            let done = try await scene.plugin("restore", "store", "--yes", "-o", "name")
            #expect(done.status == 0 && done.stderr.contains("  replaced"), "\(done)")
            #expect(done.stdout.hasPrefix("perconapgrestore.pgv2.percona.com/store-restore-"), "\(done)")
            let second = try await scene.plugin("restore", "store", "--yes")
            #expect(second.status == 50 && second.stderr.contains("is waiting"), "\(second)")

            let copy = try await scene.plugin("restore", "shop", "--as=shop-again", "-y")
            #expect(copy.stdout == "sgcluster.stackgres.io/shop-again created\n", "\(copy)")
            let cluster = try #require(scene.server.object("sgclusters", namespace: "demo", name: "shop-again"))
            #expect(cluster[["spec", "initialData", "restore", "fromBackup", "name"]] == "shop-1")
            let taken = try await scene.plugin("restore", "shop", "--as=shop-again", "-y")
            #expect(taken.status == 93, "\(taken)")
        }
    }

    @Test func waitsForTheEndOfABackup() async throws {
        try await withScene { scene in
            for (state, code, words) in [
                ("Completed", Int32(0), "is complete: 20261125-080000F"), ("Failed", 1, "failed: the key was refused"),
            ] {
                let known = try await scene.backupNames()
                let run = try ProcessRunner.start(
                    scene.programs + "/kubectl-permafrost", ["backup", "shop", "--wait"], environment: scene.environment
                )
                var name: String?
                try await waitFor("the backup", timeout: .seconds(20)) {
                    name = try await scene.backupNames().subtracting(known).first
                    return name != nil
                }
                let status: ServiceJSON = [
                    "internalName": "20261125-080000F",
                    "process": ["status": .text(state), "failure": "the key was refused"],
                ]
                _ = try await scene.client.patch(
                    Scene.backups, namespace: "demo", name: try #require(name), ["status": status])
                let result = try await run.wait()
                #expect(result.status == code && result.stderr.contains(words), "\(result)")
                #expect(result.stdout == "sgbackup.stackgres.io/\(name ?? "") created\n", "\(result)")
            }
        }
    }

    @Test func saysWhatIsWrong() async throws {
        try await withScene { scene in
            for (words, code, parts) in [
                (["status", "shob"], Int32(96), ["namespace 'demo' has no cluster 'shob'", "did you mean 'shop'?"]),
                (["status", "-n", "empty", "x"], 96, ["namespace 'empty' has no cluster 'x'", "-n names another"]),
                (["status", "--context=none"], 27, ["there is no context 'none'"]),
                (["status", "--kubeconfig=/nowhere"], 27, ["/nowhere"]),
                (["status", "--wat"], 31, ["did you mean '--wait'?"]),
                (["restore", "store", "--time=2026-01-01T00:00:00Z", "-y"], 32, ["lies before its backups"]),
                (["restore", "store", "--set=none", "-y"], 75, ["has no PerconaPGBackup 'none'"]),
            ] {
                let result = try await scene.run("kubectl-permafrost", words)
                let text = result.stderr.replacing(#/\n +/#, with: " ")
                #expect(result.status == code && result.stdout.isEmpty, "\(result)")
                for part in parts { #expect(text.contains(part), "'\(part)' is missing: \(result)") }
            }
            let none = try await scene.plugin("status", "-n", "empty")
            #expect(none.status == 0 && none.stderr == "No clusters in namespace 'empty'.\n", "\(none)")
        }
    }

    @Test func whoMayOnlySeeOneKindSeesThat() async throws {
        try await withScene { scene in
            scene.server.set { behaviour in
                behaviour.intercept = { request in
                    guard request.path.contains("pgv2.percona.com") else { return nil }
                    let status: ServiceJSON = [
                        "kind": "Status", "code": 403, "reason": "Forbidden", "message": "not allowed",
                    ]
                    return ServerResponse(403, body: .bytes(Array(status.description.utf8)))
                }
            }
            let all = try await scene.plugin("status")
            #expect(all.status == 0 && all.stdout.contains("\nshop "), "\(all)")
            #expect(all.stderr.hasPrefix("Not all is shown: ") && all.stderr.contains("not allowed"), "\(all)")
            #expect(try await scene.plugin("status", "shop").status == 0)
            let hidden = try await scene.plugin("status", "store")
            #expect(hidden.status != 0 && hidden.stderr.contains("not allowed"), "\(hidden)")
        }
    }

    @Test func asksBeforeItReplaces() async throws {
        try await withScene { scene in
            func answer(_ text: String) async throws -> ProcessResult {
                try await ProcessRunner.run(
                    "script", ["-qec", "\(scene.programs)/kubectl-permafrost restore store", "/dev/null"],
                    environment: scene.environment, stdin: text)
            }
            let no = try await answer("yes\n")
            #expect(no.status == 63 && no.stdout.contains("was not agreed to: nothing was changed"), "\(no)")
            let restores = try await scene.client.list(Scene.perconaRestores, namespace: "demo").objects
            #expect(restores.isEmpty)
            let broken = try await ProcessRunner.run(
                "sh",
                [
                    "-c",
                    "(sleep 3; printf '\\003'; sleep 3) | "
                        + "script -qec 'exec \(scene.programs)/kubectl-permafrost restore store' /dev/null",
                ], environment: scene.environment)
            #expect(broken.status == 63 && broken.stdout.contains("nothing was changed"), "\(broken)")
            let yes = try await answer("store\n")
            #expect(yes.status == 0 && yes.stdout.contains("store-restore-"), "\(yes)")
        }
    }

    @Test func aSignalEndsTheWaitingAndNotTheBackup() async throws {
        try await withScene { scene in
            let run = try ProcessRunner.start(
                scene.programs + "/kubectl-permafrost", ["backup", "shop", "--wait"], environment: scene.environment)
            try await waitFor("the backup", timeout: .seconds(20)) { try await scene.backupNames().count == 2 }
            try await Task.sleep(for: .milliseconds(300))
            run.signal(SIGINT)
            let result = try await run.wait()
            #expect(result.status == 63 && result.stderr.contains("what was begun in the cluster goes on"), "\(result)")
            #expect(try await scene.backupNames().count == 2)
        }
    }

    /// Where `scripts/bootstrap test` puts it.
    private static let kubectl =
        (ProcessInfo.processInfo.environment["PERMAFROST_CACHE"] ?? "/var/cache/permafrost") + "/kubectl/bin/kubectl"

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: kubectl), "kubectl is not installed"))
    func kubectlFindsIt() async throws {
        try await withScene { scene in
            let result = try await ProcessRunner.run(
                Self.kubectl, ["permafrost", "status", "shop", "--namespace=demo"], environment: scene.environment)
            #expect(result.status == 0 && result.stdout.hasPrefix("SGCluster demo/shop: ready"), "\(result)")
            let list = try await ProcessRunner.run(Self.kubectl, ["plugin", "list"], environment: scene.environment)
            #expect(list.stdout.contains("/kubectl-permafrost\n"), "\(list)")
            for (words, offered) in [
                (["sta"], "status"), (["backup", ""], "shop\nstore\n:4"), (["backup", "x", "--w"], "--wait"),
            ] {
                let result = try await ProcessRunner.run(
                    Self.kubectl, ["__complete", "permafrost"] + words, environment: scene.environment)
                #expect(result.stdout.hasPrefix(offered), "\(result)")
            }
            let failed = try await ProcessRunner.run(
                Self.kubectl, ["permafrost", "status", "none"], environment: scene.environment)
            #expect(failed.status == 96, "\(failed)")
        }
    }

    @Test func helpNeedsNoCluster() async throws {
        let programs = try PermafrostPrograms.locate().directory + "/bin"
        for words in [["--help"], ["backup", "--help"], ["restore", "-h"], ["help", "status"]] {
            let result = try await ProcessRunner.run(programs + "/kubectl-permafrost", words)
            result.succeeded()
            #expect(result.stdout.contains("Usage:\n    kubectl permafrost "), "\(result)")
        }
        let version = try await ProcessRunner.run(programs + "/kubectl-permafrost", ["version"])
        #expect(version.stdout.hasPrefix("Permafrost "), "\(version)")
    }

    private func withScene(_ body: (Scene) async throws -> Void) async throws {
        let server = APITestServer()
        let port = try await server.start()
        do {
            try await withScratch { scratch in
                let scene = try Scene(server, port, scratch)
                try await scene.fill()
                try await body(scene)
            }
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }
}

/// An API server with clusters, and a configuration that leads there.
private struct Scene {
    static let clusters = ResourceType("stackgres.io", "v1", "sgclusters", kind: "SGCluster")
    static let backups = ResourceType("stackgres.io", "v1", "sgbackups", kind: "SGBackup")
    static let storages = ResourceType("stackgres.io", "v1beta1", "sgobjectstorages", kind: "SGObjectStorage")
    static let perconaClusters = percona("perconapgclusters", "PerconaPGCluster")
    static let perconaBackups = percona("perconapgbackups", "PerconaPGBackup")
    static let perconaRestores = percona("perconapgrestores", "PerconaPGRestore")

    private static func percona(_ plural: String, _ kind: String) -> ResourceType {
        ResourceType("pgv2.percona.com", "v2", plural, kind: kind)
    }

    let server: APITestServer
    let client: KubernetesClient
    let programs: String
    let environment: [String: String]

    init(_ server: APITestServer, _ port: Int, _ scratch: ScratchDirectory) throws {
        self.server = server
        client = try KubernetesClient(
            ClusterAccess(origin: HTTPOrigin(isSecure: false, host: "127.0.0.1", port: port)),
            KubernetesClient.Options(fieldManager: "test"))
        programs = try PermafrostPrograms.locate().directory + "/bin"
        let config = scratch.subpath("kubeconfig")
        try """
        apiVersion: v1
        kind: Config
        current-context: c
        clusters: [{name: c, cluster: {server: "http://127.0.0.1:\(port)"}}]
        contexts: [{name: c, context: {cluster: c, user: u, namespace: demo}}]
        users: [{name: u, user: {token: sekretToken}}]
        """.write(toFile: config, atomically: true, encoding: .utf8)
        environment = ["KUBECONFIG": config, "HOME": scratch.path, "PATH": "\(programs):/usr/bin:/bin"]
    }

    func run(_ program: String, _ words: [String]) async throws -> ProcessResult {
        let result = try await ProcessRunner.run("\(programs)/\(program)", words, environment: environment)
        #expect(!Secrets.found(in: result.stdout + result.stderr), "a secret shows: \(result)")
        return result
    }

    func plugin(_ words: String...) async throws -> ProcessResult { try await run("kubectl-permafrost", words) }

    func backupNames() async throws -> Set<String> {
        Set(try await client.list(Self.backups, namespace: "demo").objects.map(\.name))
    }

    func fill() async throws {
        for type in [
            Self.clusters, Self.backups, Self.storages, Self.perconaClusters, Self.perconaBackups, Self.perconaRestores,
        ] {
            var definition = KubernetesObject(.customResourceDefinitions, name: "\(type.plural).\(type.group)")
            definition["spec"] = [
                "group": .text(type.group), "scope": "Namespaced",
                "names": ["plural": .text(type.plural), "kind": .text(type.kind)],
                "versions": [["name": .text(type.version), "served": true, "storage": true]],
            ]
            _ = try await client.create(.customResourceDefinitions, definition)
        }
        for name in ["demo", "empty"] {
            _ = try await client.create(.namespaces, KubernetesObject(.namespaces, name: name))
        }
        try await add(Self.storages, "bucket", ["spec": ["type": "s3", "s3": ["bucket": "example-backups"]]])
        try await add(
            Self.clusters, "shop",
            [
                "spec": [
                    "instances": 1, "postgres": ["version": "17"],
                    "configurations": ["backups": [["sgObjectStorage": "bucket"]]],
                ],
                "status": [
                    "conditions": [["type": "Ready", "status": "True"]],
                    "permafrost": [
                        "repositories": [["key": 1, "sgObjectStorage": "bucket", "path": "own", "ready": true]],
                        "archiving": ["failing": false, "lastWal": "000000010000000000000003"],
                    ],
                ],
            ])
        try await add(
            Self.backups, "shop-1",
            [
                "spec": ["sgCluster": "shop"],
                "status": [
                    "internalName": "20261125-030000F", "backupPath": "own",
                    "process": ["status": "Completed", "timing": ["end": "2026-11-25T03:00:10Z"]],
                    "backupInformation": ["postgresVersion": "170006"],
                ],
            ])
        try await add(
            Self.perconaClusters, "store",
            [
                "spec": [
                    "postgresVersion": 17,
                    "backups": [
                        "pgbackrest": [
                            "global": ["repo1-cipher-pass": .text(Secrets.passphrase)],
                            "repos": [["name": "repo1", "s3": ["bucket": "b"]]],
                        ]
                    ],
                ],
                "status": ["state": "ready", "pgbackrest": ["repos": [["name": "repo1", "ready": true]]]],
            ])
        try await add(
            Self.perconaBackups, "store-1",
            [
                "spec": ["pgCluster": "store", "repoName": "repo1"],
                "status": [
                    "state": "Succeeded", "backupName": "20261125-040000F", "completed": "2026-11-25T04:00:10Z",
                ],
            ])
    }

    private func add(_ type: ResourceType, _ name: String, _ rest: ServiceJSON) async throws {
        var object = KubernetesObject(type, namespace: "demo", name: name)
        for (key, value) in rest.members { object.json[key] = value }
        _ = try await client.create(type, object)
    }
}
