import BackupModel
package import RepositoryStorage

/// A bucket that keeps versions, as it was at a time: for reading only.
///
/// Directories of which nothing was there then may show, empty. The time of an object that came in parts is, with S3,
/// when its upload began.
package struct PastStore: RepositoryStore {
    private let objects: PastObjects
    private var reads: BucketReads { BucketReads(objects) }

    /// - Parameter time: seconds since 1970; what happened within that second has happened.
    package init(_ service: any VersionedObjectService, at time: Int64) {
        objects = PastObjects(service: service, time: time)
    }

    package var capabilities: StoreCapabilities { [] }
    package var location: String { objects.place.location }
    package var concurrency: StoreConcurrency {
        StoreConcurrency(uploads: objects.place.partsInFlight, downloads: objects.place.readsInFlight)
    }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try await reads.read(path, range: range)
    }
    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try await reads.list(directory, prefix: prefix, from: token)
    }
    package func info(_ path: String) async throws -> ObjectInfo? { try await reads.info(path) }

    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        throw refusal("write", path)
    }
    package func delete(_ paths: [String]) async throws {
        if let first = paths.first { throw refusal("delete", first) }
    }
    package func deleteTree(_ directory: String) async throws { throw refusal("delete all in", directory) }
    package func makeDirectory(_ path: String) async throws { throw refusal("create directory", path) }
    package func syncAll(under directory: String) async throws { throw refusal("sync", directory) }
    package func link(_ path: String, to target: String) async throws { throw refusal("link", path) }

    private func refusal(_ what: String, _ path: String) -> StorageError {
        StorageError(
            BackupError(
                .featureNotSupported,
                "unable to \(what) '\(objects.place.key(path))' in \(objects.place.description): the repository is "
                    + "read as it was at an earlier time",
                hint: "leave out repo-target-time"))
    }
}

/// The objects that were there at a time.
private struct PastObjects: ObjectReading {
    let service: any VersionedObjectService
    let time: Int64

    var place: BucketPlace { service.place }
    var retry: RequestRetry { service.retry }

    /// - Parameter limit: not heeded: that many versions may hold no object.
    func page(_ prefix: String, isDelimited: Bool, from token: String?, limit: Int?) async throws -> ObjectPage {
        guard var listing = PastListing(token, at: time) else {
            throw ServiceFailure(.invalid, "'\(token ?? "")' is no place in a list")
        }
        let answer = try await service.versions(prefix, isDelimited: isDelimited, from: listing.token)
        let (found, next) = listing.take(answer)
        var page = ObjectPage()
        page.objects = found.map { ($0.key, ObjectFacts($0)) }
        page.prefixes = answer.prefixes
        page.next = next
        return page
    }

    func facts(_ key: String) async throws -> ObjectFacts? { try await version(of: key).map(ObjectFacts.init) }

    func source(_ key: String) async throws -> any DownloadSource {
        guard let version = try await version(of: key) else {
            throw ServiceFailure(.missing, "there was no such object at that time")
        }
        return service.source(key, version: version.id)
    }

    /// The one that was there; nil when there was none.
    private func version(of key: String) async throws -> ObjectVersion? {
        guard var listing = PastListing(nil, at: time) else { return nil }
        while true {
            // It comes before all longer keys; what lies below it as a directory is shown as one.
            let page = try await service.versions(key, isDelimited: true, from: listing.token)
            if let version = listing.take(page).found.first(where: { PastListing.isSame($0.key, key) }) {
                return version
            }
            // Unless its versions go on, all of them were seen.
            guard let last = page.last, PastListing.isSame(last, key) else { return nil }
            if page.isNewestFirst, let held = listing.held { return listing.wasThere(held) ? held : nil }
        }
    }
}

extension ObjectFacts {
    fileprivate init(_ version: ObjectVersion) {
        self.init(size: version.size, modified: version.created / 1_000_000, version: version.id)
    }
}
