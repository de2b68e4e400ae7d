package import BackupModel
package import HTTP

/// Where an API server is and who we are there. Keys and tokens that a file holds inline stay in memory.
package struct ClusterAccess: Sendable {
    package enum Credential: Sendable {
        /// None, or the client certificate of `transport`.
        case none
        case token(Secret<String>)
        /// Whose content changes: it is read again.
        case tokenFile(String)
    }

    package var origin: HTTPOrigin
    /// Before every path of the API; empty or with a slash at its front and none at its end.
    package var pathPrefix = ""
    package var transport = TransportOptions()
    package var credential = Credential.none
    /// The one to work in where nobody says another.
    package var namespace = "default"

    package init(origin: HTTPOrigin) { self.origin = origin }

    /// As kubectl and the clients of Kubernetes look: what `KUBECONFIG` names; else the service account of the pod; else
    /// `~/.kube/config`. Reads files, which blocks.
    /// - Parameters:
    ///   - kubeconfig: files with colons between them, instead of `KUBECONFIG`.
    ///   - context: instead of the current one.
    package static func load(
        environment: [String: String], kubeconfig: String? = nil, context: String? = nil,
        serviceAccount: String = ServiceAccount.directory
    ) throws(BackupError) -> ClusterAccess {
        if let files = kubeconfig ?? environment["KUBECONFIG"], !files.isEmpty {
            return try Kubeconfig(files: files.split(separator: ":").map(String.init))
                .access(context: context, environment: environment)
        }
        if environment["KUBERNETES_SERVICE_HOST"]?.isEmpty == false {
            return try ServiceAccount.access(environment: environment, directory: serviceAccount)
        }
        guard let home = environment["HOME"], !home.isEmpty else {
            throw BackupError(
                .config, "no Kubernetes cluster is known: neither KUBECONFIG nor KUBERNETES_SERVICE_HOST is set",
                hint: "KUBECONFIG names the files of the configuration")
        }
        return try Kubeconfig(files: ["\(home)/.kube/config"]).access(context: context, environment: environment)
    }

    /// `https://host:port/prefix`.
    static func server(_ text: String) -> (origin: HTTPOrigin, prefix: String)? {
        let isSecure: Bool
        var rest: Substring
        if text.hasPrefix("https://") {
            (isSecure, rest) = (true, text.dropFirst(8))
        } else if text.hasPrefix("http://") {
            (isSecure, rest) = (false, text.dropFirst(7))
        } else if text.contains("://") {
            return nil
        } else {
            // kubectl takes a server without a scheme for a plain one.
            (isSecure, rest) = (false, text[...])
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        var prefix = rest[slash...]
        while prefix.hasSuffix("/") { prefix = prefix.dropLast() }
        rest = rest[..<slash]
        guard !rest.contains(where: { "@?# ".contains($0) }), !prefix.contains(where: { "?# ".contains($0) }) else {
            return nil
        }
        var port: Int?
        let isAddress = rest.hasSuffix("]")
        if !isAddress, let colon = rest.lastIndex(of: ":") {
            guard let given = Int(rest[rest.index(after: colon)...]), (1...65535).contains(given) else { return nil }
            port = given
            rest = rest[..<colon]
        }
        if rest.hasPrefix("["), rest.hasSuffix("]") { rest = rest.dropFirst().dropLast() }
        guard !rest.isEmpty else { return nil }
        return (HTTPOrigin(isSecure: isSecure, host: String(rest), port: port), String(prefix))
    }
}
