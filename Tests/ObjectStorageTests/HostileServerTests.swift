import BackupModel
import Foundation
import HTTP
import ObjectStorage
import RepositoryStorage
import Synchronization
import Testing

/// A server that does what networks and services do on a bad day: nothing is lost, and nothing wrong is believed.
@Suite(.timeLimit(.minutes(10)))
struct HostileServerTests {
    private func store(
        _ server: LocalServer, counters: RequestCounters = RequestCounters(), timeout: Duration = .seconds(5),
        patience: Duration = .seconds(240),
        credentials: any AWSCredentialSource = GivenAWSCredentials(
            AWSCredentials(accessKey: "AKID", secretKey: Secret("the secret"))),
        _ change: (inout S3Options) -> Void = { _ in }
    ) throws -> BucketStore {
        var options = S3Options(bucket: "bucket")
        options.root = "repo"
        options.endpoint = try S3Endpoint("http://127.0.0.1:\(server.port)", port: nil)
        options.region = "us-east-1"
        options.style = .path
        change(&options)
        var transport = TransportOptions()
        transport.timeout = timeout
        let retry = RequestRetry(
            limit: patience, counters: counters,
            wait: RetryPolicy(shortest: .milliseconds(1), longest: .milliseconds(5)))
        return BucketStore(
            S3Service(
                options, try NetworkTransport(transport), credentials, retry,
                now: { Int64(Date().timeIntervalSince1970) }))
    }

    private func put(_ store: BucketStore, _ path: String, _ bytes: [UInt8], _ mode: WriteMode = .atomic) async throws {
        let writer = try await store.write(path, mode)
        do {
            try await writer.append(bytes.span.bytes)
            try await writer.commit()
        } catch {
            await writer.abort()
            throw error
        }
    }

    private func get(_ store: BucketStore, _ path: String, _ range: Range<UInt64>? = nil) async throws -> [UInt8] {
        let reader = try await store.read(path, range: range)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1000, alignment: 1)
        defer { buffer.deallocate() }
        var bytes: [UInt8] = []
        while true {
            let count = try await reader.read(into: buffer)
            if count == 0 { return bytes }
            bytes += buffer[..<count]
        }
    }

    private func failure(_ body: () async throws -> Void) async throws -> StorageError {
        do {
            try await body()
        } catch let error as StorageError {
            return error
        }
        throw POSIXError(.EINVAL)
    }

    static let content = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }

    /// What a well-behaved server says to a GET.
    static func object(_ request: LocalServer.Request, _ bytes: [UInt8] = content, cut: Int? = nil) -> LocalServer.Reply
    {
        let start = request.headers["range"].flatMap { Int($0.dropFirst(6).prefix { $0 != "-" }) } ?? 0
        let part = Array(bytes[start...])
        var headers = [("ETag", "\"tag\""), ("Content-Length", String(part.count))]
        if start > 0 { headers.append(("Content-Range", "bytes \(start)-\(bytes.count - 1)/\(bytes.count)")) }
        guard let cut, cut < part.count else { return .answer(start > 0 ? 206 : 200, headers, part) }
        var head = "HTTP/1.1 \(start > 0 ? 206 : 200) X\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        return .bytes(Array((head + "\r\n").utf8) + part[..<cut])
    }

    @Test("a server without names of buckets is told how to be asked")
    func withoutNames() async throws {
        let keys = GivenAWSCredentials(AWSCredentials(accessKey: "AKIA", secretKey: Secret("key")))
        for (kind, isMeant) in [(TransportError.Kind.notConnected, true), (.certificate, true), (.broken, false)] {
            for (style, endpoint) in [
                (S3Options.AddressStyle.host, "store.example.com"), (.path, "store.example.com"), (.host, nil),
            ] {
                var options = S3Options(bucket: "box")
                options.repositoryKey = 3
                options.region = "us-east-1"
                options.style = style
                options.endpoint = try endpoint.map { try S3Endpoint($0, port: nil) }
                let transport = ScriptedTransport { _, _ in .failure(kind) }
                let retry = RequestRetry(limit: .milliseconds(1), counters: RequestCounters())
                let store = BucketStore(S3Service(options, transport, keys, retry, now: { 1_800_000_000 }))
                let error = try await failure { _ = try await store.list("d", prefix: "", from: nil) }
                let isSaid = error.error.hint?.contains("repo3-s3-uri-style=path") == true
                #expect(isSaid == (isMeant && style == .host && endpoint != nil), "\(kind) \(style) \(error)")
            }
        }
    }

    @Test("failures that pass are gone through")
    func passing() async throws {
        let bad: [LocalServer.Reply] = [
            .error(503, "SlowDown"), .error(500, "InternalError"),
            .error(503, "ServiceUnavailable", [("Retry-After", "0")]),
            .close, .raw("HTTP/1.1 "), .raw("garbage\r\n\r\n"), .text(200, "<html>a proxy</html>"),
            .text(502, "<html>bad gateway</html>"), .error(400, "RequestTimeout"), .error(429, "TooManyRequests"),
        ]
        let counters = RequestCounters()
        let server = try LocalServer { request in
            request.number <= bad.count
                ? bad[request.number - 1]
                : .text(
                    200,
                    "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>repo/d/x</Key><Size>1</Size></Contents></ListBucketResult>"
                )
        }
        let page = try await store(server, counters: counters).list("d", prefix: "", from: nil)
        #expect(page.entries.map(\.name) == ["x"])
        #expect(counters.totals.requests == bad.count + 1 && counters.totals.retries == bad.count)
    }

    @Test("a body that is cut short is gone on with")
    func cutBodies() async throws {
        let server = try LocalServer { Self.object($0, cut: 30_000) }
        let bytes = try await get(try store(server), "x")
        #expect(bytes == Self.content)
        #expect(server.seen.dropFirst().allSatisfy { $0.headers["if-match"] == "\"tag\"" })
        #expect(server.seen.count > 3)
    }

    @Test("an object that was replaced while it was read is not mixed with the new one")
    func replaced() async throws {
        let server = try LocalServer { request in
            request.number == 1 ? Self.object(request, cut: 30_000) : .error(412, "PreconditionFailed")
        }
        let store = try store(server)
        let error = try await failure { _ = try await get(store, "x") }
        #expect(!error.isRetryable && !error.isMissing && error.error.message.contains("replaced"))
    }

    @Test("a body that never goes on, and one without a length, is an error", arguments: [0, 1])
    func brokenForGood(_ kind: Int) async throws {
        let server = try LocalServer { request in
            if request.headers["range"] != nil {
                return .raw("HTTP/1.1 206 OK\r\nContent-Length: 96\r\nContent-Range: bytes 4-99/100\r\n\r\n")
            }
            return kind == 0
                ? .raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: \"t\"\r\n\r\nhalf")
                : .raw("HTTP/1.1 200 OK\r\nETag: \"t\"\r\n\r\nhalf")
        }
        let store = try store(server, patience: .milliseconds(100))
        let error = try await failure { _ = try await get(store, "x") }
        #expect(error.isRetryable && error.error.code == .fileRead, "\(error)")
    }

    @Test("another part than was asked for is not believed")
    func wrongPart() async throws {
        let server = try LocalServer { _ in
            .answer(206, [("Content-Range", "bytes 0-9/100"), ("ETag", "t")], Array(repeating: 0, count: 10))
        }
        let store = try store(server, patience: .milliseconds(100))
        let error = try await failure { _ = try await get(store, "x", 50..<60) }
        #expect(error.error.message.contains("another part"))
    }

    @Test("silence meets the time limit")
    func silence() async throws {
        let server = try LocalServer { $0.number <= 2 ? .silence : Self.object($0) }
        #expect(try await get(try store(server, timeout: .milliseconds(300)), "x") == Self.content)
        #expect(server.seen.count > 2)
    }

    @Test("a PUT whose answer was lost is made again; a create that landed is ours")
    func lostAnswer() async throws {
        let objects = Mutex<[String: [UInt8]]>([:])
        let server = try LocalServer { request in
            objects.withLock { objects in
                switch request.method {
                case "GET":
                    guard let bytes = objects[request.path] else { return .error(404, "NoSuchKey") }
                    return .answer(200, [("ETag", "t")], bytes)
                case "PUT":
                    if request.headers["if-none-match"] == "*", objects[request.path] != nil {
                        return .error(412, "PreconditionFailed")
                    }
                    objects[request.path] = request.body
                    // It landed, and nobody hears of it.
                    return request.number == 1 ? .close : .answer(200, [("ETag", "t")])
                default: return .error(405, "MethodNotAllowed")
                }
            }
        }
        let store = try store(server)
        try await put(store, "lock", [1, 2, 3], .create)
        #expect(try await get(store, "lock") == [1, 2, 3])
        let error = try await failure { try await put(store, "lock", [4], .create) }
        #expect(error.isAlreadyThere && !error.isRetryable)
        #expect(try await get(store, "lock") == [1, 2, 3])
        #expect(store.capabilities.contains(.createIfAbsent))
    }

    @Test("a service that heeds no conditions loses the capability, and keeps nothing")
    func noConditions() async throws {
        let names = Mutex<Set<String>>([])
        let server = try LocalServer { request in
            names.withLock { names in
                if request.method == "PUT" { names.insert(request.path) } else { names.remove(request.path) }
                return .answer(request.method == "PUT" ? 200 : 204)
            }
        }
        let store = try store(server)
        let error = try await failure { try await put(store, "lock", [1], .create) }
        #expect(error.error.code == .featureNotSupported && error.isAlreadyThere)
        #expect(!store.capabilities.contains(.createIfAbsent))
        #expect(names.withLock { $0.isEmpty })
        let count = server.seen.count
        let again = try await failure { try await put(store, "lock", [1], .create) }
        #expect(again.error.code == .featureNotSupported && server.seen.count == count)
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var status: Int
        var code: String
        var expected: ErrorCode
        var words: [String]
        var testDescription: String { code }
    }

    @Test(
        "errors say what to do, once",
        arguments: [
            Refusal(status: 403, code: "AccessDenied", expected: .access, words: ["s3:PutObject", "bucket/*"]),
            Refusal(status: 403, code: "SignatureDoesNotMatch", expected: .access, words: ["repo1-s3-key-type"]),
            Refusal(status: 403, code: "InvalidAccessKeyId", expected: .access, words: ["check the key"]),
            Refusal(status: 400, code: "ExpiredToken", expected: .access, words: ["session token ran out"]),
            Refusal(status: 404, code: "NoSuchBucket", expected: .pathMissing, words: ["create bucket 'bucket'"]),
            Refusal(status: 301, code: "PermanentRedirect", expected: .service, words: ["s3-region"]),
            Refusal(status: 400, code: "EntityTooLarge", expected: .service, words: []),
        ])
    func refusals(_ refusal: Refusal) async throws {
        let server = try LocalServer { _ in .error(refusal.status, refusal.code) }
        let store = try store(server)
        let error = try await failure { try await put(store, "a/b", [1]) }
        #expect(error.error.code == refusal.expected && !error.isRetryable && !error.isMissing)
        let text = error.error.description
        for word in refusal.words + ["'repo/a/b'", "'bucket'", refusal.code, "REQ1", "[\(refusal.status)]"] {
            #expect(text.contains(word), "\(text)")
        }
        #expect(!text.contains("the secret") && !text.contains("Signature="))
        #expect(server.seen.count == 1)
    }

    @Test("a clock that is off is made up for")
    func clockSkew() async throws {
        let server = try LocalServer { request in
            // An hour ahead of us.
            let now = ServiceTime.http(Int64(Date().timeIntervalSince1970) + 3600)
            let hour = ServiceTime.compact(Int64(Date().timeIntervalSince1970) + 3600).prefix(11)
            return request.headers["x-amz-date"]?.hasPrefix(hour) == true
                ? .answer(200, [("ETag", "t"), ("Date", now)]) : .error(403, "RequestTimeTooSkewed", [("Date", now)])
        }
        try await put(try store(server), "x", [1])
        #expect(server.seen.count == 2)
    }

    @Test("the region is asked for, and another is gone to")
    func region() async throws {
        let server = try LocalServer { request in
            if request.target == "/bucket?location=" || request.target == "/bucket?location" {
                return .text(200, "<LocationConstraint xmlns=\"http://x\">eu-north-1</LocationConstraint>")
            }
            let isRight = request.headers["authorization"]?.contains("/ap-south-1/") == true
            return isRight
                ? .answer(200, [("ETag", "t")])
                : .error(400, "AuthorizationHeaderMalformed", [("x-amz-bucket-region", "ap-south-1")])
        }
        try await put(try store(server) { $0.region = nil }, "x", [1])
        #expect(server.seen[1].headers["authorization"]?.contains("/eu-north-1/") == true)
        #expect(server.seen.count == 3)
    }

    @Test("what the options ask for is in the requests")
    func headers() async throws {
        let server = try LocalServer { _ in .answer(200, [("ETag", "t")]) }
        let key = Base64.encode(Array(repeating: UInt8(7), count: 32))
        try await put(
            try store(server) {
                $0.storageClass = "STANDARD_IA"
                $0.tags = [("a b", "1"), ("c", "2&")]
                $0.requesterPays = true
                $0.encryption = .keyManagement("key-id")
            }, "x", [1])
        try await put(try store(server) { $0.encryption = .customer(Secret(key)) }, "x", [1])
        try await put(try store(server) { $0.encryption = .service }, "x", [1])
        let first = server.seen[0].headers
        #expect(first["x-amz-storage-class"] == "STANDARD_IA" && first["x-amz-tagging"] == "a%20b=1&c=2%26")
        #expect(first["x-amz-request-payer"] == "requester" && first["x-amz-server-side-encryption"] == "aws:kms")
        #expect(first["x-amz-server-side-encryption-aws-kms-key-id"] == "key-id")
        let second = server.seen[1].headers
        #expect(second["x-amz-server-side-encryption-customer-key"] == key)
        #expect(second["x-amz-server-side-encryption-customer-key-md5"] != nil)
        #expect(server.seen[2].headers["x-amz-server-side-encryption"] == "AES256")
        let signed = first["authorization"] ?? ""
        #expect(signed.contains("x-amz-storage-class;x-amz-tagging"), "\(signed)")
        // One connection for each store.
        #expect(server.connectionCount == 3)
    }

    @Test("a bucket with Object Lock gets its MD5")
    func objectLock() async throws {
        let server = try LocalServer { request in
            request.headers["content-md5"] == nil
                ? .text(
                    400,
                    "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for "
                        + "Put Object requests with Object Lock parameters</Message></Error>")
                : .answer(200, [("ETag", "t")])
        }
        let store = try store(server)
        try await put(store, "x", Array("hello".utf8))
        #expect(server.seen[1].headers["content-md5"] == "XUFAKrxLKna5cZ2REBfFkg==")
        try await put(store, "y", Array("hello".utf8))
        #expect(server.seen.count == 3)
    }
}
