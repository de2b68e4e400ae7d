import BackupModel
package import HTTP
import ObjectStorage
import RepositoryStorage
import Synchronization

/// What a repository host answers. The service is another one after the configuration was read again.
package final class HostHandler: ServerHandler {
    private let service: Mutex<StorageService>

    package init(_ service: StorageService) { self.service = Mutex(service) }

    /// For requests that come from now on.
    package func use(_ service: StorageService) { self.service.withLock { $0 = service } }

    package func respond(to request: ServerRequest) async -> ServerResponse {
        guard request.path.first == "v1" else { return Self.nothing }
        switch request.path.dropFirst().first {
        case "repo":
            let service = service.withLock { $0 }
            return await service.respond(to: request, request.path.dropFirst(2))
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
