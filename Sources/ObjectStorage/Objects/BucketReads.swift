import BackupModel
import RepositoryStorage

/// The reading half of the storage contract over keys: directories are what keys have in common up to a slash.
struct BucketReads: Sendable {
    private let objects: any ObjectReading
    private var place: BucketPlace { objects.place }

    init(_ objects: any ObjectReading) { self.objects = objects }

    func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try StoragePath.validate(path)
        let key = place.key(path)
        return try await place.describing("read", key, code: .fileRead) {
            try await ResumingReader.open(objects.source(key), range: range, retry: objects.retry)
        }
    }

    func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try StoragePath.validateDirectory(directory)
        guard var order = ListOrder(token) else {
            throw StorageError(BackupError(.assertion, "'\(token ?? "")' is no place in a list of '\(directory)'"))
        }
        let start = place.prefix(directory)
        return try await place.describing("list", place.key(directory), code: .pathOpen) {
            while true {
                let answer = try await objects.page(start + prefix, isDelimited: true, from: order.token, limit: nil)
                let page = order.take(answer.entries(under: start), next: answer.next)
                if !page.entries.isEmpty || page.next == nil { return page }
            }
        }
    }

    func info(_ path: String) async throws -> ObjectInfo? {
        try StoragePath.validateDirectory(path)
        return try await place.describing("look up", place.key(path), code: .fileInfo) {
            if !path.isEmpty, let facts = try await objects.facts(place.key(path)) {
                return facts.info(path)
            }
            var token: String?
            repeat {
                // Services may give an empty page and yet another after it.
                let page = try await objects.page(place.prefix(path), isDelimited: false, from: token, limit: 1)
                if !page.objects.isEmpty { return ObjectInfo(name: path, kind: .directory, size: 0, modified: 0) }
                token = page.next
            } while token != nil
            return nil
        }
    }
}
