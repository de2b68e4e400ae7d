package import BackupModel
import HTTP
package import Jobs
package import KubernetesClient
import Synchronization

/// The agents beside the servers of clusters.
package protocol ClusterAgents: Sendable {
    /// What the agent in a pod says of its server and of the repositories.
    /// - Parameter fresh: a look at the repositories that is not older, in seconds, will do.
    func status(of cluster: ObjectKey, pod: String, fresh: Int) async throws(BackupError) -> StanzaStatus

    /// Has the agent in a pod do something that takes seconds. With the same key it is the same run.
    /// - Returns: nil while it runs.
    func run(_ request: JobRequest, of cluster: ObjectKey, pod: String) async throws(BackupError) -> JobResult?

    /// The cluster is gone.
    func forget(_ cluster: ObjectKey)
}

/// The same over the network, with the certificate of each cluster, which its Secret has.
package final class NetworkAgents: ClusterAgents {
    private struct Known: Sendable {
        var version: String?
        var transport: NetworkTransport
    }

    private let client: KubernetesClient
    /// Of the Secret of a cluster's certificate, as it was seen last.
    private let version: @Sendable (ObjectKey) -> String?
    private let known = Mutex<[ObjectKey: Known]>([:])

    private static let silence = Duration.seconds(15)

    package init(_ client: KubernetesClient, version: @escaping @Sendable (ObjectKey) -> String?) {
        self.client = client
        self.version = version
    }

    package func status(of cluster: ObjectKey, pod: String, fresh: Int) async throws(BackupError) -> StanzaStatus {
        let origin = HTTPOrigin(host: PodNames.host(pod, cluster), port: EngineConfiguration.agentPort)
        var request = HTTPRequest("GET", origin, path: "/v1/status/\(OperatorNames.stanza)")
        request.query = [("fresh", "\(fresh)")]
        let transport = try await transport(cluster)
        let bytes: [UInt8]
        let status: Int
        do throws(TransportError) {
            let response = try await transport.send(request)
            status = response.status
            bytes = try await response.body.collect(limit: 4 << 20)
        } catch {
            throw BackupError(.hostConnect, "the agent in pod '\(pod)' does not answer: \(error.reason)")
        }
        let json = ServiceJSON(bytes)
        if let error = json?["error"].flatMap({ BackupError($0) }) { throw error }
        guard status == 200, let answer = json.flatMap({ StanzaStatus($0) }) else {
            throw BackupError(
                .protocolError, "the agent in pod '\(pod)' answered HTTP \(status) to a question for its status")
        }
        return answer
    }

    package func run(
        _ request: JobRequest, of cluster: ObjectKey, pod: String
    ) async throws(BackupError) -> JobResult? {
        let origin = HTTPOrigin(host: PodNames.host(pod, cluster), port: EngineConfiguration.agentPort)
        var options = JobClient.Options()
        options.patience = .seconds(5)
        let jobs = JobClient(try await transport(cluster), origin, options)
        let id = try await jobs.start(request)
        // Most are over in a moment; for the others the caller comes again.
        for pause in [50, 100, 200, 400, 800, 1600] {
            if let result = try await jobs.result(id) { return result }
            do { try await Task.sleep(for: .milliseconds(pause)) } catch { break }
        }
        return try await jobs.result(id)
    }

    private func transport(_ cluster: ObjectKey) async throws(BackupError) -> NetworkTransport {
        let version = version(cluster)
        if let known = known.withLock({ $0[cluster] }), known.version == version { return known.transport }
        let secret: KubernetesObject
        do throws(KubernetesError) {
            secret = try await client.get(
                .secrets, namespace: cluster.namespace, name: ClusterObjects.configurationName(cluster.name))
        } catch {
            throw error.error
        }
        func entry(_ name: String) -> [UInt8]? { secret.data(name) }
        var options = TransportOptions()
        options.timeout = Self.silence
        options.connectTimeout = .seconds(5)
        options.caBytes = entry("ca.crt")
        options.certificateBytes = entry("tls.crt")
        options.keyBytes = entry("tls.key").map { Secret($0) }
        options.minimumTLS = .v13
        options.connections = 2
        let transport = try NetworkTransport(options)
        known.withLock { $0[cluster] = Known(version: version, transport: transport) }
        return transport
    }

    package func forget(_ cluster: ObjectKey) { known.withLock { $0[cluster] = nil } }
}

extension KubernetesObject {
    /// An entry of a Secret.
    func data(_ key: String) -> [UInt8]? {
        guard case .text(let text)? = self["data", key] else { return nil }
        return Base64.decode(text)
    }
}
