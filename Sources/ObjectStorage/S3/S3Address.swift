package import HTTP

/// Where the requests to a bucket go.
package struct S3Address: Sendable {
    package let options: S3Options
    package let region: String

    package init(_ options: S3Options, region: String) {
        self.options = options
        self.region = region
    }

    /// AWS's endpoint of a region; China has a domain of its own.
    package static func endpoint(of region: String) -> String {
        "s3.\(region).amazonaws.com" + (region.hasPrefix("cn-") ? ".cn" : "")
    }

    private var endpoint: HTTPOrigin {
        options.endpoint?.origin ?? HTTPOrigin(host: Self.endpoint(of: region))
    }

    /// A request to the bucket, or to an object of it.
    /// - Parameter key: of the object, whole; nil is the bucket.
    package func request(_ method: String, key: String?) -> HTTPRequest {
        var origin = endpoint
        // A bucket with dots fits no wildcard certificate.
        let isPath = options.style == .path || options.endpoint == nil && options.bucket.contains(".")
        if !isPath { origin.host = "\(options.bucket).\(origin.host)" }
        var path = isPath ? "/" + PercentEncoding.encode(options.bucket) : ""
        if let key { path += "/" + PercentEncoding.encode(key, keepingSlashes: true) }
        var request = HTTPRequest(method, options.connectTo ?? origin, path: path.isEmpty ? "/" : path)
        if options.connectTo != nil { request.headers["Host"] = origin.authority }
        if options.requesterPays { request.headers["x-amz-request-payer"] = "requester" }
        return request
    }
}
