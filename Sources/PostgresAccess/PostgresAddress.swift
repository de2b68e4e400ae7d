/// How to reach a server; nil is libpq's default, its environment variables included.
package struct PostgresAddress: Sendable {
    /// A directory with the server's socket.
    package var socketPath: String?
    package var port: Int
    package var database: String
    package var user: String?
    package init(socketPath: String?, port: Int, database: String, user: String?) {
        self.socketPath = socketPath
        self.port = port
        self.database = database
        self.user = user
    }

    /// For messages.
    var description: String {
        "database '\(database)' on port \(port)" + (socketPath.map { " of socket path '\($0)'" } ?? "")
    }
}
