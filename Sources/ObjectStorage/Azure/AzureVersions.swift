import HTTP

extension AzureService: VersionedObjectService {
    package func versions(_ prefix: String, isDelimited: Bool, from token: String?) async throws -> VersionPage {
        let request = requests.listVersions(prefix, isDelimited: isDelimited, from: token)
        return try await client.answer(request, action: "list") { try VersionPage(azure: $1) }
    }
}

extension VersionPage {
    /// A page of Azure's List Blobs with `include=versions`: the oldest first. When a blob was deleted it does not say, so
    /// until it is written again it seems to be there.
    package init(azure body: [UInt8]) throws {
        self.init(isNewestFirst: false)
        var name = ""
        var id: String?
        var size: UInt64?
        var modified: Int64?
        var isLatest = false
        try XMLPull.forEachElement(in: body) { path, text in
            guard path.first == "EnumerationResults" else {
                throw MalformedAnswer(description: "an answer to another question: \(path.first ?? "")")
            }
            switch (path.count, path.last) {
            case (2, "NextMarker"): next = text.isEmpty ? nil : text
            case (4, "Name"): name = text
            case (4, "VersionId"): id = text.isEmpty ? nil : text
            case (4, "IsCurrentVersion"): isLatest = text == "true"
            case (5, "Content-Length"): size = UInt64(text)
            case (5, "Last-Modified"): modified = ServiceTime.parseHTTP(text)
            case (3, "Blob"):
                guard let bytes = size, let time = modified else {
                    throw MalformedAnswer(description: "a list in which a version has no size or no time")
                }
                versions.append(
                    ObjectVersion(name, id: id, size: bytes, created: time * 1_000_000, isLatest: isLatest))
                last = name
                (name, id, size, modified, isLatest) = ("", nil, nil, nil, false)
            case (3, "BlobPrefix"):
                prefixes.append(name)
                last = name
                (name, id, size, modified, isLatest) = ("", nil, nil, nil, false)
            default: break
            }
        }
        if next == nil { last = nil }
    }
}
