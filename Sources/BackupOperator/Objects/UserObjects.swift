import HTTP
import KubernetesClient

extension ClusterObjects {
    /// All that is needed to log in as one of the database's users.
    func secret(of user: WantedUser, password: String) -> WantedObject {
        var secret = accessSecret(user.secret)
        let host = "\(cluster.names.primaryService).\(namespace).svc"
        let port = "\(cluster.pods.servicePort)"
        var data = ["host": host, "port": port, "user": user.name, "password": password]
        if let database = user.databases.first {
            data["dbname"] = database
            data["uri"] = "postgresql://\(user.name):\(password)@\(host):\(port)/\(database)"
            data["jdbc-uri"] = "jdbc:postgresql://\(host):\(port)/\(database)?password=\(password)&user=\(user.name)"
        }
        secret["data"] = .object(data.mapValues(Self.encoded))
        return WantedObject(type: .secrets, object: secret, isKept: true)
    }

    /// What the database begins with. A database that was restored may have them already.
    func bootstrapSecret(_ users: [WantedUser], passwords: [String: String]) -> WantedObject {
        var secret = accessSecret(Self.bootstrapName(name))
        secret.annotations[OperatorNames.users] = users.map(\.name).sorted().joined(separator: ",")
        secret["data"] = ["users.sql": Self.encoded(Self.script(users, passwords))]
        return WantedObject(type: .secrets, object: secret, isKept: true)
    }

    private static func script(_ users: [WantedUser], _ passwords: [String: String]) -> String {
        var lines = ["SET log_statement = 'none';", "SET log_min_duration_statement = -1;"]
        for user in users {
            let (name, text) = (identifier(user.name), literal(user.name))
            lines.append(made("CREATE ROLE \(name)", unless: "pg_roles WHERE rolname = \(text)"))
            lines.append("ALTER ROLE \(name) LOGIN \(user.options) PASSWORD \(literal(passwords[user.name] ?? ""));")
        }
        var owners: [String: String] = [:]
        for user in users {
            for database in user.databases {
                if owners[database] == nil {
                    owners[database] = user.name
                    lines.append(
                        made(
                            "CREATE DATABASE \(identifier(database)) OWNER \(identifier(user.name))",
                            unless: "pg_database WHERE datname = \(literal(database))"))
                } else {
                    lines.append("GRANT ALL ON DATABASE \(identifier(database)) TO \(identifier(user.name));")
                }
            }
        }
        for user in users {
            for database in user.databases {
                lines.append("\\connect \(identifier(database))")
                lines.append(
                    "CREATE SCHEMA IF NOT EXISTS \(identifier(user.name)) AUTHORIZATION \(identifier(user.name));")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func made(_ statement: String, unless found: String) -> String {
        "SELECT \(literal(statement)) WHERE NOT EXISTS (SELECT FROM \(found)) \\gexec"
    }

    private static func identifier(_ name: String) -> String { "\"" + name.replacing("\"", with: "\"\"") + "\"" }
    private static func literal(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }
}
