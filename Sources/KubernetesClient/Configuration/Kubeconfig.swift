package import BackupModel
import HTTP
import RepositoryStorage

/// Files of kubectl's configuration, merged as it does: of entries with one name the first counts.
package struct Kubeconfig: Sendable {
    /// An entry, and the file that it is from: relative paths in it start in that file's directory.
    struct Entry {
        var value: ServiceJSON
        var file: String
        /// For messages: `user 'admin'`.
        var what: String
    }

    private var clusters: [String: Entry] = [:]
    private var users: [String: Entry] = [:]
    private var contexts: [String: Entry] = [:]
    private var currentContext: String?
    private let files: [String]

    /// - Parameter files: those that are not there are left out, as long as one is there.
    package init(files: [String]) throws(BackupError) {
        self.files = files
        var missing: BackupError?
        var isFound = false
        for file in files where !file.isEmpty {
            do throws(BackupError) {
                let bytes = try LocalFile.readAll(file, limit: 4 << 20)
                isFound = true
                try add(bytes, file)
            } catch {
                guard error.code == .fileMissing else { throw error }
                missing = missing ?? error
            }
        }
        guard isFound else {
            throw BackupError(
                .config, missing?.message ?? "no file of a Kubernetes configuration is named",
                hint: "KUBECONFIG names the files, with colons between them")
        }
    }

    private mutating func add(_ bytes: [UInt8], _ file: String) throws(BackupError) {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw BackupError(.config, "'\(file)' is no UTF-8")
        }
        let value: ServiceJSON
        do throws(YAMLReader.Failure) {
            value = try YAMLReader.read(text)
        } catch {
            throw BackupError(.config, "unable to read '\(file)', line \(error.line): \(error.reason)")
        }
        switch value {
        case .null: return
        case .object: break
        default: throw BackupError(.config, "'\(file)' is no Kubernetes configuration")
        }
        if currentContext == nil, let name = value["current-context"]?.string, !name.isEmpty { currentContext = name }
        try Self.add(value, "clusters", "cluster", file, to: &clusters)
        try Self.add(value, "users", "user", file, to: &users)
        try Self.add(value, "contexts", "context", file, to: &contexts)
    }

    private static func add(
        _ value: ServiceJSON, _ list: String, _ member: String, _ file: String, to entries: inout [String: Entry]
    ) throws(BackupError) {
        for element in value[list]?.elements ?? [] {
            guard let name = element["name"]?.string, !name.isEmpty else {
                throw BackupError(.config, "'\(file)' has an entry of '\(list)' without a name")
            }
            guard entries[name] == nil else { continue }
            entries[name] = Entry(value: element[member] ?? .object([:]), file: file, what: "\(member) '\(name)'")
        }
    }

    /// - Parameter context: instead of `current-context`.
    package func access(context: String?, environment: [String: String]) throws(BackupError) -> ClusterAccess {
        let places = files.map { "'\($0)'" }.joined(separator: ", ")
        guard let name = context ?? currentContext else {
            throw BackupError(
                .config, "\(places): no current-context is set", hint: "choose one by kubectl config use-context")
        }
        guard let chosen = contexts[name] else {
            throw BackupError(.config, "\(places): there is no context '\(name)'")
        }
        let clusterName = try chosen.required("cluster")
        guard let cluster = clusters[clusterName] else {
            throw BackupError(
                .config, "'\(chosen.file)': \(chosen.what) names cluster '\(clusterName)', which is missing")
        }
        var access = try Self.access(cluster, environment)
        if let namespace = try chosen.text("namespace") { access.namespace = namespace }
        if let userName = try chosen.text("user") {
            guard let user = users[userName] else {
                throw BackupError(
                    .config, "'\(chosen.file)': \(chosen.what) names user '\(userName)', which is missing")
            }
            try Self.set(user, &access)
        }
        return access
    }

    private static func access(
        _ cluster: Entry, _ environment: [String: String]
    ) throws(BackupError) -> ClusterAccess {
        let text = try cluster.required("server")
        guard let (origin, prefix) = ClusterAccess.server(text) else {
            throw cluster.wrong("server", "'\(text)' is no address of a server")
        }
        try cluster.refuse(["tls-server-name"])
        var access = ClusterAccess(origin: origin)
        access.pathPrefix = prefix
        if let proxy = try cluster.text("proxy-url") {
            access.transport.proxies = ProxyRules(["ALL_PROXY": proxy])
        } else {
            access.transport.proxies = ProxyRules(environment)
        }
        if let skips = cluster.value["insecure-skip-tls-verify"], skips != .null {
            guard let skips = skips.bool else {
                throw cluster.wrong("insecure-skip-tls-verify", "is not true or false")
            }
            access.transport.verifiesPeer = !skips
        }
        let authority = try cluster.bytes("certificate-authority")
        if !access.transport.verifiesPeer, authority != nil {
            throw cluster.wrong("insecure-skip-tls-verify", "does not go with certificate-authority")
        }
        access.transport.caBytes = authority
        return access
    }

    private static func set(_ user: Entry, _ access: inout ClusterAccess) throws(BackupError) {
        try user.refuse(["exec", "auth-provider", "username", "password", "as", "as-uid", "as-groups", "as-user-extra"])
        let certificate = try user.bytes("client-certificate")
        let key = try user.bytes("client-key")
        guard (certificate == nil) == (key == nil) else {
            throw user.wrong(
                certificate == nil ? "client-certificate" : "client-key", "is missing, and the other of both is there")
        }
        access.transport.certificateBytes = certificate
        access.transport.keyBytes = key.map { Secret($0) }
        if let token = try user.text("token") {
            guard token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { throw user.wrong("token", "is no token") }
            access.credential = .token(Secret(token))
        } else if let file = try user.text("tokenFile") {
            access.credential = .tokenFile(user.path(file))
        }
    }
}

extension Kubeconfig.Entry {
    func wrong(_ field: String, _ why: String) -> BackupError {
        BackupError(.config, "'\(file)': \(field) of \(what): \(why)")
    }

    /// nil when it is missing or empty.
    func text(_ field: String) throws(BackupError) -> String? {
        guard let value = value[field], value != .null else { return nil }
        guard let text = value.string else { throw wrong(field, "is no text") }
        return text.isEmpty ? nil : text
    }

    func required(_ field: String) throws(BackupError) -> String {
        guard let text = try text(field) else { throw wrong(field, "is missing") }
        return text
    }

    /// From the directory of the file that names it.
    func path(_ path: String) -> String {
        guard !path.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return path }
        return file[...slash] + path
    }

    /// Of `FIELD-data`, which comes first, or of the file that `FIELD` names.
    func bytes(_ field: String) throws(BackupError) -> [UInt8]? {
        if let data = try text("\(field)-data") {
            guard let bytes = Base64.decode(data.filter { !$0.isWhitespace }), !bytes.isEmpty else {
                throw wrong("\(field)-data", "is no base64")
            }
            return bytes
        }
        guard let path = try text(field) else { return nil }
        do throws(BackupError) {
            return try LocalFile.readAll(self.path(path), limit: 1 << 20)
        } catch {
            throw BackupError(error.code, "'\(file)': \(field) of \(what): \(error.message)", hint: error.hint)
        }
    }

    /// What we cannot do must not be passed over: it says who we would be.
    func refuse(_ fields: [String]) throws(BackupError) {
        for field in fields {
            guard let value = value[field], value != .null, value.string != "" else { continue }
            throw BackupError(
                .featureNotSupported, "'\(file)': \(field) of \(what) is not supported",
                hint: "use a token, a tokenFile or a client certificate")
        }
    }
}
