import HTTP

/// An answer that is not what was asked for.
package struct MalformedAnswer: Error, Sendable, CustomStringConvertible {
    package let description: String
}

/// Facts about an object.
package struct GCSResource: Sendable, Equatable {
    package var size: UInt64
    /// Seconds since 1970.
    package var modified: Int64
    /// See ``GCSRequests/checksum(_:)``; nil for none.
    package var checksum: String?

    package init(_ body: [UInt8]) throws(MalformedAnswer) {
        guard let json = ServiceJSON(body) else { throw MalformedAnswer(description: "an answer that is no JSON") }
        try self.init(json)
    }

    init(_ json: ServiceJSON) throws(MalformedAnswer) {
        guard let size = json["size"]?.string.flatMap({ UInt64($0) }) else {
            throw MalformedAnswer(description: "an object without a size")
        }
        self.size = size
        modified = json["updated"]?.string.flatMap(ServiceTime.parseISO8601) ?? 0
        checksum = json["crc32c"]?.string
    }
}

extension ObjectPage {
    /// A page of Google's listing.
    package init(gcs body: [UInt8]) throws(MalformedAnswer) {
        self.init()
        guard let json = ServiceJSON(body), case .object = json else {
            throw MalformedAnswer(description: "a list that is no JSON object")
        }
        for item in json["items"]?.elements ?? [] {
            guard let name = item["name"]?.string else {
                throw MalformedAnswer(description: "an object without a name")
            }
            let resource = try GCSResource(item)
            objects.append((name, ObjectFacts(size: resource.size, modified: resource.modified)))
        }
        for prefix in json["prefixes"]?.elements ?? [] {
            guard let text = prefix.string else { throw MalformedAnswer(description: "a prefix that is no text") }
            prefixes.append(text)
        }
        next = json["nextPageToken"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// What Google answers when something is wrong, and what follows from it.
enum GCSFailures {
    /// - Parameter action: the permission that the request needs.
    static func failure(
        _ response: HTTPResponse, _ body: [UInt8], _ action: String, _ options: GCSOptions
    ) -> ServiceFailure {
        let error = ServiceJSON(body)?["error"]
        let reason = error?["errors"]?.elements.first?["reason"]?.string
        // Some answers are a line of text.
        let message = error?["message"]?.string ?? error?.string ?? ServiceFailure.excerpt(of: body)
        var failure = ServiceFailure(
            kind(response.status, reason, message), message, status: response.status, code: reason,
            requestID: response.headers["X-GUploader-UploadID"], retryAfter: ServiceFailure.retryAfter(response))
        failure.hint = hint(failure, action, options)
        return failure
    }

    private static func kind(_ status: Int, _ reason: String?, _ message: String) -> ServiceFailure.Kind {
        switch (status, reason) {
        case (_, "rateLimitExceeded"), (_, "userRateLimitExceeded"), (_, "quotaExceeded"): .throttled
        case (_, "backendError"), (_, "internalError"): .unavailable
        // A token that ran out, or is none: new ones may be had.
        case (401, _): .credentialsExpired
        case (404, _) where message.lowercased().contains("bucket does not exist"): .noBucket
        case (404, _) where message == "Bucket not found": .noBucket
        case (412, _): .alreadyThere
        // Of two requests for one object at the same time.
        case (409, _): .unavailable
        case (410, _): .invalid
        default: ServiceFailure.kind(status: status)
        }
    }

    private static func hint(_ failure: ServiceFailure, _ action: String, _ options: GCSOptions) -> String? {
        let repo = "repo\(options.repositoryKey)"
        switch failure.kind {
        case .noBucket: return "create bucket '\(options.bucket)', or correct \(repo)-gcs-bucket"
        case .denied:
            if options.userProject == nil, failure.code == "userProjectMissing" {
                return "the bucket lets whoever asks pay: set \(repo)-gcs-user-project"
            }
            return "the service account needs the permission \(action) on bucket '\(options.bucket)'"
        case .credentialsExpired:
            return "check the key or the token in \(repo)-gcs-key, and where it comes from: \(repo)-gcs-key-type"
        case .invalid where failure.code == "required":
            return "the bucket lets whoever asks pay: set \(repo)-gcs-user-project"
        default: return nil
        }
    }
}
