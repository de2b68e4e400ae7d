import BackupModel
package import RepositoryStorage

/// The storage contract over a service that knows keys and no directories.
///
/// Directories are what keys have in common up to a slash: there are no empty ones. All writes are durable and show at
/// `commit`, whatever their mode.
package final class BucketStore: RepositoryStore {
    private let service: any ObjectService
    private var place: BucketPlace { service.place }
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

    package var location: String { place.name + (place.root.isEmpty ? "" : "/\(place.root)") }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try StoragePath.validate(path)
        let key = place.key(path)
        return try await place.describing("read", key, code: .fileRead) {
            try await ResumingReader.open(service.source(key), range: range, retry: service.retry)
        }
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
        try StoragePath.validateDirectory(directory)
        guard var order = ListOrder(token) else {
            throw StorageError(BackupError(.assertion, "'\(token ?? "")' is no place in a list of '\(directory)'"))
        }
        let start = place.prefix(directory)
        return try await place.describing("list", place.key(directory), code: .pathOpen) {
            while true {
                let answer = try await service.page(start + prefix, isDelimited: true, from: order.token, limit: nil)
                let page = order.take(answer.entries(under: start), next: answer.next)
                if !page.entries.isEmpty || page.next == nil { return page }
            }
        }
    }

    package func info(_ path: String) async throws -> ObjectInfo? {
        try StoragePath.validateDirectory(path)
        return try await place.describing("look up", place.key(path), code: .fileInfo) {
            if !path.isEmpty, let facts = try await service.facts(place.key(path)) {
                return ObjectInfo(name: path, kind: .object, size: facts.size, modified: facts.modified)
            }
            var token: String?
            repeat {
                // Services may give an empty page and yet another after it.
                let page = try await service.page(place.prefix(path), isDelimited: false, from: token, limit: 1)
                if !page.objects.isEmpty { return ObjectInfo(name: path, kind: .directory, size: 0, modified: 0) }
                token = page.next
            } while token != nil
            return nil
        }
    }

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
