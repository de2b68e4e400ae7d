import Crypto
package import HTTP

/// The requests of Azure's Blob service, without authorisation.
package struct AzureRequests: Sendable {
    let options: AzureOptions

    /// The first that takes blocks of up to 4000 MiB and writes names in listings as XML can have them.
    package static let version = "2021-08-06"

    package init(_ options: AzureOptions) { self.options = options }

    package func list(_ prefix: String, isDelimited: Bool, from marker: String?, limit: Int?) -> HTTPRequest {
        var request = request("GET", key: nil)
        request.query = [
            (name: "restype", value: "container"), (name: "comp", value: "list"), (name: "prefix", value: prefix),
        ]
        if isDelimited { request.query.append((name: "delimiter", value: "/")) }
        if let limit { request.query.append((name: "maxresults", value: String(limit))) }
        if let marker { request.query.append((name: "marker", value: marker)) }
        return request
    }

    /// The same with all versions of blobs that are kept, each as a blob of its own.
    package func listVersions(_ prefix: String, isDelimited: Bool, from marker: String?) -> HTTPRequest {
        var request = list(prefix, isDelimited: isDelimited, from: marker, limit: nil)
        request.query.append((name: "include", value: "versions"))
        return request
    }

    package func head(_ key: String) -> HTTPRequest { request("HEAD", key: key) }

    /// The content of a blob.
    /// - Parameters:
    ///   - tag: the one that it must have.
    ///   - version: the one to give, which need not be the present one.
    package func get(_ key: String, tag: String?, version: String? = nil) -> HTTPRequest {
        var request = request("GET", key: key)
        if let version { request.query = [(name: "versionid", value: version)] }
        if let tag { request.headers["If-Match"] = tag }
        return request
    }

    package func delete(_ key: String) -> HTTPRequest { request("DELETE", key: key) }

    /// A whole blob by one request.
    package func put(_ key: String, _ bytes: [UInt8], isCreate: Bool) -> HTTPRequest {
        var request = newBlob(key, bytes, isCreate: isCreate)
        request.headers["x-ms-blob-type"] = "BlockBlob"
        return request
    }

    /// A block of a blob that is not there yet.
    package func putBlock(_ key: String, id: String, _ bytes: [UInt8]) -> HTTPRequest {
        var request = request("PUT", key: key)
        request.query = [(name: "comp", value: "block"), (name: "blockid", value: id)]
        Self.setBody(&request, bytes)
        return request
    }

    /// Makes a blob of its blocks.
    package func putBlockList(_ key: String, ids: [String], isCreate: Bool) -> HTTPRequest {
        var text = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>"
        // Latest, so that the request may be made again when it was carried out already.
        for id in ids { text += "<Latest>\(id)</Latest>" }
        var request = newBlob(key, Array((text + "</BlockList>").utf8), isCreate: isCreate)
        request.query = [(name: "comp", value: "blocklist")]
        return request
    }

    /// The blocks that a blob is made of.
    package func blockList(_ key: String) -> HTTPRequest {
        var request = request("GET", key: key)
        request.query = [(name: "comp", value: "blocklist"), (name: "blocklisttype", value: "committed")]
        return request
    }

    private func newBlob(_ key: String, _ bytes: [UInt8], isCreate: Bool) -> HTTPRequest {
        var request = request("PUT", key: key)
        Self.setBody(&request, bytes)
        if !options.tags.isEmpty {
            request.headers["x-ms-tags"] = PercentEncoding.query(options.tags.map { (name: $0.key, value: $0.value) })
        }
        if isCreate { request.headers["If-None-Match"] = "*" }
        return request
    }

    private static func setBody(_ request: inout HTTPRequest, _ bytes: [UInt8]) {
        request.body = bytes
        // The service stores nothing that arrives otherwise.
        request.headers["Content-MD5"] = Base64.encode(Insecure.MD5.hash(data: bytes))
    }

    private func request(_ method: String, key: String?) -> HTTPRequest {
        var origin = options.endpoint
        var path = "/" + PercentEncoding.encode(options.container)
        switch options.style {
        case .host: origin.host = "\(options.account).\(origin.host)"
        case .path: path = "/" + PercentEncoding.encode(options.account) + path
        }
        if let key { path += "/" + PercentEncoding.encode(key, keepingSlashes: true) }
        var request = HTTPRequest(method, options.connectTo ?? origin, path: path)
        if options.connectTo != nil { request.headers["Host"] = origin.authority }
        request.headers["x-ms-version"] = Self.version
        return request
    }
}
