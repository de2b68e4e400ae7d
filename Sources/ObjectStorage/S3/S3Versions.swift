import HTTP

extension S3Service: VersionedObjectService {
    package func versions(_ prefix: String, isDelimited: Bool, from token: String?) async throws -> VersionPage {
        // A version id has no line break, and a key comes encoded.
        let markers = token?.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) ?? []
        return try await answer(action: "s3:ListBucketVersions") { address in
            var request = address.request("GET", key: nil)
            request.query = [("versions", ""), ("prefix", prefix), ("encoding-type", "url")]
            if isDelimited { request.query.append(("delimiter", "/")) }
            if let key = markers.first {
                request.query.append(("key-marker", PercentEncoding.decode(key) ?? key))
            }
            if markers.count > 1 { request.query.append(("version-id-marker", markers[1])) }
            return request
        } _: {
            try VersionPage(s3: $0)
        }
    }
}

extension VersionPage {
    /// A page of ListObjectVersions. Its token: the key to go on behind, encoded, and in a line of its own the version of
    /// it, where there is one.
    package init(s3 body: [UInt8]) throws {
        self.init(isNewestFirst: true)
        var isEncoded = false
        var isTruncated = false
        var keyMarker = ""
        var versionMarker = ""
        var version = S3VersionFields()
        try XMLPull.forEachElement(in: body) { path, text in
            guard path.first == "ListVersionsResult" else {
                throw XMLPull.Malformed(description: "an answer to another question: \(path.first ?? "")")
            }
            switch (path.count, path.last) {
            case (2, "EncodingType"): isEncoded = text == "url"
            case (2, "IsTruncated"): isTruncated = text == "true"
            case (2, "NextKeyMarker"): keyMarker = text
            case (2, "NextVersionIdMarker"): versionMarker = text
            case (3, "Key"): version.key = text
            case (3, "VersionId"): version.id = text
            case (3, "Size"): version.size = UInt64(text)
            case (3, "LastModified"): version.created = ServiceTime.parseMicroseconds(text)
            case (3, "IsLatest"): version.isLatest = text == "true"
            case (2, "Version"), (2, "DeleteMarker"):
                versions.append(try version.version(isDeletion: path.last == "DeleteMarker"))
                version = S3VersionFields()
            case (3, "Prefix") where path[1] == "CommonPrefixes": prefixes.append(text)
            default: break
            }
        }
        if isEncoded {
            // Where the element comes does not matter.
            for index in versions.indices { versions[index].key = try S3XML.decoded(versions[index].key) }
            prefixes = try prefixes.map(S3XML.decoded)
            keyMarker = try S3XML.decoded(keyMarker)
        }
        // Some servers list deletions behind all versions. The sort is stable.
        versions.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        guard isTruncated else { return }
        guard !keyMarker.isEmpty else {
            throw XMLPull.Malformed(description: "a list that goes on without saying where")
        }
        last = keyMarker
        next = PercentEncoding.encode(keyMarker) + (versionMarker.isEmpty ? "" : "\n" + versionMarker)
    }
}

/// What has been read of an element.
private struct S3VersionFields {
    var key = ""
    var id: String?
    var size: UInt64?
    var created: Int64?
    var isLatest = false

    func version(isDeletion: Bool) throws -> ObjectVersion {
        // Without its time nobody can say whether it was there.
        guard let created, let size = isDeletion ? 0 : size, !key.isEmpty else {
            throw XMLPull.Malformed(description: "a list in which a version has no key, size or time")
        }
        return ObjectVersion(key, id: id, size: size, created: created, isLatest: isLatest, isDeletion: isDeletion)
    }
}
