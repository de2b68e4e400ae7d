import BackupModel
import Foundation
import HTTP
package import KubernetesClient
package import KubernetesTestServer
import RepositoryStorage
package import TestSupport

/// All of it together: the API server in memory, by TLS for pods, a node and the controllers.
package final class TestCluster: Sendable {
    package let server: APITestServer
    package let client: KubernetesClient
    package let machine: NodeMachine
    package let objects: ClusterObjects
    package let node: TestNode
    package let controllers: TestControllers
    /// The API server's authority, PEM.
    package let authorityFile: String

    /// As pods have it: `system:serviceaccount` of any kind, for the server takes everybody.
    package static let token = "a-token-of-the-tests"

    /// Ends with the scratch directory, pods and all.
    package init(
        _ scratch: ScratchDirectory, controllers: TestControllers.Options = TestControllers.Options(),
        _ change: (inout TestNode.Options, NodeMachine) throws -> Void = { _, _ in }
    ) async throws {
        machine = try await NodeMachine(scratch)
        let server = APITestServer()
        self.server = server
        let port = try await server.start()
        scratch.atEnd { await server.stop() }
        let directory = "\(machine.directory)/api"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        try PrivateAuthority.make(
            in: directory,
            names: [
                "IP:\(machine.address)", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc",
                "DNS:kubernetes.default.svc.cluster.local",
            ])
        authorityFile = "\(directory)/ca.crt"
        try await server.secure(
            address: machine.address, port: 443, certificateFile: "\(directory)/server.crt",
            keyFile: "\(directory)/server.key")

        client = try Self.client(port)
        objects = try await ClusterObjects(client, scratch)
        var options = TestNode.Options()
        options.server = TestNode.ServerAccess(
            host: machine.address, port: 443,
            authority: Array(try Data(contentsOf: URL(filePath: "\(directory)/ca.crt"))), token: Self.token)
        try change(&options, machine)
        let node = TestNode(client, objects, machine, options)
        self.node = node
        self.controllers = TestControllers(client, objects, machine, controllers)
        server.set {
            $0.logs = { [weak node] request in
                await node?.log(
                    request.namespace, request.pod, request.container, isPrevious: request.isPrevious
                ).map { ContainerLog($0.bytes, isOver: $0.isOver) }
            }
        }
        try await node.start(scratch)
        self.controllers.start(scratch)
    }

    private static func client(_ port: Int) throws -> KubernetesClient {
        var options = KubernetesClient.Options(fieldManager: "test-node")
        options.retry = RetryPolicy(attempts: 5, shortest: .milliseconds(5), longest: .milliseconds(200))
        var access = ClusterAccess(origin: HTTPOrigin(isSecure: false, host: "127.0.0.1", port: port))
        // A test may have the server refuse others.
        access.credential = .token(Secret(token))
        return try KubernetesClient(access, options)
    }

    // MARK: For tests

    /// Makes an object that is written as JSON.
    @discardableResult
    package func create(_ type: ResourceType, _ text: String, namespace: String = "default") async throws
        -> KubernetesObject
    {
        guard var json = ServiceJSON(Array(text.utf8)) else { throw TestSupportError("this is no JSON: \(text)") }
        json["apiVersion"] = .text(type.apiVersion)
        json["kind"] = .text(type.kind)
        if type.isNamespaced { json[["metadata", "namespace"]] = .text(namespace) }
        guard let object = KubernetesObject(json) else { throw TestSupportError("this is no object: \(text)") }
        return try await client.create(type, object)
    }

    package func pod(_ name: String, namespace: String = "default") -> KubernetesObject? {
        objects.pods[ObjectKey(namespace: namespace, name: name)]
    }

    /// Waits until a pod is ready; says how it is, when it never is.
    package func waitForPod(
        _ name: String, namespace: String = "default", timeout: Duration = .seconds(120),
        _ condition: (KubernetesObject) -> Bool = { $0.isReady && !$0.isBeingDeleted }
    ) async throws {
        let deadline = ContinuousClock.now + timeout
        while true {
            let present = pod(name, namespace: namespace)
            if let present, condition(present) { return }
            if ContinuousClock.now > deadline {
                var said = ""
                for container in present?["spec", "containers"]?.elements ?? [] {
                    let log = await node.log(namespace, name, container["name"]?.string)
                    said += "\n\(container["name"]?.string ?? ""): "
                    said += String(decoding: log?.bytes.suffix(3000) ?? [], as: UTF8.self)
                }
                throw TestSupportError(
                    "waited \(timeout) in vain for pod '\(name)': \(present?["status"]?.description ?? "none") \(said)")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
