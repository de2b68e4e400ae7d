import KubernetesClient

/// The users that a database begins with, in dialects that have them: a Secret for each, and a script for the database.
struct ClusterUsers {
    let context: OperatorContext
    let objects: ClusterObjects

    private var namespace: String? { objects.cluster.key.namespace }

    func reconcile() async throws(KubernetesError) {
        guard let users = objects.cluster.users else { return }
        let name = ClusterObjects.bootstrapName(objects.cluster.key.name)
        guard context.caches.secrets[ObjectKey(namespace: namespace, name: name)] == nil else { return }
        var passwords: [String: String] = [:]
        for user in users { passwords[user.name] = try await password(of: user) }
        try await context.applying.apply(objects.bootstrapSecret(users, passwords: passwords), present: nil)
    }

    /// A Secret that is there already has one.
    private func password(of user: WantedUser) async throws(KubernetesError) -> String {
        if let secret = try await context.client.find(.secrets, namespace: namespace, name: user.secret),
            let bytes = secret.data("password"), !bytes.isEmpty
        {
            return String(decoding: bytes, as: UTF8.self)
        }
        let made = objects.secret(of: user, password: ClusterConfiguration.password())
        try await context.applying.apply(made, present: nil)
        guard let secret = try await context.client.find(.secrets, namespace: namespace, name: user.secret),
            let bytes = secret.data("password"), !bytes.isEmpty
        else {
            throw KubernetesError(
                status: nil, message: "Secret '\(user.secret)' is there and has no password for user '\(user.name)'")
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
