import HTTP

/// What S3 answers when something is wrong, and what follows from it.
enum S3Failures {
    /// - Parameters:
    ///   - action: the permission that the request needs, for the hint.
    static func failure(_ response: HTTPResponse, _ body: [UInt8], action: String, _ options: S3Options)
        -> ServiceFailure
    {
        let answer = S3ErrorAnswer(body)
        var failure = ServiceFailure(
            answer?.code.flatMap { kinds[$0] } ?? ServiceFailure.kind(status: response.status),
            answer.map { $0.message ?? "" } ?? text(of: response, body), status: response.status, code: answer?.code,
            requestID: answer?.requestID ?? response.headers["x-amz-request-id"],
            retryAfter: response.headers["Retry-After"].flatMap { Int($0) }.map { .seconds(min(max($0, 0), 300)) })
        if failure.kind == .missing, answer != nil, answer?.code == "NoSuchBucket" { failure.kind = .noBucket }
        // Of a HEAD and of servers that say no more than 301 or 400.
        if response.status == 301 || response.status == 307 { failure.kind = .wrongRegion }
        failure.hint = hint(failure, answer?.region ?? response.headers["x-amz-bucket-region"], action, options)
        return failure
    }

    /// Of a server that is not Amazon's and has no names for single buckets; nil where that cannot be it.
    static func hint(_ failure: ServiceFailure, _ host: String, _ options: S3Options) -> String? {
        guard failure.kind == .notConnected || failure.kind == .certificate, options.endpoint != nil,
            options.connectTo == nil, host.hasPrefix("\(options.bucket).")
        else { return nil }
        return "is '\(host)' a name of the server? For one without names of buckets set "
            + "repo\(options.repositoryKey)-s3-uri-style=path"
    }

    /// The region that the answer names.
    static func region(_ response: HTTPResponse, _ body: [UInt8]) -> String? {
        response.headers["x-amz-bucket-region"] ?? S3ErrorAnswer(body)?.region
    }

    private static let kinds: [String: ServiceFailure.Kind] = [
        "NoSuchKey": .missing, "NoSuchVersion": .missing, "NoSuchUpload": .missing, "NoSuchBucket": .noBucket,
        "PreconditionFailed": .alreadyThere,
        // Two conditional writes at the same time: one is done, and the other is to ask again.
        "ConditionalRequestConflict": .unavailable, "OperationAborted": .unavailable,
        "SlowDown": .throttled, "Throttling": .throttled, "ThrottlingException": .throttled,
        "RequestLimitExceeded": .throttled, "TooManyRequests": .throttled, "TooManyRequestsException": .throttled,
        "BandwidthLimitExceeded": .throttled, "ServiceUnavailable": .unavailable, "InternalError": .unavailable,
        "InternalFailure": .unavailable, "XMinioServerNotInitialized": .unavailable, "RequestTimeout": .timeout,
        // What arrived is not what was sent.
        "BadDigest": .broken, "IncompleteBody": .broken, "XAmzContentSHA256Mismatch": .broken,
        "ExpiredToken": .credentialsExpired, "ExpiredTokenException": .credentialsExpired,
        "TokenRefreshRequired": .credentialsExpired,
        "RequestTimeTooSkewed": .clockSkew, "RequestExpired": .clockSkew,
        "AccessDenied": .denied, "AccessDeniedException": .denied, "AllAccessDisabled": .denied,
        "AccountProblem": .denied, "InvalidAccessKeyId": .badCredentials, "SignatureDoesNotMatch": .badCredentials,
        "InvalidToken": .badCredentials, "InvalidClientTokenId": .badCredentials, "NotSignedUp": .badCredentials,
        "AuthorizationHeaderMalformed": .wrongRegion, "PermanentRedirect": .wrongRegion,
        "TemporaryRedirect": .wrongRegion, "IllegalLocationConstraintException": .wrongRegion,
        "NotImplemented": .unsupported, "MethodNotAllowed": .unsupported,
    ]

    private static func hint(
        _ failure: ServiceFailure, _ region: String?, _ action: String, _ options: S3Options
    ) -> String? {
        let repo = "repo\(options.repositoryKey)"
        switch failure.kind {
        case .noBucket: return "create bucket '\(options.bucket)', or correct \(repo)-s3-bucket"
        case .denied:
            let isOfBucket = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"].contains(action)
            let resource = isOfBucket ? options.bucket : "\(options.bucket)/*"
            return "the key needs the permission \(action) on arn:aws:s3:::\(resource)"
        case .badCredentials:
            return "check the key, its secret and its token, and where they come from: \(repo)-s3-key-type"
        case .credentialsExpired: return "the session token ran out: get a new one"
        case .wrongRegion:
            guard let region, !region.isEmpty else { return "check \(repo)-s3-region and \(repo)-s3-endpoint" }
            return options.endpoint == nil
                ? "bucket '\(options.bucket)' lies in region \(region): set \(repo)-s3-region=\(region)"
                : "region \(region) is wanted: set \(repo)-s3-region=\(region), and the endpoint of that region"
        case .clockSkew: return "set the clock of this host right"
        default: return nil
        }
    }

    /// Of an answer that is none of S3's: a proxy's page, or a HEAD's nothing.
    private static func text(of response: HTTPResponse, _ body: [UInt8]) -> String {
        if body.isEmpty { return "no reason was given" }
        let start = String(decoding: body.prefix(100), as: UTF8.self).map { $0.isNewline ? " " : $0 }
        return "the answer is none of S3's: '\(String(start))'"
    }
}
