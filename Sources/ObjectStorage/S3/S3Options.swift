package import BackupModel
package import HTTP
import RepositoryStorage

/// A bucket, and how it is to be used: the options `repoN-s3-…` and `repoN-storage-…`.
package struct S3Options: BucketOptions {
    package enum AddressStyle: Sendable { case host, path }

    /// How objects are encrypted by the service.
    package enum Encryption: Sendable {
        case none
        /// The service's own key.
        case service
        /// SSE-KMS: the id of a key.
        case keyManagement(String)
        /// SSE-C: base64 of 32 bytes, which every read and write brings along.
        case customer(Secret<String>)
    }

    package var bucket: String
    /// Directory in the bucket, without slashes at its ends; `""` is all of the bucket.
    package var root = ""
    /// nil: AWS's, of the region.
    package var endpoint: S3Endpoint?
    /// nil: asked for.
    package var region: String?
    package var style = AddressStyle.host
    /// Where to connect to instead of the endpoint, whose name stays in the requests.
    package var connectTo: HTTPOrigin?
    /// For which requests are signed: `s3`, `s3-outposts`.
    package var service = "s3"
    package var encryption = Encryption.none
    package var storageClass: String?
    package var tags: [(key: String, value: String)] = []
    package var requesterPays = false
    /// Bytes; `repo-storage-upload-chunk-size`.
    package var partSize = 5 << 20
    /// Objects and parts on their way at once; `repo-storage-upload-concurrency`.
    package var partsInFlight = StoreConcurrency.remote.uploads
    /// Objects that are read at once; `repo-storage-download-concurrency`.
    package var readsInFlight = StoreConcurrency.remote.downloads
    /// Where uploads in flight are noted, so that those of a killed run are removed by the next; nil: nowhere.
    package var journalDirectory: String?
    /// The number in `repoN-…`, for hints.
    package var repositoryKey = 1

    package init(bucket: String) { self.bucket = bucket }
}

/// A host with scheme and port, as `repo-s3-endpoint` and `repo-storage-host` name it.
package struct S3Endpoint: Sendable, Equatable {
    package var origin: HTTPOrigin

    /// `host`, `host:port`, `https://host:port`, `http://…`.
    /// - Parameter port: where `text` has none.
    package init(_ text: String, port: Int?) throws(BackupError) {
        var rest = Substring(text)
        var isSecure = true
        if let scheme = rest.firstRange(of: "://") {
            switch rest[..<scheme.lowerBound].lowercased() {
            case "https": isSecure = true
            case "http": isSecure = false
            default: throw Self.invalid(text)
            }
            rest = rest[scheme.upperBound...]
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        var host = rest
        var given: Int?
        if rest.hasPrefix("["), let close = rest.firstIndex(of: "]") {
            host = rest[rest.index(after: rest.startIndex)..<close]
            rest = rest[rest.index(after: close)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { throw Self.invalid(text) }
            given = try rest.isEmpty ? nil : Self.port(rest.dropFirst(), text)
        } else if let colon = rest.lastIndex(of: ":"), rest.firstIndex(of: ":") == colon {
            host = rest[..<colon]
            given = try Self.port(rest[rest.index(after: colon)...], text)
        }
        guard !host.isEmpty, !host.contains(where: { "/?#@ ".contains($0) }) else { throw Self.invalid(text) }
        origin = HTTPOrigin(isSecure: isSecure, host: String(host), port: given ?? port)
    }

    private static func port(_ text: Substring, _ all: String) throws(BackupError) -> Int {
        guard let port = Int(text), (1...65535).contains(port) else { throw invalid(all) }
        return port
    }

    private static func invalid(_ text: String) -> BackupError {
        BackupError(
            .optionInvalidValue, "'\(text)' is no address of a service",
            hint: "name a host, with a port where it is another: storage.example.com:9000, http://127.0.0.1:9000")
    }
}
