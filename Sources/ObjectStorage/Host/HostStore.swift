import BackupModel
package import HTTP
package import RepositoryStorage

/// A volume on another host: the storage contract by requests to its `permafrost server`, which has a directory there.
///
/// What is durable when a call returns, and what shows of an object that is being written, is what the host's posix
/// driver promises, except that nothing of an `.inPlace` object shows before `commit` either.
package final class HostStore: RepositoryStore {
    let options: HostOptions
    let client: ServiceClient
    private let slots: CallSlots

    /// - Parameter now: seconds since 1970.
    package init(
        _ options: HostOptions, _ transport: any HTTPTransport, _ retry: RequestRetry,
        now: @escaping @Sendable () -> Int64
    ) {
        self.options = options
        slots = CallSlots(options.partsInFlight)
        client = ServiceClient(transport, CertificateAuthorizer(), retry, now: now) { response, body, _ in
            HostWire.failure(response, body)
        }
    }

    /// All that a directory can do.
    package var capabilities: StoreCapabilities { [.createIfAbsent, .directories, .symlinks, .hardLinks] }

    package var location: String { "host:\(options.origin.authority)/repo\(options.repositoryKey)" }

    package var concurrency: StoreConcurrency {
        StoreConcurrency(uploads: options.partsInFlight, downloads: options.readsInFlight)
    }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try StoragePath.validate(path)
        return try await describing("read", path, .fileRead) {
            try await ResumingReader.open(source(path), range: range, retry: client.retry)
        }
    }

    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try StoragePath.validate(path)
        return PartWriter(
            HostTarget(store: self, path: path, mode: mode), sizes: PartSizes(first: options.partSize), slots: slots)
    }

    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try StoragePath.validateDirectory(directory)
        var request = request("GET", .list, directory)
        request.query = [("prefix", prefix)] + (token.map { [("from", $0)] } ?? [])
        return try await describing("list", directory, .pathOpen) {
            try await client.answer(request, action: "read") { head, body in
                guard let entries = HostWire.infos(body) else { throw Malformed(answer: "a list") }
                return ListPage(
                    entries: entries, next: head.headers[HostWire.nextHeader].flatMap { PercentEncoding.decode($0) })
            }
        }
    }

    package func info(_ path: String) async throws -> ObjectInfo? {
        try StoragePath.validateDirectory(path)
        return try await describing("look up", path, .fileInfo) {
            try await client.answer(request("GET", .info, path), action: "read") { head, body in
                if head.status == 204 { return nil }
                guard let infos = HostWire.infos(body), infos.count == 1 else { throw Malformed(answer: "an entry") }
                return infos[0]
            }
        }
    }

    package func delete(_ paths: [String]) async throws {
        for path in paths { try StoragePath.validate(path) }
        var rest = paths[...]
        while let first = rest.first {
            var request = request("POST", .delete, "")
            request.body = HostWire.body(rest.prefix(HostWire.deletionSize))
            rest = rest.dropFirst(HostWire.deletionSize)
            try await perform(request, "delete", first, .fileRemove, action: "expire")
        }
    }

    package func deleteTree(_ directory: String) async throws {
        try StoragePath.validateDirectory(directory)
        try await perform(
            request("DELETE", .tree, directory), "delete all in", directory, .pathRemove, action: "expire")
    }

    package func makeDirectory(_ path: String) async throws {
        try StoragePath.validateDirectory(path)
        try await perform(request("PUT", .directory, path), "make directory", path, .pathCreate)
    }

    package func syncAll(under directory: String) async throws {
        try StoragePath.validateDirectory(directory)
        try await perform(request("POST", .sync, directory), "sync", directory, .pathSync)
    }

    package func link(_ path: String, to target: String) async throws {
        try StoragePath.validate(path)
        var request = request("PUT", .link, path)
        request.query = [("to", target)]
        try await perform(request, "link", path, .fileOpen)
    }

    package func hardLink(_ path: String, to existing: String) async throws {
        try StoragePath.validate(path)
        try StoragePath.validate(existing)
        var request = request("PUT", .hardLink, path)
        request.query = [("existing", existing)]
        try await perform(request, "link", path, .fileOpen)
    }
}

// What the writer and the reader share.
extension HostStore {
    func request(_ method: String, _ kind: HostWire.Kind, _ path: String) -> HTTPRequest {
        HTTPRequest(method, options.origin, path: HostWire.path(kind, repository: options.repositoryKey, path))
    }

    private func source(_ path: String) -> RangedSource {
        RangedSource(versionHeader: "ETag") {
            self.error($0, "read", path, .fileRead)
        } attempt: {
            var request = self.request("GET", .object, path)
            request.headers["Range"] = $0
            request.headers["If-Match"] = $1
            return try await self.client.attempt(request, action: "read", accepting: [412, 416])
        }
    }

    private func perform(
        _ request: HTTPRequest, _ attempt: String, _ path: String, _ code: ErrorCode, action: String = "add"
    ) async throws {
        try await describing(attempt, path, code) { try await client.answer(request, action: action) { _, _ in } }
    }

    /// Turns what goes wrong in `body` into the contract's errors.
    func describing<Value>(
        _ attempt: String, _ path: String, _ code: ErrorCode, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let failure as ServiceFailure {
            if failure.kind == .cancelled { throw CancellationError() }
            throw error(failure, attempt, path, code)
        }
    }

    func error(_ failure: ServiceFailure, _ attempt: String, _ path: String, _ code: ErrorCode) -> StorageError {
        let place = "repository host \(options.origin.authority)"
        // The host's own words say what it tried; an exit code is what it names an error by.
        guard let number = failure.code.flatMap({ Int32($0) }), failure.status == nil else {
            var failure = failure
            let repo = "repo\(options.repositoryKey)-host"
            switch failure.kind {
            case .certificate:
                failure.hint =
                    "\(repo)-ca-file must hold the authority that signed the host's certificate, and \(repo)-cert-file one "
                    + "that the host trusts; both must be valid now"
            case .notConnected: failure.hint = "does 'permafrost server' run there, and is \(repo)-port its port?"
            default: break
            }
            return failure.storageError("\(attempt) '\(path)' on \(place)", code: code)
        }
        return StorageError(
            BackupError(ErrorCode(rawValue: number), "\(place): \(failure.message)", hint: failure.hint),
            isMissing: failure.kind == .missing, isRetryable: failure.isRetryable,
            isAlreadyThere: failure.kind == .alreadyThere, isDenied: failure.kind == .denied)
    }

    struct Malformed: Error, CustomStringConvertible {
        var answer: String
        var description: String { "what the host sent is not \(answer)" }
    }
}

/// Who asks, the connection shows.
private struct CertificateAuthorizer: RequestAuthorizer {
    func authorize(_ request: inout HTTPRequest, at time: Int64) async throws {}
    func expire() async -> Bool { false }
}
