import HTTP

/// Finds, page by page, the version of each object that was there at a time.
///
/// That of the last object of a page may be on the next one, so what is known of it is carried along in the token.
package struct PastListing: Sendable, Equatable {
    /// Seconds since 1970; what happened within that second has happened.
    private let time: Int64
    /// The service's own token for its next page; nil after the last.
    package private(set) var token: String?
    /// The newest version so far of an object whose others may still come.
    package private(set) var held: ObjectVersion?

    /// - Parameter token: what ``take(_:)`` gave as ``ObjectPage/next``; nil for the first page.
    package init?(_ token: String?, at time: Int64) {
        self.time = time
        guard let token else { return }
        let lines = token.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count <= 2, let own = lines.first.flatMap({ PercentEncoding.decode(String($0)) }) else {
            return nil
        }
        self.token = own
        guard lines.count == 2 else { return }
        guard let version = Self.version(lines[1]) else { return nil }
        held = version
    }

    /// Takes a page of the service in.
    /// - Returns: the versions that were there, and the token for what follows.
    package mutating func take(_ page: VersionPage) -> (found: [ObjectVersion], next: String?) {
        var newest = held.map { [$0] } ?? []
        for version in page.versions where hasHappened(version.created) {
            if let known = newest.last, Self.isSame(known.key, version.key) {
                if isNewer(version, than: known, page) { newest[newest.count - 1] = version }
            } else {
                newest.append(version)
            }
        }
        token = page.next
        held = nil
        if page.next != nil, let end = page.last, let last = newest.last, Self.isSame(last.key, end) {
            held = newest.removeLast()
        }
        return (newest.filter(wasThere), next)
    }

    /// Of versions that had happened.
    package func wasThere(_ version: ObjectVersion) -> Bool {
        !version.isDeletion && !(version.ended.map(hasHappened) ?? false)
    }

    private func hasHappened(_ moment: Int64) -> Bool { moment / 1_000_000 <= time }

    /// - Parameter other: comes before in the listing.
    private func isNewer(_ version: ObjectVersion, than other: ObjectVersion, _ page: VersionPage) -> Bool {
        if version.isLatest != other.isLatest { return version.isLatest }
        // Some servers list deletions behind all others, so the order decides only where times do not.
        return version.created == other.created ? !page.isNewestFirst : version.created > other.created
    }

    /// Bytewise: texts compare as equal that are different keys.
    static func isSame(_ key: String, _ other: String) -> Bool { key.utf8.elementsEqual(other.utf8) }

    private var next: String? {
        guard let token else { return nil }
        let own = PercentEncoding.encode(token)
        guard let held else { return own }
        let words = [
            PercentEncoding.encode(held.key), held.id.map { "=" + PercentEncoding.encode($0) } ?? "-",
            String(held.size), String(held.created), held.ended.map(String.init) ?? "-",
            (held.isLatest ? "l" : "") + (held.isDeletion ? "d" : "") + ".",
        ]
        return own + "\n" + words.joined(separator: " ")
    }

    private static func version(_ line: Substring) -> ObjectVersion? {
        let words = line.split(separator: " ").map(String.init)
        guard words.count == 6, let key = PercentEncoding.decode(words[0]), let size = UInt64(words[2]),
            let created = Int64(words[3])
        else { return nil }
        var version = ObjectVersion(key, id: nil, size: size, created: created)
        if words[1] != "-" {
            guard words[1].hasPrefix("="), let id = PercentEncoding.decode(String(words[1].dropFirst())) else {
                return nil
            }
            version.id = id
        }
        if words[4] != "-" {
            guard let ended = Int64(words[4]) else { return nil }
            version.ended = ended
        }
        version.isLatest = words[5].contains("l")
        version.isDeletion = words[5].contains("d")
        return version
    }
}
