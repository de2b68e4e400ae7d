package import HTTP

/// The requests of Google's JSON API (v1), without authorisation.
package struct GCSRequests: Sendable {
    let options: GCSOptions

    package init(_ options: GCSOptions) { self.options = options }

    /// Of `Content-Range` in uploads, but for the last part.
    package static let partUnit = 256 << 10

    package func list(_ prefix: String, isDelimited: Bool, from token: String?, limit: Int?) -> HTTPRequest {
        list(prefix, "name,size,updated", isDelimited: isDelimited, from: token, limit: limit)
    }

    /// The same with all versions of objects that are kept, each as an item of its own.
    package func listVersions(_ prefix: String, isDelimited: Bool, from token: String?) -> HTTPRequest {
        let fields = "name,size,generation,timeCreated,timeDeleted"
        var request = list(prefix, fields, isDelimited: isDelimited, from: token, limit: nil)
        request.query.append((name: "versions", value: "true"))
        return request
    }

    private func list(
        _ prefix: String, _ fields: String, isDelimited: Bool, from token: String?, limit: Int?
    ) -> HTTPRequest {
        var request = request("GET", "/storage/v1/b/\(bucket)/o")
        request.query += [
            (name: "prefix", value: prefix), (name: "fields", value: "nextPageToken,prefixes,items(\(fields))"),
        ]
        if isDelimited { request.query.append((name: "delimiter", value: "/")) }
        if let limit { request.query.append((name: "maxResults", value: String(limit))) }
        if let token { request.query.append((name: "pageToken", value: token)) }
        return request
    }

    /// Facts about an object.
    package func resource(_ key: String) -> HTTPRequest {
        var request = request("GET", object(key))
        request.query.append((name: "fields", value: Self.resourceFields))
        return request
    }

    /// The content of an object.
    /// - Parameters:
    ///   - generation: the one that it must have.
    ///   - version: the generation to give, which need not be the present one.
    package func media(_ key: String, generation: String?, version: String? = nil) -> HTTPRequest {
        var request = request("GET", object(key))
        request.query.append((name: "alt", value: "media"))
        if let version { request.query.append((name: "generation", value: version)) }
        if let generation { request.query.append((name: "ifGenerationMatch", value: generation)) }
        return request
    }

    package func delete(_ key: String) -> HTTPRequest { request("DELETE", object(key)) }

    /// A whole object by one request.
    /// - Parameter boundary: a text that the bytes do not have, for objects with tags.
    package func insert(_ key: String, _ bytes: [UInt8], isCreate: Bool, boundary: @autoclosure () -> String)
        -> HTTPRequest
    {
        if options.tags.isEmpty {
            var request = upload("media", key, isCreate: isCreate)
            request.headers["Content-Type"] = "application/octet-stream"
            request.body = bytes
            return request
        }
        let boundary = boundary()
        var request = upload("multipart", key, isCreate: isCreate)
        request.headers["Content-Type"] = "multipart/related; boundary=\(boundary)"
        request.body.reserveCapacity(bytes.count + 1000)
        request.body += Array(
            ("--\(boundary)\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n\(metadata(key))\r\n"
                + "--\(boundary)\r\nContent-Type: application/octet-stream\r\n\r\n").utf8)
        request.body += bytes
        request.body += Array("\r\n--\(boundary)--\r\n".utf8)
        return request
    }

    /// Begins an upload in parts; the answer has its id.
    package func begin(_ key: String, isCreate: Bool) -> HTTPRequest {
        var request = upload("resumable", key, isCreate: isCreate)
        request.headers["Content-Type"] = "application/json; charset=UTF-8"
        request.body = Array(metadata(key).utf8)
        return request
    }

    /// A part of an upload.
    /// - Parameter total: bytes of the object, when this is its last part.
    package func part(_ key: String, _ id: String, _ bytes: [UInt8], at offset: UInt64, total: UInt64?) -> HTTPRequest {
        var request = session("PUT", key, id)
        let end = total.map(String.init) ?? "*"
        request.headers["Content-Range"] = "bytes \(offset)-\(offset + UInt64(bytes.count) - 1)/\(end)"
        request.body = bytes
        return request
    }

    /// Asks how much of an upload has arrived.
    /// - Parameter total: bytes of the object, which is there when all of them are.
    package func status(_ key: String, _ id: String, total: UInt64?) -> HTTPRequest {
        var request = session("PUT", key, id)
        request.headers["Content-Range"] = "bytes */\(total.map(String.init) ?? "*")"
        return request
    }

    package func cancel(_ key: String, _ id: String) -> HTTPRequest { session("DELETE", key, id) }

    /// As the service writes it: base64 of the four bytes, the highest first.
    package static func checksum(_ crc: UInt32) -> String {
        Base64.encode([24, 16, 8, 0].map { UInt8(truncatingIfNeeded: crc >> $0) })
    }

    private static let resourceFields = "size,updated,crc32c,generation"

    private var bucket: String { PercentEncoding.encode(options.bucket) }

    private func object(_ key: String) -> String { "/storage/v1/b/\(bucket)/o/\(PercentEncoding.encode(key))" }

    private func upload(_ type: String, _ key: String, isCreate: Bool) -> HTTPRequest {
        var request = request("POST", "/upload/storage/v1/b/\(bucket)/o")
        request.query += [
            (name: "uploadType", value: type), (name: "name", value: key),
            (name: "fields", value: Self.resourceFields),
        ]
        // Generation 0 is that of an object which does not exist.
        if isCreate { request.query.append((name: "ifGenerationMatch", value: "0")) }
        return request
    }

    private func session(_ method: String, _ key: String, _ id: String) -> HTTPRequest {
        var request = request(method, "/upload/storage/v1/b/\(bucket)/o")
        request.query += [
            (name: "uploadType", value: "resumable"), (name: "name", value: key), (name: "upload_id", value: id),
        ]
        return request
    }

    private func request(_ method: String, _ path: String) -> HTTPRequest {
        var request = HTTPRequest(method, options.endpoint, path: path)
        if let project = options.userProject { request.query.append((name: "userProject", value: project)) }
        return request
    }

    private func metadata(_ key: String) -> String {
        var text = "{\"name\":\(ServiceJSON.quoted(key))"
        if !options.tags.isEmpty {
            let members = options.tags.map { "\(ServiceJSON.quoted($0.key)):\(ServiceJSON.quoted($0.value))" }
            text += ",\"metadata\":{\(members.joined(separator: ","))}"
        }
        return text + "}"
    }
}
