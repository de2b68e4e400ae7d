import BackupModel
import Foundation
import HTTP
import Testing

@testable import BackupOperator
@testable import KubernetesClient

/// What users copy is understood as it is meant: manifests in `deploy/`, and those in the blocks of `docs/`.
@Suite struct DocumentedManifestsTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    static func files(_ folder: String, _ ending: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path)
            .filter { $0.hasSuffix(ending) }.sorted().map { "\(folder)/\($0)" }
    }

    static let pages = ((try? files("docs", ".md")) ?? []) + ["deploy/README.md"]
    static let manifests =
        ((try? files("deploy/samples", ".yaml")) ?? [])
        + ["backup", "cr", "restore"].map {
            "deploy/\($0).yaml"
        }

    /// What a manifest says beside what is carried out, and that is meant so.
    static let expected: [String: Set<String>] = [
        "deploy/cr.yaml": ["spec.image", "spec.backups.pgbackrest.image"]
    ]

    @Test("a manifest of deploy/ is carried out, all of it", arguments: manifests)
    func sample(_ path: String) throws {
        let documents = try Self.text(path).components(separatedBy: "\n---\n").map { try YAMLReader.read($0) }
        try check(documents, path)
    }

    @Test("the manifests of a page are carried out, all of each", arguments: pages)
    func page(_ path: String) throws {
        var documents: [ServiceJSON] = []
        let page = try Self.text(path)
        for block in page.matches(of: #/(?ms)^```(\w+)[^\n]*\n(.*?)\n```$/#) {
            var texts: [String] = []
            if block.1 == "yaml" { texts = [String(block.2)] }
            if block.1 == "sh" {
                texts = block.2.matches(of: #/(?ms)kubectl apply [^\n]*<<'?END'?\n(.*?)\nEND$/#).map { String($0.1) }
            }
            for text in texts.flatMap({ $0.components(separatedBy: "\n---\n") }) {
                // A shell would put a moment there.
                documents.append(try YAMLReader.read(text.replacing("$moment", with: "2026-01-31T10:45:00Z")))
            }
        }
        try check(documents.filter { $0["kind"] != nil && $0["apiVersion"] != nil }, path)
    }

    private func check(_ documents: [ServiceJSON], _ path: String) throws {
        let objects = try documents.map { try #require(KubernetesObject($0)) }
        for object in objects {
            let name = "\(path): \(object.kind) '\(object.name)'"
            switch object.kind {
            case "SGCluster":
                let version = object["spec", "postgres", "version"]?.string ?? "17"
                let wanted = try StackGresCluster(object).wanted { find($0, $1, objects, version: version) }
                check(wanted, path, name)
            case "PerconaPGCluster": check(try translated(object), path, name)
            case "SGObjectStorage":
                let storage = StackGresStorage(object["spec"] ?? [:])
                _ = try storage.location(path: "p")
                #expect(storage.unsupported(at: "spec").isEmpty, "\(name)")
            case "SGBackup": #expect(!StackGresBackup(object).cluster.name.isEmpty, "\(name)")
            case "PerconaPGBackup":
                #expect(
                    PerconaBackup(object).refusal == nil, "\(name): \(PerconaBackup(object).refusal?.message ?? "")")
            case "PerconaPGRestore":
                let restore = PerconaRestore(object)
                #expect(restore.refusal == nil && restore.repositoryKey != nil, "\(name)")
            default: break
            }
        }
    }

    private func check(_ wanted: DatabaseCluster, _ path: String, _ name: String) {
        let unsupported = Set(wanted.unsupported.map(\.path)).subtracting(Self.expected[path] ?? [])
        #expect(unsupported.isEmpty, "\(name): \(unsupported.sorted())")
        let faults = wanted.faultyRepositories.map(\.fault.message) + wanted.faultySchedules.map(\.reason)
        #expect(faults.isEmpty, "\(name): \(faults)")
    }

    /// As far as it goes: what is refused by name for its source is looked at without it.
    private func translated(_ object: KubernetesObject) throws -> DatabaseCluster {
        do {
            return try PerconaCluster(object).wanted { _, _ in nil }
        } catch {
            guard error.reason == "DataSourceUnsupported" else { throw error }
            var object = object
            object["spec", "dataSource"] = nil
            return try PerconaCluster(object).wanted { _, _ in nil }
        }
    }

    /// What a manifest refers to: what the same page makes, or what other pages have made before.
    private func find(
        _ type: ResourceType, _ name: String, _ objects: [KubernetesObject], version: String
    ) -> KubernetesObject? {
        if type == StackGres.storages {
            if let object = objects.first(where: { $0.kind == type.kind && $0.name == name }) { return object }
            var object = KubernetesObject(type, namespace: "demo", name: name)
            object["spec"] = ["type": "s3", "s3": ["bucket": .text(name), "awsCredentials": ["useIAMRole": true]]]
            return object
        }
        guard type == StackGres.backups else { return nil }
        var object = KubernetesObject(type, namespace: "demo", name: name)
        object["status"] = [
            "internalName": "20260101-000000F", "backupPath": "p", "process": ["status": "Completed"],
            "backupInformation": ["postgresVersion": .text("\((Int(version.prefix(2)) ?? 17) * 10_000)")],
            "sgBackupConfig": [
                "storage": ["type": "s3", "s3": ["bucket": "b", "awsCredentials": ["useIAMRole": true]]]
            ],
        ]
        return object
    }
}
