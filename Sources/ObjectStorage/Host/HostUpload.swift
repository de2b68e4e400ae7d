import BackupModel
import HTTP
import RepositoryStorage
import Synchronization

/// How one object comes onto another host's volume.
struct HostTarget: UploadTarget {
    let store: HostStore
    let path: String
    let mode: WriteMode

    func put(_ bytes: [UInt8]) async throws {
        var request = store.request("PUT", .object, path)
        request.query = [("mode", HostWire.text(mode))]
        request.body = bytes
        try await store.describing("write", path, .fileWrite) {
            try await store.client.retry.run { previous in
                do {
                    _ = try await store.client.attemptWhole(request, action: "add")
                } catch let failure as ServiceFailure where failure.kind == .alreadyThere {
                    // Perhaps an attempt before went through and only its answer was lost.
                    guard previous?.mayHaveHappened == true, try await isThere(bytes) else { throw failure }
                }
            }
        }
    }

    private func isThere(_ bytes: [UInt8]) async throws -> Bool {
        try await store.client.answer(store.request("GET", .object, path), action: "read") { $1 == bytes }
    }

    func begin() async throws -> any PartUpload {
        let id = try await store.describing("begin to write", path, .fileWrite) {
            try await store.client.answer(store.request("POST", .upload, path), action: "add") { _, body in
                guard let id = String(validating: body, as: UTF8.self), !id.isEmpty, id.utf8.count < 100 else {
                    throw HostStore.Malformed(answer: "the id of an upload")
                }
                return id
            }
        }
        return HostUpload(target: self, id: id)
    }
}

/// Parts lie in a temporary file on the host. One that comes twice is written twice to the same place.
private final class HostUpload: PartUpload {
    private let target: HostTarget
    private let id: String
    /// Bytes of all parts, which may be sent at the same time.
    private let size = Atomic<UInt64>(0)

    init(target: HostTarget, id: String) {
        self.target = target
        self.id = id
    }

    private var store: HostStore { target.store }
    var concurrency: Int { min(store.options.partsInFlight, Self.partsInFlight) }

    /// Of one object: a host is near, and each part is in memory twice while it is sent.
    private static let partsInFlight = 3

    func upload(_ bytes: [UInt8], number: Int, offset: UInt64, isLast: Bool) async throws {
        size.max(offset + UInt64(bytes.count), ordering: .relaxed)
        var request = store.request("PUT", .upload, target.path)
        request.query = [("id", id), ("offset", String(offset))]
        request.body = bytes
        try await store.describing("write part \(number) of", target.path, .fileWrite) {
            try await store.client.answer(request, action: "add") { _, _ in }
        }
    }

    func complete() async throws {
        var request = store.request("POST", .complete, target.path)
        request.query = [
            ("id", id), ("size", String(size.load(ordering: .relaxed))), ("mode", HostWire.text(target.mode)),
        ]
        try await store.describing("finish", target.path, .fileWrite) {
            try await store.client.answer(request, action: "add") { _, _ in }
        }
    }

    func abort() async {
        var request = store.request("DELETE", .upload, target.path)
        request.query = [("id", id)]
        _ = try? await store.client.attemptWhole(request, action: "add")
    }
}
