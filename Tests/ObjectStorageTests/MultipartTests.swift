import BackupModel
import Foundation
import HTTP
import ObjectStorage
import RepositoryStorage
import Synchronization
import Testing

/// Uploads in parts to a service that keeps them in memory and goes wrong where a test says so.
@Suite(.timeLimit(.minutes(10)))
struct MultipartTests {
    /// What the service has.
    final class Bucket: Sendable {
        struct State {
            var objects: [String: [UInt8]] = [:]
            var tags: [String: String] = [:]
            var uploads: [String: (path: String, parts: [Int: [UInt8]])] = [:]
            var inFlight = 0
            var mostInFlight = 0
        }
        let state = Mutex(State())

        func reply(_ request: LocalServer.Request) -> LocalServer.Reply {
            let query = Dictionary(
                uniqueKeysWithValues: (request.target.split(separator: "?").dropFirst().first ?? "").split(
                    separator: "&"
                )
                .map { field in
                    let pair = field.split(separator: "=", maxSplits: 1).map(String.init)
                    return (pair[0], pair.count > 1 ? pair[1] : "")
                })
            return state.withLock { state in
                switch (request.method, query["uploadId"], query["partNumber"]) {
                case ("POST", nil, _):
                    let id = "upload\(state.uploads.count + 1)"
                    state.uploads[id] = (request.path, [:])
                    return .text(
                        200, "<InitiateMultipartUploadResult><UploadId>\(id)</UploadId></InitiateMultipartUploadResult>"
                    )
                case ("PUT", let id?, let number?):
                    guard state.uploads[id] != nil else { return .error(404, "NoSuchUpload") }
                    state.uploads[id]?.parts[Int(number) ?? 0] = request.body
                    return .answer(200, [("ETag", "\"part\(number)\"")])
                case ("POST", let id?, _):
                    guard let upload = state.uploads.removeValue(forKey: id) else { return .error(404, "NoSuchUpload") }
                    state.objects[upload.path] = upload.parts.sorted { $0.key < $1.key }.flatMap(\.value)
                    state.tags[upload.path] = "\"abc-\(upload.parts.count)\""
                    return .text(
                        200, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
                case ("DELETE", let id?, _):
                    return state.uploads.removeValue(forKey: id) == nil ? .error(404, "NoSuchUpload") : .answer(204)
                case ("PUT", _, _):
                    state.objects[request.path] = request.body
                    return .answer(200, [("ETag", "\"one\"")])
                default:
                    guard let bytes = state.objects[request.path] else { return .error(404, "NoSuchKey") }
                    return .answer(200, [("ETag", state.tags[request.path] ?? "\"one\"")], bytes)
                }
            }
        }

        var objects: [String: [UInt8]] { state.withLock { $0.objects } }
        var uploadCount: Int { state.withLock { $0.uploads.count } }
    }

    static let content = (0..<25_500).map { UInt8(truncatingIfNeeded: $0 &* 13 ^ $0 >> 7) }

    private func store(
        _ server: LocalServer, journal: String? = nil, warn: @escaping @Sendable (String) -> Void = { _ in }
    ) throws -> BucketStore {
        var options = S3Options(bucket: "bucket")
        options.endpoint = try S3Endpoint("http://127.0.0.1:\(server.port)", port: nil)
        options.region = "us-east-1"
        options.style = .path
        options.partSize = 1000
        options.partsInFlight = 4
        options.journalDirectory = journal
        let retry = RequestRetry(
            limit: .seconds(40), counters: RequestCounters(),
            wait: RetryPolicy(shortest: .milliseconds(1), longest: .milliseconds(5)))
        let keys = GivenAWSCredentials(AWSCredentials(accessKey: "A", secretKey: Secret("S")))
        return BucketStore(
            S3Service(
                options, try NetworkTransport(TransportOptions()), keys, retry, now: { 1_700_000_000 }, warn: warn))
    }

    private func write(_ store: BucketStore, _ bytes: [UInt8] = content, to path: String = "x") async throws {
        let writer = try await store.write(path, .inPlace)
        do {
            var rest = bytes[...]
            while !rest.isEmpty {
                try await writer.append(Array(rest.prefix(777)).span.bytes)
                rest = rest.dropFirst(777)
            }
            try await writer.commit()
        } catch {
            await writer.abort()
            throw error
        }
    }

    @Test(arguments: [0, 1, 999, 1000, 1001, 2000, 25_500])
    func sizes(_ size: Int) async throws {
        let bucket = Bucket()
        let server = try LocalServer { bucket.reply($0) }
        try await write(try store(server), Array(Self.content.prefix(size)))
        #expect(bucket.objects["/bucket/x"] == Array(Self.content.prefix(size)))
        #expect(bucket.uploadCount == 0)
        // One request for what is no larger than a part.
        #expect(server.seen.count == (size <= 1000 ? 1 : 2 + (size + 999) / 1000))
    }

    @Test("parts that fail are sent again, and only they")
    func failingParts() async throws {
        let bucket = Bucket()
        let server = try LocalServer { $0.number % 3 == 0 ? .error(503, "SlowDown") : bucket.reply($0) }
        try await write(try store(server))
        #expect(bucket.objects["/bucket/x"] == Self.content)
    }

    @Test("the end of an upload whose answer was lost is found out")
    func lostEnd() async throws {
        let bucket = Bucket()
        let lost = Atomic<Bool>(false)
        let server = try LocalServer { request in
            let reply = bucket.reply(request)
            guard request.method == "POST", request.target.contains("uploadId") else { return reply }
            return lost.exchange(true, ordering: .relaxed) ? reply : .close
        }
        try await write(try store(server))
        #expect(bucket.objects["/bucket/x"] == Self.content)
    }

    @Test("an error inside of a success is one")
    func errorInside() async throws {
        let bucket = Bucket()
        let tries = Atomic<Int>(0)
        let server = try LocalServer { request in
            guard request.method == "POST", request.target.contains("uploadId"),
                tries.add(1, ordering: .relaxed).newValue < 3
            else { return bucket.reply(request) }
            return .error(200, "InternalError")
        }
        try await write(try store(server))
        #expect(bucket.objects["/bucket/x"] == Self.content)
        #expect(tries.load(ordering: .relaxed) == 3)
    }

    @Test("what cannot be finished leaves nothing, and says why", arguments: ["partNumber", "uploadId=upload1"])
    func failing(_ part: String) async throws {
        let bucket = Bucket()
        let server = try LocalServer { request in
            let isRefused =
                request.target.contains(part) && (request.method == "PUT" || request.method == "POST")
                && (part == "partNumber" || request.method == "POST")
            return isRefused ? .error(403, "AccessDenied") : bucket.reply(request)
        }
        let error = await #expect(throws: StorageError.self) { try await write(try store(server)) }
        #expect(error?.error.code == .access)
        #expect(bucket.objects.isEmpty && bucket.uploadCount == 0)
    }

    @Test("aborted, dropped and cancelled uploads leave nothing")
    func abandoned() async throws {
        let bucket = Bucket()
        let server = try LocalServer { bucket.reply($0) }
        let store = try store(server)
        var writer: (any ObjectWriter)? = try await store.write("x", .atomic)
        try await writer?.append(Self.content.span.bytes)
        #expect(bucket.uploadCount == 1)
        await writer?.abort()
        #expect(bucket.uploadCount == 0)
        writer = try await store.write("x", .atomic)
        try await writer?.append(Self.content.span.bytes)
        writer = nil
        for _ in 0..<500 where bucket.uploadCount > 0 { try await Task.sleep(for: .milliseconds(10)) }
        let task = Task {
            let writer = try await store.write("x", .atomic)
            do {
                try await writer.append(Self.content.span.bytes)
                try await Task.sleep(for: .seconds(60))
            } catch {
                await writer.abort()
                throw error
            }
        }
        while bucket.uploadCount == 0 { try await Task.sleep(for: .milliseconds(5)) }
        task.cancel()
        await #expect(throws: (any Error).self) { try await task.value }
        #expect(bucket.uploadCount == 0 && bucket.objects.isEmpty)
    }

    @Test("uploads of a run that was killed are ended by the next; those of one that lives are not")
    func journal() async throws {
        let directory = NSTemporaryDirectory() + "permafrost-journal-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let bucket = Bucket()
        let server = try LocalServer { bucket.reply($0) }
        let living = try store(server, journal: directory)
        let writer = try await living.write("living", .atomic)
        try await writer.append(Self.content.span.bytes)
        let files = try FileManager.default.contentsOfDirectory(atPath: directory)
        #expect(files.count == 1)
        // As a killed process leaves it: the lines without the lock.
        let lines = try String(contentsOfFile: "\(directory)/\(files[0])", encoding: .utf8)
        bucket.state.withLock { $0.uploads["dead"] = ("/bucket/dead", [:]) }
        try lines.replacingOccurrences(of: "upload1", with: "dead").replacingOccurrences(of: "living", with: "dead")
            .write(toFile: "\(directory)/1-x.uploads", atomically: true, encoding: .utf8)
        try (lines.replacingOccurrences(of: "bucket", with: "another"))
            .write(toFile: "\(directory)/2-x.uploads", atomically: true, encoding: .utf8)

        let next = try store(server, journal: directory)
        try await write(next, [1], to: "y")
        #expect(bucket.state.withLock { Set($0.uploads.keys) } == ["upload1"])
        let left = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        #expect(!left.contains("1-x.uploads") && left.contains("2-x.uploads") && left.contains(files[0]))
        try await writer.commit()
        #expect(bucket.objects["/bucket/living"] == Self.content && bucket.uploadCount == 0)
        #expect(try String(contentsOfFile: "\(directory)/\(files[0])", encoding: .utf8) == "")
    }

    @Test("where ending an upload is refused, a warning names the rule to set")
    func refusedAbort() async throws {
        let bucket = Bucket()
        let server = try LocalServer { $0.method == "DELETE" ? .error(403, "AccessDenied") : bucket.reply($0) }
        let warnings = Mutex<[String]>([])
        let store = try store(server) { text in warnings.withLock { $0.append(text) } }
        let writer = try await store.write("x", .atomic)
        try await writer.append(Self.content.span.bytes)
        await writer.abort()
        let text = warnings.withLock { $0.joined() }
        #expect(text.contains("AbortIncompleteMultipartUpload") && text.contains("'x'"), "\(text)")
    }

    @Test func partSizes() {
        let sizes = PartSizes(first: 5 << 20)
        #expect(sizes.size(of: 1) == 5 << 20 && sizes.size(of: 1000) == 5 << 20 && sizes.size(of: 1001) == 10 << 20)
        #expect((1...10_000).reduce(0) { $0 + sizes.size(of: $1) } > 3 << 40)
        #expect((1...10_000).allSatisfy { sizes.size(of: $0) <= 1 << 30 })
        #expect(sizes.inFlight(at: 1) == 12 && sizes.inFlight(at: 10_000) == 1)
    }
}
