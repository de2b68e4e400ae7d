import Crypto
import HTTP
import RepositoryStorage
import Synchronization

/// Deletes objects: many by one request where the service can do that, and else one by one.
struct S3Deletion: Sendable {
    let service: S3Service
    private var mode: Mode { service.deletionMode }

    /// What is known of the service.
    final class Mode: Sendable {
        fileprivate let isSingle = Atomic<Bool>(false)
    }

    /// The most that DeleteObjects takes.
    private static let batch = 1000
    private static let singlesInFlight = 16

    func delete(_ keys: [String]) async throws {
        // XML has no way to write control characters.
        let (single, batched) =
            keys.count == 1 || mode.isSingle.load(ordering: .relaxed)
            ? (keys, []) : (keys.filter(Self.isOdd), keys.filter { !Self.isOdd($0) })
        try await deleteSingly(single)
        var start = 0
        while start < batched.count {
            let end = min(start + Self.batch, batched.count)
            try await deleteBatch(Array(batched[start..<end]))
            start = end
        }
    }

    private static func isOdd(_ key: String) -> Bool { key.utf8.contains { $0 < 0x20 } }

    private func deleteBatch(_ keys: [String]) async throws {
        var left = keys
        do {
            try await service.retry.run { _ in
                let errors = try await answer(left)
                guard let first = errors.first else { return }
                // The others are gone.
                left = errors.map(\.key)
                throw failure(first.code, "'\(first.key)': \(first.message)")
            }
        } catch let failure as ServiceFailure
            where [.unsupported, .invalid, .missing, .denied].contains(failure.kind)
        {
            // Whatever it dislikes about many at once, or asks another permission for: it must be able to delete one.
            mode.isSingle.store(true, ordering: .relaxed)
            try await deleteSingly(left)
        }
    }

    private func answer(_ keys: [String]) async throws -> [(key: String, code: String, message: String)] {
        var text = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
        for key in keys { text += "<Object><Key>\(S3XML.escaped(key))</Key></Object>" }
        text += "</Delete>"
        let body = Array(text.utf8)
        let response = try await service.attempt(action: "s3:DeleteObject") { address in
            var request = address.request("POST", key: nil)
            request.query = [("delete", "")]
            request.body = body
            request.headers["Content-Type"] = "application/xml"
            S3Service.addMD5(&request)
            return request
        }
        let answer = try await S3Service.collect(response)
        do {
            return try S3DeleteAnswer(answer).errors.filter { $0.code != "NoSuchKey" }
        } catch {
            throw ServiceFailure(.broken, "\(error)", status: response.status)
        }
    }

    private func failure(_ code: String, _ message: String) -> ServiceFailure {
        let body = "<Error><Code>\(S3XML.escaped(code))</Code><Message>\(S3XML.escaped(message))</Message></Error>"
        let response = HTTPResponse(status: 200, headers: [:], body: NoBody())
        var failure = S3Failures.failure(response, Array(body.utf8), action: "s3:DeleteObject", service.options)
        failure.status = nil
        return failure
    }

    private func deleteSingly(_ keys: [String]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var running = 0
            for key in keys {
                if running == Self.singlesInFlight {
                    try await group.next()
                    running -= 1
                }
                running += 1
                group.addTask { try await deleteOne(key) }
            }
            while try await group.next() != nil {}
        }
    }

    private func deleteOne(_ key: String) async throws {
        let response = try await service.send(action: "s3:DeleteObject", accepting: [404]) { address in
            address.request("DELETE", key: key)
        }
        // Of a bucket that is not there, 404 is no success.
        let body = try await S3Service.collect(response)
        if response.status == 404 {
            let failure = S3Failures.failure(response, body, action: "s3:DeleteObject", service.options)
            if failure.kind == .noBucket { throw failure }
        }
    }
}

private struct NoBody: HTTPBody {
    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int { 0 }
    func close() async {}
}
