import HTTP
import Synchronization

/// How one object comes into a bucket.
struct S3Target: UploadTarget {
    let service: S3Service
    let key: String
    let isCreate: Bool

    private var place: BucketPlace { service.place }

    func put(_ bytes: [UInt8]) async throws {
        await service.endLeftOver()
        try await place.describing("write", key) {
            try await service.retry.run { previous in
                do {
                    let response = try await service.attempt(action: "s3:PutObject") { address in
                        var request = address.request("PUT", key: key)
                        request.body = bytes
                        service.describeNew(&request)
                        if isCreate { request.headers["If-None-Match"] = "*" }
                        return request
                    }
                    _ = try await S3Service.collect(response)
                } catch let failure as ServiceFailure where failure.kind == .alreadyThere {
                    // Perhaps an attempt before went through and only its answer was lost.
                    guard previous?.mayHaveHappened == true, try await service.holds(key, bytes) else { throw failure }
                }
            }
        }
    }

    func begin() async throws -> any PartUpload {
        await service.endLeftOver()
        let id = try await place.describing("begin to write", key) {
            try await service.answer(action: "s3:PutObject") { address in
                var request = address.request("POST", key: key)
                request.query = [("uploads", "")]
                service.describeNew(&request)
                return request
            } _: { body in
                let id = try S3XML.text(of: "UploadId", in: body)
                guard let id, !id.isEmpty else { throw XMLPull.Malformed(description: "an upload without a name") }
                return id
            }
        }
        await service.journal?.begin(key, id)
        return S3Upload(target: self, id: id)
    }
}

/// A multipart upload.
final class S3Upload: PartUpload {
    private let target: S3Target
    private let id: String
    private let parts = Mutex<[Int: (tag: String, size: Int)]>([:])

    init(target: S3Target, id: String) {
        self.target = target
        self.id = id
    }

    var concurrency: Int { target.service.options.partsInFlight }
    private var service: S3Service { target.service }

    func upload(_ bytes: [UInt8], number: Int, offset: UInt64, isLast: Bool) async throws {
        let tag = try await service.place.describing("write part \(number) of", target.key) {
            let response = try await service.send(action: "s3:PutObject") { address in
                var request = address.request("PUT", key: target.key)
                request.query = [("partNumber", String(number)), ("uploadId", id)]
                request.body = bytes
                service.addCustomerKey(&request)
                return request
            }
            _ = try await S3Service.collect(response)
            guard let tag = response.headers["ETag"] else {
                throw ServiceFailure(.invalid, "the answer has no ETag", status: response.status)
            }
            return tag
        }
        parts.withLock { $0[number] = (tag, bytes.count) }
    }

    func complete() async throws {
        let parts = parts.withLock { $0.sorted { $0.key < $1.key } }
        var text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        for (number, part) in parts {
            text += "<Part><PartNumber>\(number)</PartNumber><ETag>\(S3XML.escaped(part.tag))</ETag></Part>"
        }
        text += "</CompleteMultipartUpload>"
        let body = Array(text.utf8)
        let size = parts.reduce(into: UInt64(0)) { $0 += UInt64($1.value.size) }
        try await service.place.describing("finish writing", target.key) {
            try await service.retry.run { previous in
                do {
                    try await self.complete(body)
                } catch let failure as ServiceFailure where [.missing, .alreadyThere].contains(failure.kind) {
                    // Gone because an attempt before went through and only its answer was lost?
                    guard previous?.mayHaveHappened == true, try await self.isThere(size, parts.count) else {
                        // To whoever writes this is no absent object.
                        throw failure.kind == .missing
                            ? ServiceFailure(.invalid, failure.message, status: failure.status, code: failure.code)
                            : failure
                    }
                }
            }
        }
        await service.journal?.end(id)
    }

    private func complete(_ body: [UInt8]) async throws {
        let response = try await service.attempt(action: "s3:PutObject") { address in
            var request = address.request("POST", key: target.key)
            request.query = [("uploadId", id)]
            request.body = body
            request.headers["Content-Type"] = "application/xml"
            if target.isCreate { request.headers["If-None-Match"] = "*" }
            service.addCustomerKey(&request)
            return request
        }
        let answer = try await S3Service.collect(response)
        // The head is sent before the service knows how it ends.
        if S3ErrorAnswer(answer) != nil {
            throw S3Failures.failure(response, answer, action: "s3:PutObject", service.options)
        }
        guard let tag = try? S3XML.text(of: "ETag", in: answer), !tag.isEmpty else {
            throw ServiceFailure(.broken, "the answer does not say that the object is there", status: response.status)
        }
    }

    private func isThere(_ size: UInt64, _ count: Int) async throws -> Bool {
        guard let head = try await service.head(target.key), head.size == size else { return false }
        return head.tag.map { $0.hasSuffix("-\(count)\"") || $0.hasSuffix("-\(count)") } ?? false
    }

    func abort() async {
        guard await service.abortUpload(target.key, id) else { return }
        await service.journal?.end(id)
    }
}
