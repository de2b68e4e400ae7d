import BackupModel
import Crypto
import HTTP
import RepositoryStorage

extension S3Service: ObjectService {
    package var place: BucketPlace {
        BucketPlace(
            name: "s3:\(options.bucket)", description: description, root: options.root, partSize: options.partSize,
            partsInFlight: options.partsInFlight, readsInFlight: options.readsInFlight)
    }

    /// Whoever speaks the protocol: some do not.
    package var heedsConditions: Bool { false }

    package func page(
        _ prefix: String, isDelimited: Bool, from token: String?, limit: Int?
    ) async throws -> ObjectPage {
        try await answer(action: "s3:ListBucket") { address in
            var request = address.request("GET", key: nil)
            request.query = [("list-type", "2"), ("prefix", prefix), ("encoding-type", "url")]
            if isDelimited { request.query.append(("delimiter", "/")) }
            if let limit { request.query.append(("max-keys", String(limit))) }
            if let token { request.query.append(("continuation-token", token)) }
            return request
        } _: {
            try ObjectPage(s3: $0)
        }
    }

    package func facts(_ key: String) async throws -> ObjectFacts? {
        try await head(key).map { ObjectFacts(size: $0.size, modified: $0.modified) }
    }

    package func delete(_ key: String) async throws { try await delete([key]) }
    package func delete(_ keys: [String]) async throws { try await S3Deletion(service: self).delete(keys) }

    package func source(_ key: String) -> any DownloadSource { source(key, version: nil) }

    /// - Parameter id: of the version to read; nil for the object that is there.
    package func source(_ key: String, version id: String?) -> any DownloadSource {
        RangedSource(place: place, key: key, versionHeader: "ETag") { range, version in
            let action = id == nil ? "s3:GetObject" : "s3:GetObjectVersion"
            return try await self.attempt(action: action, accepting: [412, 416]) { address in
                var request = address.request("GET", key: key)
                if let id { request.query = [("versionId", id)] }
                request.headers["Range"] = range
                request.headers["If-Match"] = version
                self.addCustomerKey(&request)
                return request
            }
        }
    }

    package func target(_ key: String, isCreate: Bool) -> any UploadTarget {
        S3Target(service: self, key: key, isCreate: isCreate)
    }
}

/// Requests about one object.
extension S3Service {
    /// What an object has from its beginning: encryption, class, tags.
    func describeNew(_ request: inout HTTPRequest) {
        switch options.encryption {
        case .none: break
        case .service: request.headers["x-amz-server-side-encryption"] = "AES256"
        case .keyManagement(let id):
            request.headers["x-amz-server-side-encryption"] = "aws:kms"
            request.headers["x-amz-server-side-encryption-aws-kms-key-id"] = id
        case .customer: addCustomerKey(&request)
        }
        if let storageClass = options.storageClass { request.headers["x-amz-storage-class"] = storageClass }
        if !options.tags.isEmpty {
            request.headers["x-amz-tagging"] = PercentEncoding.query(options.tags.map { ($0.key, $0.value) })
        }
    }

    /// Every request to an object that the service encrypts with a key of ours brings it along.
    func addCustomerKey(_ request: inout HTTPRequest) {
        guard case .customer(let key) = options.encryption, let bytes = Base64.decode(key.revealed) else { return }
        request.headers["x-amz-server-side-encryption-customer-algorithm"] = "AES256"
        request.headers["x-amz-server-side-encryption-customer-key"] = key.revealed
        request.headers["x-amz-server-side-encryption-customer-key-md5"] =
            Base64.encode(Insecure.MD5.hash(data: bytes))
    }

    struct Head {
        var size: UInt64
        var modified: Int64
        var tag: String?
    }

    /// nil when there is no such object.
    func head(_ key: String) async throws -> Head? {
        let response = try await send(action: "s3:GetObject", accepting: [404]) { address in
            var request = address.request("HEAD", key: key)
            addCustomerKey(&request)
            return request
        }
        _ = try await Self.collect(response)
        if response.status == 404 { return nil }
        guard let size = response.headers["Content-Length"].flatMap({ UInt64($0) }) else {
            throw ServiceFailure(.broken, "the answer does not say how large the object is", status: response.status)
        }
        return Head(
            size: size, modified: response.headers["Last-Modified"].flatMap(ServiceTime.parseHTTP) ?? 0,
            tag: response.headers["ETag"])
    }

    /// Whether the object is there with just these bytes.
    func holds(_ key: String, _ bytes: [UInt8]) async throws -> Bool {
        let response = try await send(action: "s3:GetObject", accepting: [404]) { address in
            var request = address.request("GET", key: key)
            addCustomerKey(&request)
            return request
        }
        guard response.status != 404 else {
            await response.body.close()
            return false
        }
        do throws(TransportError) {
            return try await response.body.collect(limit: bytes.count) == bytes
        } catch {
            // Longer than ours.
            return false
        }
    }

    /// - Returns: whether the upload is gone.
    func abortUpload(_ key: String, _ id: String) async -> Bool {
        do {
            let response = try await send(action: "s3:AbortMultipartUpload", accepting: [404]) { address in
                var request = address.request("DELETE", key: key)
                request.query = [("uploadId", id)]
                return request
            }
            await response.body.close()
            return true
        } catch {
            let reason = (error as? ServiceFailure)?.message ?? "\(error)"
            warn(
                "unable to remove the unfinished upload of '\(key)' in \(place.description): \(reason)\n"
                    + "HINT: a lifecycle rule AbortIncompleteMultipartUpload of the bucket removes what stays")
            return false
        }
    }
}
