/// A service that may keep what objects were before they were replaced or deleted.
package protocol VersionedObjectService: ObjectService {
    /// One page of the versions of objects whose keys begin with `prefix`, those of one object one behind the other. In a
    /// bucket that keeps none it has the objects that are there.
    func versions(_ prefix: String, isDelimited: Bool, from token: String?) async throws -> VersionPage
    /// - Parameter id: ``ObjectVersion/id``.
    func source(_ key: String, version id: String?) -> any DownloadSource
}

/// What an object was from one time on, or that it was deleted then.
package struct ObjectVersion: Sendable, Equatable {
    package var key: String
    /// nil for what has been there since before the service kept versions.
    package var id: String?
    /// Bytes.
    package var size: UInt64 = 0
    /// Microseconds since 1970, as exact as the service tells.
    package var created: Int64
    /// When it was replaced or deleted, microseconds since 1970; nil when it was not or the service does not tell.
    package var ended: Int64?
    /// The service says that no other is newer.
    package var isLatest = false
    /// Nothing has been there from then on.
    package var isDeletion = false

    package init(
        _ key: String, id: String?, size: UInt64 = 0, created: Int64, ended: Int64? = nil, isLatest: Bool = false,
        isDeletion: Bool = false
    ) {
        self.key = key
        self.id = id
        self.size = size
        self.created = created
        self.ended = ended
        self.isLatest = isLatest
        self.isDeletion = isDeletion
    }
}

/// A page of a listing of versions.
package struct VersionPage: Sendable, Equatable {
    package var versions: [ObjectVersion] = []
    /// Of one object, the newest comes first; else last.
    package var isNewestFirst: Bool
    /// What keys have in common, with the slash at its end; also where all that lies behind it was deleted.
    package var prefixes: [String] = []
    /// nil on the last page.
    package var next: String?
    /// Where this page ends: the key of which further versions may be on the next. nil when there is none.
    package var last: String?

    package init(isNewestFirst: Bool) { self.isNewestFirst = isNewestFirst }
}
