package import BackupModel
import HTTP
import RepositoryStorage

/// What a pod is given to talk to its own cluster.
package enum ServiceAccount {
    package static let directory = "/var/run/secrets/kubernetes.io/serviceaccount"

    package static func access(
        environment: [String: String], directory: String = directory
    ) throws(BackupError) -> ClusterAccess {
        guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty,
            let port = environment["KUBERNETES_SERVICE_PORT"], let port = Int(port), (1...65535).contains(port)
        else {
            throw BackupError(
                .config, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not name the API server",
                hint: "both are set in every pod")
        }
        var access = ClusterAccess(origin: HTTPOrigin(host: host, port: port))
        access.transport.caBytes = try LocalFile.readAll("\(directory)/ca.crt", limit: 1 << 20)
        access.credential = .tokenFile("\(directory)/token")
        // It is there from the first moment, or the pod has none.
        _ = try BearerToken.read("\(directory)/token")
        if let bytes = try? LocalFile.readAll("\(directory)/namespace", limit: 4096) {
            let name = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
            if !name.isEmpty { access.namespace = name }
        }
        return access
    }
}
