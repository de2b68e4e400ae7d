import BackupModel
package import HTTP

/// A container of Azure Blob Storage.
package struct AzureService: ObjectService {
    package let place: BucketPlace
    let requests: AzureRequests
    let client: ServiceClient

    package var retry: RequestRetry { client.retry }
    package let heedsConditions: Bool

    /// - Parameter now: seconds since 1970.
    package init(
        _ options: AzureOptions, _ transport: any HTTPTransport, _ authorizer: any RequestAuthorizer,
        _ retry: RequestRetry, now: @escaping @Sendable () -> Int64
    ) {
        place = BucketPlace(
            name: "azure:\(options.account)/\(options.container)",
            description: "container '\(options.container)' of account '\(options.account)' at "
                + options.endpoint.authority,
            root: options.root, partSize: options.partSize, partsInFlight: options.partsInFlight,
            readsInFlight: options.readsInFlight)
        requests = AzureRequests(options)
        heedsConditions = AzureOptions.clouds.contains(options.endpoint.host)
        client = ServiceClient(transport, authorizer, retry, now: now) { AzureFailures.failure($0, $1, $2, options) }
    }

    package func page(
        _ prefix: String, isDelimited: Bool, from token: String?, limit: Int?
    ) async throws -> ObjectPage {
        let request = requests.list(prefix, isDelimited: isDelimited, from: token, limit: limit)
        return try await client.answer(request, action: "list") { try ObjectPage(azure: $1) }
    }

    package func facts(_ key: String) async throws -> ObjectFacts? {
        do {
            return try await client.answer(requests.head(key), action: "read") { head, _ in
                guard let size = head.headers["Content-Length"].flatMap({ UInt64($0) }) else {
                    throw MalformedAnswer(description: "the answer does not say how large the blob is")
                }
                return ObjectFacts(
                    size: size, modified: head.headers["Last-Modified"].flatMap(ServiceTime.parseHTTP) ?? 0)
            }
        } catch let failure as ServiceFailure where failure.kind == .missing {
            return nil
        }
    }

    package func delete(_ key: String) async throws {
        do {
            try await client.answer(requests.delete(key), action: "delete") { _, _ in }
        } catch let failure as ServiceFailure where failure.kind == .missing {
            return
        }
    }

    package func source(_ key: String) -> any DownloadSource { source(key, version: nil) }

    /// - Parameter id: of the version to read; nil for the blob that is there.
    package func source(_ key: String, version id: String?) -> any DownloadSource {
        RangedSource(place: place, key: key, versionHeader: "ETag") { [requests, client] in
            var request = requests.get(key, tag: $1, version: id)
            // As Microsoft's own client asks.
            request.headers["x-ms-range"] = $0
            return try await client.attempt(request, action: "read", accepting: [412, 416])
        }
    }

    package func target(_ key: String, isCreate: Bool) -> any UploadTarget {
        AzureTarget(service: self, key: key, isCreate: isCreate)
    }

    /// Whether the blob is there with just these bytes.
    func holds(_ key: String, _ bytes: [UInt8]) async throws -> Bool {
        do {
            let response = try await client.attempt(requests.get(key, tag: nil), action: "read")
            do throws(TransportError) {
                return try await response.body.collect(limit: bytes.count) == bytes
            } catch {
                // Longer than ours.
                return false
            }
        } catch let failure as ServiceFailure where failure.kind == .missing {
            return false
        }
    }

    /// The ids of the blocks that a blob is made of, in their order; none when there is no such blob.
    func blocks(_ key: String) async throws -> [String] {
        do {
            return try await client.answer(requests.blockList(key), action: "read") { _, body in
                var ids: [String] = []
                try XMLPull.forEachElement(in: body) { path, text in
                    if path == ["BlockList", "CommittedBlocks", "Block", "Name"] { ids.append(text) }
                }
                return ids
            }
        } catch let failure as ServiceFailure where failure.kind == .missing {
            return []
        }
    }
}
