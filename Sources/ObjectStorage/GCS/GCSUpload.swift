import BackupModel
import Checksums
import HTTP
import Synchronization

/// How one object comes into a bucket.
struct GCSTarget: UploadTarget {
    let service: GCSService
    let key: String
    let isCreate: Bool

    static let action = "storage.objects.create"

    func put(_ bytes: [UInt8]) async throws {
        let sum = GCSRequests.checksum(crc32c(bytes.span.bytes))
        let request = service.requests.insert(
            key, bytes, isCreate: isCreate, boundary: Self.boundary)
        try await service.place.describing("write", key, code: .fileWrite) {
            try await service.retry.run { previous in
                do {
                    let (head, body) = try await service.client.attemptWhole(request, action: Self.action)
                    try Self.check(body, status: head.status, size: UInt64(bytes.count), sum)
                } catch let failure as ServiceFailure where failure.kind == .alreadyThere {
                    // Perhaps an attempt before went through and only its answer was lost.
                    guard previous?.mayHaveHappened == true, let there = try await service.resource(key),
                        there.size == UInt64(bytes.count), there.checksum == sum
                    else { throw failure }
                }
            }
        }
    }

    func begin() async throws -> any PartUpload {
        let id = try await service.place.describing("begin to write", key, code: .fileWrite) {
            let request = service.requests.begin(key, isCreate: isCreate)
            return try await service.client.answer(request, action: Self.action) { head, _ in
                // The address may name another host: that of the service behind an endpoint of ours, or one that is to
                // get our token. Only the id counts.
                guard let id = head.headers["Location"].flatMap(Self.uploadID), !id.isEmpty else {
                    throw MalformedAnswer(description: "an upload without an id")
                }
                return id
            }
        }
        return GCSUpload(target: self, id: id)
    }

    /// In no content but by a chance of one in 2^128.
    private static var boundary: String {
        (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }.joined(separator: "-")
    }

    /// Whether what the service has is what was sent.
    static func check(_ body: [UInt8], status: Int, size: UInt64, _ sum: String) throws(ServiceFailure) {
        let resource: GCSResource
        do {
            resource = try GCSResource(body)
        } catch {
            throw ServiceFailure(.broken, "the answer does not say that the object is there: \(error)", status: status)
        }
        guard resource.size == size, resource.checksum == nil || resource.checksum == sum else {
            throw ServiceFailure(.broken, "what was stored is not what was sent", status: status)
        }
    }

    private static func uploadID(_ location: String) -> String? {
        guard let mark = location.firstIndex(of: "?") else { return nil }
        for field in location[location.index(after: mark)...].split(separator: "&") {
            let pair = field.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, pair[0] == "upload_id" else { continue }
            // In a query a plus is a space.
            return PercentEncoding.decode(
                pair[1].split(separator: "+", omittingEmptySubsequences: false).joined(separator: "%20"))
        }
        return nil
    }
}

/// A resumable upload. What it was sent lies with the service, unseen, until the last part; it forgets uploads that are
/// not finished after a week.
final class GCSUpload: PartUpload {
    private let target: GCSTarget
    private let id: String
    private let sum = Mutex<UInt32>(0)

    init(target: GCSTarget, id: String) {
        self.target = target
        self.id = id
    }

    /// The service takes parts in their order.
    let concurrency = 1
    private var service: GCSService { target.service }

    private enum Arrived {
        /// Bytes from the beginning of the object.
        case part(UInt64)
        /// All, and the object is there.
        case whole
    }

    func upload(_ bytes: [UInt8], number: Int, offset: UInt64, isLast: Bool) async throws {
        let end = offset + UInt64(bytes.count)
        let sum = sum.withLock { sum in
            sum = crc32c(sum, extendedBy: bytes.span.bytes)
            return GCSRequests.checksum(sum)
        }
        let total = isLast ? end : nil
        try await service.place.describing("write part \(number) of", target.key, code: .fileWrite) {
            try await service.retry.run { previous in
                var next = offset
                if previous != nil {
                    // Part of it may have arrived.
                    let status = service.requests.status(target.key, id, total: total)
                    guard case .part(let count) = try await send(status, total, sum) else { return }
                    next = count
                }
                while next < end || isLast {
                    guard next >= offset, next <= end else {
                        throw lost("the service has \(next) bytes of what was sent up to byte \(end)")
                    }
                    let rest = next == offset ? bytes : Array(bytes[Int(next - offset)...])
                    let request =
                        rest.isEmpty
                        ? service.requests.status(target.key, id, total: total)
                        : service.requests.part(target.key, id, rest, at: next, total: total)
                    guard case .part(let count) = try await send(request, total, sum) else { return }
                    // It may take less than it was sent, but must get on.
                    guard count > next else {
                        throw ServiceFailure(.broken, "the service took nothing of what was sent")
                    }
                    next = count
                }
            }
        }
    }

    private func send(_ request: HTTPRequest, _ total: UInt64?, _ sum: String) async throws -> Arrived {
        let head: HTTPResponse
        let body: [UInt8]
        do {
            (head, body) = try await service.client.attemptWhole(request, action: GCSTarget.action, accepting: [308])
        } catch let failure as ServiceFailure where failure.kind == .missing || failure.status == 410 {
            // To whoever writes this is no absent object.
            throw lost(failure.message)
        }
        if head.status == 308 {
            guard let range = head.headers["Range"] else { return .part(0) }
            guard range.hasPrefix("bytes=0-"), let last = UInt64(range.dropFirst(8)), last < UInt64(Int64.max) else {
                throw ServiceFailure(.broken, "the answer does not say how much has arrived", status: 308)
            }
            return .part(last + 1)
        }
        guard let total else {
            throw lost("the service takes the object for complete")
        }
        do throws(ServiceFailure) {
            try GCSTarget.check(body, status: head.status, size: total, sum)
        } catch {
            // It is too late to send it again, and nobody may take it for good.
            try? await service.delete(target.key)
            throw lost(error.message)
        }
        return .whole
    }

    private func lost(_ reason: String) -> ServiceFailure {
        var failure = ServiceFailure(.invalid, reason)
        failure.isFinal = true
        return failure
    }

    /// The object is there since its last part.
    func complete() async throws {}

    func abort() async {
        let request = service.requests.cancel(target.key, id)
        // 499 is the answer to a cancelled upload.
        _ = try? await service.client.attemptWhole(request, action: GCSTarget.action, accepting: [499, 404, 410])
    }
}
