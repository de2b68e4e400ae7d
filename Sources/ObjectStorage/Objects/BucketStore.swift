import BackupModel
package import RepositoryStorage

/// The storage contract over a service that knows keys and no directories.
///
/// Directories are what keys have in common up to a slash: there are no empty ones. All writes are durable and show at
/// `commit`, whatever their mode.
package final class BucketStore: RepositoryStore {
    private let service: any ObjectService
    private var place: BucketPlace { service.place }
    private var reads: BucketReads { BucketReads(service) }
    private let slots: CallSlots
    private let sizes: PartSizes
    private let creation: ConditionalCreation

    /// Of a directory that is deleted.
    private static let pagesInFlight = 4

    package init(_ service: any ObjectService) {
        self.service = service
        let place = service.place
        slots = CallSlots(place.partsInFlight)
        sizes = PartSizes(first: place.partSize)
        creation = ConditionalCreation(service.heedsConditions ? .works : .unknown)
    }

    package var capabilities: StoreCapabilities { creation.capabilities }

    package var concurrency: StoreConcurrency {
        StoreConcurrency(uploads: place.partsInFlight, downloads: place.readsInFlight)
    }

    package var location: String { place.location }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try await reads.read(path, range: range)
    }

    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try StoragePath.validate(path)
        guard case .create = mode else { return writer(path, isCreate: false) }
        let refusal = BackupError(
            .featureNotSupported,
            "unable to create '\(place.key(path))' in \(place.description) only if it is absent: the service heeds no "
                + "conditions")
        return try creation.writer(refusal: refusal) {
            self.writer(path, isCreate: true)
        } delete: {
            try await self.delete([path])
        }
    }

    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try await reads.list(directory, prefix: prefix, from: token)
    }

    package func info(_ path: String) async throws -> ObjectInfo? { try await reads.info(path) }

    package func delete(_ paths: [String]) async throws {
        for path in paths { try StoragePath.validate(path) }
        guard let first = paths.first else { return }
        try await place.describing("delete", place.key(first), code: .fileRemove) {
            try await service.delete(paths.map(place.key))
        }
    }

    package func deleteTree(_ directory: String) async throws {
        try StoragePath.validateDirectory(directory)
        let start = place.prefix(directory)
        try await place.describing("delete all in", place.key(directory), code: .pathRemove) {
            try await withThrowingTaskGroup(of: Void.self) { [service] group in
                var token: String?
                var pages = 0
                repeat {
                    let page = try await service.page(start, isDelimited: false, from: token, limit: nil)
                    // What is to be deleted is looked at twice: some servers list what lies beside.
                    let keys = page.objects.map(\.key).filter { $0.utf8.starts(with: start.utf8) }
                    token = page.next
                    pages += 1
                    // The next page is asked for meanwhile: it begins after a key, whether that is there or not.
                    if pages > Self.pagesInFlight { try await group.next() }
                    if !keys.isEmpty { group.addTask { try await service.delete(keys) } }
                } while token != nil
                while try await group.next() != nil {}
            }
        }
    }

    package func makeDirectory(_ path: String) async throws { try StoragePath.validateDirectory(path) }
    package func syncAll(under directory: String) async throws { try StoragePath.validateDirectory(directory) }

    package func link(_ path: String, to target: String) async throws {
        try StoragePath.validate(path)
        throw StorageError(
            BackupError(.featureNotSupported, "unable to link '\(path)' to '\(target)': '\(location)' has no links"))
    }

    private func writer(_ path: String, isCreate: Bool) -> PartWriter {
        PartWriter(service.target(place.key(path), isCreate: isCreate), sizes: sizes, slots: slots)
    }
}
