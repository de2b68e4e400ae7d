import HTTP

extension GCSService: VersionedObjectService {
    package func versions(_ prefix: String, isDelimited: Bool, from token: String?) async throws -> VersionPage {
        let request = requests.listVersions(prefix, isDelimited: isDelimited, from: token)
        return try await client.answer(request, action: "storage.objects.list") { try VersionPage(gcs: $1) }
    }
}

extension VersionPage {
    /// A page of Google's listing with `versions=true`: generations ascend, and each says when it came and went.
    package init(gcs body: [UInt8]) throws(MalformedAnswer) {
        self.init(isNewestFirst: false)
        guard let json = ServiceJSON(body), case .object = json else {
            throw MalformedAnswer(description: "a list that is no JSON object")
        }
        for item in json["items"]?.elements ?? [] {
            guard let name = item["name"]?.string, let generation = item["generation"]?.string,
                let size = item["size"]?.string.flatMap({ UInt64($0) }),
                let created = item["timeCreated"]?.string.flatMap(ServiceTime.parseMicroseconds)
            else { throw MalformedAnswer(description: "a version without name, generation, size or time") }
            var version = ObjectVersion(name, id: generation, size: size, created: created)
            if let text = item["timeDeleted"]?.string {
                guard let ended = ServiceTime.parseMicroseconds(text) else {
                    throw MalformedAnswer(description: "a version that ended at no time")
                }
                version.ended = ended
            }
            versions.append(version)
        }
        for prefix in json["prefixes"]?.elements ?? [] {
            guard let text = prefix.string else { throw MalformedAnswer(description: "a prefix that is no text") }
            prefixes.append(text)
        }
        next = json["nextPageToken"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        guard next != nil else { return }
        // Names and prefixes come apart, each in their order.
        last = [versions.last?.key, prefixes.last].compactMap(\.self)
            .max { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
