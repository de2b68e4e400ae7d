package import HTTP

/// A bucket of Google Cloud Storage.
package struct GCSService: ObjectService {
    package let place: BucketPlace
    let requests: GCSRequests
    let client: ServiceClient

    package var retry: RequestRetry { client.retry }
    package let heedsConditions: Bool

    /// - Parameter now: seconds since 1970.
    package init(
        _ options: GCSOptions, _ transport: any HTTPTransport, _ authorizer: any RequestAuthorizer,
        _ retry: RequestRetry, now: @escaping @Sendable () -> Int64
    ) {
        var options = options
        // All parts but the last are a multiple of it.
        options.partSize = max(options.partSize / GCSRequests.partUnit, 1) * GCSRequests.partUnit
        place = BucketPlace(
            name: "gcs:\(options.bucket)",
            description: "bucket '\(options.bucket)' at \(options.endpoint.authority)", root: options.root,
            partSize: options.partSize, partsInFlight: options.partsInFlight,
            readsInFlight: options.readsInFlight)
        requests = GCSRequests(options)
        heedsConditions = options.endpoint == GCSOptions.google
        client = ServiceClient(transport, authorizer, retry, now: now) { [options] in
            GCSFailures.failure($0, $1, $2, options)
        }
    }

    package func page(
        _ prefix: String, isDelimited: Bool, from token: String?, limit: Int?
    ) async throws -> ObjectPage {
        let request = requests.list(prefix, isDelimited: isDelimited, from: token, limit: limit)
        return try await client.answer(request, action: "storage.objects.list") { try ObjectPage(gcs: $1) }
    }

    package func facts(_ key: String) async throws -> ObjectFacts? {
        try await resource(key).map { ObjectFacts(size: $0.size, modified: $0.modified) }
    }

    func resource(_ key: String) async throws -> GCSResource? {
        do {
            return try await client.answer(requests.resource(key), action: "storage.objects.get") {
                try GCSResource($1)
            }
        } catch let failure as ServiceFailure where failure.kind == .missing {
            return nil
        }
    }

    package func delete(_ key: String) async throws {
        do {
            try await client.answer(requests.delete(key), action: "storage.objects.delete") { _, _ in }
        } catch let failure as ServiceFailure where failure.kind == .missing {
            return
        }
    }

    package func source(_ key: String) -> any DownloadSource { source(key, version: nil) }

    /// - Parameter id: the generation to read; nil for the object that is there.
    package func source(_ key: String, version id: String?) -> any DownloadSource {
        RangedSource(place: place, key: key, versionHeader: "X-Goog-Generation") { [requests, client] in
            var request = requests.media(key, generation: $1, version: id)
            request.headers["Range"] = $0
            return try await client.attempt(request, action: "storage.objects.get", accepting: [412, 416])
        }
    }

    package func target(_ key: String, isCreate: Bool) -> any UploadTarget {
        GCSTarget(service: self, key: key, isCreate: isCreate)
    }
}
