import BackupModel
package import HTTP
package import Jobs
import ObjectStorage
import RepositoryStorage
import Synchronization

/// What a repository host or an agent answers. Its services are others after the configuration was read again.
package final class HostHandler: ServerHandler {
    package struct Services: Sendable {
        /// nil where no repository is on a volume, as on an agent.
        package var storage: StorageService?
        /// nil where there is no place for them.
        package var jobs: JobService?
        /// nil on a repository host, beside which no PostgreSQL runs.
        package var servers: ServerService?
        /// How stanzas are.
        package var status: (any ServerHandler)?
        /// What is beside `/v1`, for clients that are known.
        package var monitor: (any ServerHandler)?

        package init(
            storage: StorageService?, jobs: JobService?, servers: ServerService? = nil,
            status: (any ServerHandler)? = nil, monitor: (any ServerHandler)? = nil
        ) {
            self.status = status
            self.storage = storage
            self.jobs = jobs
            self.servers = servers
            self.monitor = monitor
        }
    }

    private let services: Mutex<Services>

    package init(_ services: Services) { self.services = Mutex(services) }

    /// For requests that come from now on.
    package func use(_ services: Services) { self.services.withLock { $0 = services } }

    package func respond(to request: ServerRequest) async -> ServerResponse {
        guard request.path.first == "v1" else {
            return await services.withLock { $0 }.monitor?.respond(to: request) ?? Self.nothing
        }
        switch request.path.dropFirst().first {
        case "repo":
            guard let storage = services.withLock({ $0 }).storage else { return Self.nothing }
            return await storage.respond(to: request, request.path.dropFirst(2))
        case "jobs":
            guard let jobs = services.withLock({ $0 }).jobs else { return Self.nothing }
            return await jobs.respond(to: request)
        case "servers":
            guard let servers = services.withLock({ $0 }).servers else { return Self.nothing }
            return await servers.respond(to: request, request.path.dropFirst(2))
        case "status":
            guard let status = services.withLock({ $0 }).status else { return Self.nothing }
            return await status.respond(to: request)
        case "ping" where request.path.count == 2 && request.method == "GET":
            return ServerResponse(
                200, headers: ["Content-Type": "application/json"],
                body: .bytes(Array("{\"version\":\(ServiceJSON.quoted(ProgramVersion.repositoryText))}\n".utf8)))
        default: return Self.nothing
        }
    }

    private static var nothing: ServerResponse {
        let error = StorageError(
            BackupError(.parameterInvalid, "there is nothing at this address"), isMissing: true)
        return ServerResponse(
            404, headers: ["Content-Type": "application/json"], body: .bytes(HostWire.body(error)))
    }
}
