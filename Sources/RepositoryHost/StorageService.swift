package import BackupEngine
import BackupModel
package import HTTP
import ObjectStorage
import RepositoryFormats
import RepositoryStorage

/// Serves volumes: one request of ``HostWire`` is one call of the storage contract, after it was seen whether the client
/// may make it. What is durable when an answer is sent is what the contract says of the call.
package struct StorageService: Sendable {
    /// By the `N` of `repoN-…`.
    private let volumes: [Int: HostVolume]
    private let authorization: HostAuthorization
    private let locks: HostLocks
    /// Where calls block.
    let threads: WorkerThreads
    let buffers: TransferBuffers
    /// Entries of a list in one answer.
    let pageSize: Int
    /// Uploads end with the kernel's run: bytes that were not synced are gone with it, and nobody would know.
    private let boot: String

    /// Of requests that are kept in memory: a thousand long paths.
    private static let requestLimit = 8 << 20

    package init(
        _ volumes: [HostVolume], _ authorization: HostAuthorization, _ locks: HostLocks, threads: WorkerThreads,
        buffers: TransferBuffers, pageSize: Int = 10_000
    ) {
        self.volumes = Dictionary(volumes.map { ($0.repository.key, $0) }) { first, _ in first }
        self.authorization = authorization
        self.locks = locks
        self.threads = threads
        self.buffers = buffers
        self.pageSize = pageSize
        boot = String(ProcessIdentity.current().boot.filter { $0 != "-" }.prefix(12))
    }

    /// - Parameter path: what follows `/v1/repo` in the address.
    package func respond(to request: ServerRequest, _ path: ArraySlice<String>) async -> ServerResponse {
        await withTaskExecutorPreference(threads) {
            do {
                return try await answer(request, path)
            } catch let error as StorageError {
                return Self.refusal(error)
            } catch let error as BackupError {
                return Self.refusal(StorageError(error, isDenied: error.code == .access))
            } catch {
                return Self.refusal(StorageError(BackupError(error), isRetryable: true))
            }
        }
    }

    /// Gives up the locks of clients that are gone: to be called now and then.
    package func endOldLocks() { locks.endOld() }

    private static func refusal(_ error: StorageError) -> ServerResponse {
        ServerResponse(
            HostWire.status(error), headers: ["Content-Type": "application/json"], body: .bytes(HostWire.body(error)))
    }

    private func answer(_ request: ServerRequest, _ address: ArraySlice<String>) async throws -> ServerResponse {
        guard address.count >= 2, let key = address.first.flatMap({ Int($0) }),
            let kind = HostWire.Kind(rawValue: address[address.startIndex + 1])
        else { throw Self.invalid("there is nothing at this address") }
        try authorization.requireKnown(request.client)
        guard let volume = volumes[key] else {
            throw StorageError(
                BackupError(
                    .optionInvalid, "the host has no repository \(key) on a volume",
                    hint: "on the host, repo\(key)-path must be set and repo\(key)-type be posix or cifs"))
        }
        let path = address.dropFirst(2).joined(separator: "/")
        if path.isEmpty { try StoragePath.validateDirectory(path) } else { try StoragePath.validate(path) }
        let call = Call(
            service: self, request: request, volume: volume, path: path,
            access: StorageAccess(volume: volume, authorization: authorization, client: request.client))
        switch (request.method, kind) {
        case ("GET", .object): return try await call.read()
        case ("PUT", .object): return try await call.write()
        case ("GET", .info): return try await call.info()
        case ("GET", .list): return try await call.list()
        case ("POST", .upload): return try await call.begin()
        case ("PUT", .upload): return try await call.part()
        case ("DELETE", .upload): return try await call.abort()
        case ("POST", .complete): return try await call.complete()
        case ("POST", .delete): return try await call.delete()
        case ("DELETE", .tree): return try await call.deleteTree()
        case ("PUT", .directory): return try await call.makeDirectory()
        case ("POST", .sync): return try await call.sync()
        case ("PUT", .link): return try await call.link()
        case ("PUT", .hardLink): return try await call.hardLink()
        default: throw Self.invalid("'\(request.method)' is not for this address")
        }
    }

    static func invalid(_ message: String) -> StorageError { StorageError(BackupError(.parameterInvalid, message)) }

    /// One request, on its way through the contract.
    struct Call {
        let service: StorageService
        let request: ServerRequest
        let volume: HostVolume
        let path: String
        let access: StorageAccess

        var store: PosixStore { volume.store }
        static let done = ServerResponse(204)

        func parameter(_ name: String) throws -> String {
            guard let value = request.parameter(name) else { throw StorageService.invalid("'\(name)' is missing") }
            return value
        }

        func mode() throws -> WriteMode {
            guard let mode = HostWire.mode(request.parameter("mode")) else {
                throw StorageService.invalid("'mode' is none of atomic, in-place and create")
            }
            return mode
        }

        /// All of a small body.
        func body() async throws -> [UInt8] {
            do throws(TransportError) {
                return try await request.body.collect(limit: StorageService.requestLimit)
            } catch {
                throw StorageError(BackupError(.protocolError, error.reason), isRetryable: true)
            }
        }

        /// Ids are of this run of the kernel.
        func upload() throws(StorageError) -> PosixUpload {
            let parts = (request.parameter("id") ?? "").split(separator: "-")
            guard parts.count == 2, parts[0] == service.boot else {
                throw StorageError(
                    BackupError(.protocolError, "the upload of '\(path)' ended when the host was started again"))
            }
            return try PosixUpload(store, path, id: String(parts[1]))
        }

        func id(_ upload: PosixUpload) -> [UInt8] { Array("\(service.boot)-\(upload.id)".utf8) }

        /// The lock object changes hands: the host's own lock files follow.
        /// - Returns: whether they are to be given up again when it cannot be written.
        func lockIsWritten() throws(BackupError) -> Bool {
            guard case .stanza(let stanza, .lock)? = RepositoryPlace(path) else { return false }
            return try service.locks.hold(stanza, repository: volume.repository.key)
        }

        func isRemoved(_ path: String) {
            guard case .stanza(let stanza, let place)? = RepositoryPlace(path),
                place == .lock || place == .directory && path.hasPrefix("permafrost/")
            else { return }
            service.locks.release(stanza, repository: volume.repository.key)
        }
    }
}
