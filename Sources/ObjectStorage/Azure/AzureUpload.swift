import BackupModel
import HTTP
import Synchronization

/// How one blob comes into a container.
struct AzureTarget: UploadTarget {
    let service: AzureService
    let key: String
    let isCreate: Bool

    func put(_ bytes: [UInt8]) async throws {
        let request = service.requests.put(key, bytes, isCreate: isCreate)
        try await service.place.describing("write", key, code: .fileWrite) {
            try await service.retry.run { previous in
                do {
                    _ = try await service.client.attemptWhole(request, action: "write")
                } catch let failure as ServiceFailure where failure.kind == .alreadyThere {
                    // Perhaps an attempt before went through and only its answer was lost.
                    guard previous?.mayHaveHappened == true, try await service.holds(key, bytes) else { throw failure }
                }
            }
        }
    }

    /// Needs no request.
    func begin() async throws -> any PartUpload { AzureUpload(target: self) }
}

/// A blob that comes in blocks. Those that no list names are never seen, and the service removes them after a week, or
/// when the blob is written by anybody.
final class AzureUpload: PartUpload {
    private let target: AzureTarget
    /// Of this upload only: two writers of one blob must not take each other's blocks.
    private let prefix: String
    private let count = Atomic<Int>(0)

    init(target: AzureTarget) {
        self.target = target
        let digits = String(UInt64.random(in: .min ... .max), radix: 16, uppercase: true)
        prefix = String(repeating: "0", count: 16 - digits.count) + digits
    }

    var concurrency: Int { service.place.partsInFlight }
    private var service: AzureService { target.service }

    /// Of one length, as the service wants; in the form of pgBackRest.
    private func id(_ number: Int) -> String {
        let digits = String(number)
        return Base64.encode((prefix + "x" + String(repeating: "0", count: max(7 - digits.count, 0)) + digits).utf8)
    }

    func upload(_ bytes: [UInt8], number: Int, offset: UInt64, isLast: Bool) async throws {
        let request = service.requests.putBlock(target.key, id: id(number), bytes)
        try await service.place.describing("write part \(number) of", target.key, code: .fileWrite) {
            try await service.client.answer(request, action: "write") { _, _ in }
        }
        count.max(number, ordering: .relaxed)
    }

    func complete() async throws {
        let ids = (1...max(count.load(ordering: .relaxed), 1)).map(id)
        let request = service.requests.putBlockList(target.key, ids: ids, isCreate: target.isCreate)
        try await service.place.describing("finish writing", target.key, code: .fileWrite) {
            try await service.retry.run { previous in
                do {
                    _ = try await service.client.attemptWhole(request, action: "write")
                } catch let failure as ServiceFailure where failure.kind == .alreadyThere {
                    // Perhaps an attempt before went through and only its answer was lost.
                    guard previous?.mayHaveHappened == true, try await service.blocks(target.key) == ids else {
                        throw failure
                    }
                }
            }
        }
    }

    /// Blocks cannot be removed but with the blob.
    func abort() async {}
}
