import Foundation
import HTTP
import KubernetesClient
import KubernetesTestNode
import TestSupport
import Testing

let hasPatroni = FileManager.default.isExecutableFile(atPath: "/usr/bin/patroni")

/// This machine, with PostgreSQL 15 and Patroni, and a user `postgres` of its own as images of it have.
/// - Parameter programs: ours, for an image that has them.
func databaseImage(programs: PermafrostPrograms? = nil) -> NodeImage {
    var image = NodeImage(["/usr/bin/patroni", "/etc/patroni/patroni.yml"])
    image.environment["PATH"] = "/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin"
    image.users = [.init("postgres", id: 999, group: 999, home: "/var/lib/postgresql")]
    image.user = 999
    image.group = 999
    if let programs {
        image.files["/usr/local/bin/permafrost"] = programs.launcher
        image.files["/usr/local/libexec/permafrost/permafrost"] = programs.program
    }
    return image
}

func withTestCluster(
    _ change: (inout TestNode.Options, NodeMachine) throws -> Void = { _, _ in },
    _ body: (TestCluster) async throws -> Void
) async throws {
    try await withScratch { scratch in
        let cluster = try await TestCluster(scratch) { options, machine in
            options.images = ["shell:1": NodeImage(["/bin/bash", "-c"]), "postgres:15": databaseImage()]
            try change(&options, machine)
        }
        try await body(cluster)
    }
}

/// In a pod, as deploy/ has it; stores are signed by the test's own authority.
func startOperator(_ cluster: TestCluster, _ store: NodeObjectStore) async throws {
    try await cluster.create(
        .configMaps,
        #"{"metadata": {"name": "trusted-ca"}, "data": {"ca.crt": \#(ServiceJSON.quoted(store.authority))}}"#)
    let command = [
        "permafrost", "operator", "--operator-namespace=default", "--image-prefix=permafrost.local/",
        "--image-tag=1", "--log-level-file=off", "--log-level-console=info",
        "--trusted-ca-file=/etc/trusted-ca/ca.crt",
    ]
    try await cluster.create(
        .pods,
        #"""
        {"metadata": {"name": "operator"}, "spec": {"securityContext": {"runAsNonRoot": true},
         "volumes": [{"name": "ca", "configMap": {"name": "trusted-ca"}}],
         "containers": [{"name": "operator", "image": "permafrost.local/permafrost:1",
          "command": \#(ServiceJSON(command)), "volumeMounts": [{"name": "ca", "mountPath": "/etc/trusted-ca"}],
          "readinessProbe": {"httpGet": {"port": 8080, "path": "/readyz"}, "periodSeconds": 1}}]}}
        """#)
    try await cluster.waitForPod("operator", timeout: .seconds(30))
}
