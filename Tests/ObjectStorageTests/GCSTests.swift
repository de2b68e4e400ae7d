import BackupModel
import Checksums
import Foundation
import HTTP
import ObjectStorage
import RepositoryStorage
import Synchronization
import Testing

/// The driver of Google Cloud Storage on days when network and service are not at their best.
@Suite(.timeLimit(.minutes(10)))
struct GCSTests {
    private static let quick = RetryPolicy(shortest: .milliseconds(1), longest: .milliseconds(2))
    private static func retry() -> RequestRetry {
        RequestRetry(limit: .milliseconds(300), counters: RequestCounters(), wait: quick)
    }

    private func store(
        _ transport: ScriptedTransport, authorizer: any RequestAuthorizer = BearerAuthorizer(token: Secret("tok")),
        _ change: (inout GCSOptions) -> Void = { _ in }
    ) -> BucketStore {
        var options = GCSOptions(bucket: "box")
        options.root = "repo"
        options.partSize = 256 << 10
        change(&options)
        return BucketStore(GCSService(options, transport, authorizer, Self.retry(), now: { 1_700_000_000 }))
    }

    private static func resource(_ content: [UInt8]) -> String {
        "{\"size\":\"\(content.count)\",\"crc32c\":\"\(GCSRequests.checksum(crc32c(content.span.bytes)))\","
            + "\"updated\":\"2026-01-02T03:04:05.678Z\"}"
    }

    private static let content = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }

    /// A service with one upload, as far as it goes; `disturb` may answer in its place, before or after it acted.
    private final class UploadService: Sendable {
        enum Disturbance { case none, before(ScriptedTransport.Reply), after(ScriptedTransport.Reply) }
        struct State {
            var received: [UInt8] = []
            var stored: [UInt8]?
        }
        let state = Mutex(State())
        let disturb: @Sendable (HTTPRequest, Int) -> Disturbance

        init(_ disturb: @escaping @Sendable (HTTPRequest, Int) -> Disturbance = { _, _ in .none }) {
            self.disturb = disturb
        }

        func reply(_ request: HTTPRequest, _ number: Int) -> ScriptedTransport.Reply {
            switch disturb(request, number) {
            case .before(let reply): return reply
            case .after(let reply):
                _ = act(request)
                return reply
            case .none: return act(request)
            }
        }

        private func act(_ request: HTTPRequest) -> ScriptedTransport.Reply {
            if request.method == "POST" {
                return .text(200, "", ["Location": "https://elsewhere.example.com/upload?upload_id=an%2Fid&x=y"])
            }
            guard request.value("upload_id") == "an/id" else { return .text(404, "Not Found") }
            if request.method == "DELETE" { return .answer(499) }
            let range = request.headers["Content-Range"]?.dropFirst("bytes ".count).split(separator: "/") ?? []
            guard range.count == 2 else { return .text(400, "") }
            return state.withLock { state in
                if range[0] != "*" {
                    let first = Int(range[0].split(separator: "-")[0]) ?? -1
                    guard first <= state.received.count else { return .text(400, "") }
                    state.received += request.body.dropFirst(state.received.count - first)
                }
                if range[1] == "\(state.received.count)" {
                    state.stored = state.received
                    return .text(200, GCSTests.resource(state.received))
                }
                return .answer(
                    308, state.received.isEmpty ? [:] : ["Range": "bytes=0-\(state.received.count - 1)"])
            }
        }
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

    @Test("an upload in parts goes to the endpoint, whatever address the answer names")
    func parts() async throws {
        let service = UploadService()
        let transport = ScriptedTransport(service.reply)
        try await put(store(transport), "a/b c", Self.content)
        #expect(service.state.withLock { $0.stored } == Self.content)
        #expect(transport.seen.allSatisfy { $0.origin == GCSOptions.google })
        #expect(transport.seen.allSatisfy { $0.headers["Authorization"] == "Bearer tok" })
        #expect(
            transport.seen.map { $0.headers["Content-Range"] ?? "" } == [
                "", "bytes 0-262143/*", "bytes 262144-524287/*", "bytes 524288-699999/700000",
            ])
        #expect(transport.seen[0].value("name") == "repo/a/b c" && transport.seen[0].value("ifGenerationMatch") == nil)
    }

    @Test(
        "an upload goes on where it was when a request failed, whether that was carried out or not",
        arguments: [2, 3, 4], [false, true])
    func resumed(_ failing: Int, _ isCarriedOut: Bool) async throws {
        for kind in [TransportError.Kind.broken, .timeout] {
            let service = UploadService { _, number in
                if number != failing { return .none }
                return isCarriedOut ? .after(.failure(kind)) : .before(.failure(kind))
            }
            let transport = ScriptedTransport(service.reply)
            try await put(store(transport), "x", Self.content)
            #expect(service.state.withLock { $0.stored } == Self.content)
            // It asks what arrived, and sends that no second time.
            let asked = transport.seen[failing].headers["Content-Range"]
            #expect(asked == (failing == 4 ? "bytes */700000" : "bytes */*"))
            #expect(transport.seen.count == (isCarriedOut ? 5 : 6))
        }
    }

    @Test("half a part is taken: the rest of it follows")
    func halfTaken() async throws {
        let service = UploadService()
        let transport = ScriptedTransport { request, number in
            var request = request
            if number == 2 {
                request.body = Array(request.body[..<100_000])
                request.headers["Content-Range"] = "bytes 0-99999/*"
            }
            return service.reply(request, number)
        }
        try await put(store(transport), "x", Self.content)
        #expect(service.state.withLock { $0.stored } == Self.content)
        #expect(transport.seen[2].headers["Content-Range"] == "bytes 100000-262143/*")
    }

    @Test("an upload that the service forgot, lost or damaged is an error, and none of an absent object")
    func lost() async throws {
        let replies: [(Int, ScriptedTransport.Reply)] = [
            (3, .text(404, "{\"error\":{\"code\":404,\"message\":\"No such upload\"}}")), (3, .text(410, "Gone")),
            // Less than it had; more than it was sent; nothing more; all of it, too early.
            (3, .answer(308, ["Range": "bytes=0-99"])), (3, .answer(308, ["Range": "bytes=0-9999999"])),
            (3, .answer(308, ["Range": "bytes=0-18446744073709551615"])), (3, .answer(308, ["Range": "x"])),
            (3, .text(200, Self.resource(Self.content))),
            // Another content.
            (4, .text(200, Self.resource(Array(Self.content.reversed())))), (4, .text(200, "{\"size\":\"7\"}")),
            (4, .text(200, "<html>all is well</html>")), (4, .text(200, "")),
        ]
        for (failing, reply) in replies {
            let service = UploadService { request, number in
                // From there on, whatever is asked.
                number >= failing && request.method == "PUT" ? .before(reply) : .none
            }
            let transport = ScriptedTransport(service.reply)
            let error = await #expect(throws: StorageError.self) { try await put(store(transport), "x", Self.content) }
            #expect(error?.isMissing == false && error?.error.message.contains("'repo/x' in bucket 'box'") == true)
            #expect(service.state.withLock { $0.stored } == nil)
            #expect(transport.seen.last?.method == "DELETE", "\(String(describing: error))")
        }
    }

    @Test("small objects are one request, with tags two parts of one")
    func small() async throws {
        let bytes = Array("content".utf8)
        let transport = ScriptedTransport { _, _ in .text(200, Self.resource(bytes)) }
        try await put(store(transport), "x", bytes, .create)
        var request = try #require(transport.seen.first)
        #expect(request.path == "/upload/storage/v1/b/box/o" && request.body == bytes)
        #expect(request.value("uploadType") == "media" && request.value("ifGenerationMatch") == "0")
        try await put(store(transport) { $0.tags = [("a \"b\"", "ü")] }, "x", bytes)
        request = try #require(transport.seen.last)
        #expect(request.value("uploadType") == "multipart")
        let body = String(decoding: request.body, as: UTF8.self)
        #expect(body.contains("{\"name\":\"repo/x\",\"metadata\":{\"a \\\"b\\\"\":\"ü\"}}\r\n--"), "\(body)")
        #expect(body.contains("\r\n\r\ncontent\r\n--"))
    }

    @Test("what was stored is compared with what was sent")
    func compared() async throws {
        let transport = ScriptedTransport { _, number in
            .text(200, Self.resource(Array((number < 3 ? "other" : "right").utf8)))
        }
        try await put(store(transport), "x", Array("right".utf8))
        #expect(transport.seen.count == 3)
        let never = ScriptedTransport { _, _ in .text(200, Self.resource(Array("other".utf8))) }
        let error = await #expect(throws: StorageError.self) { try await put(store(never), "x", Array("right".utf8)) }
        #expect(error?.error.message.contains("what was stored is not what was sent") == true)
    }

    @Test("a creation whose answer was lost is told from one of somebody else")
    func createdTwice() async throws {
        let ours = Array("ours".utf8)
        for (there, isOurs) in [(ours, true), (Array("them".utf8), false), (Array("others".utf8), false)] {
            let transport = ScriptedTransport { request, number in
                if request.method == "GET" { return .text(200, Self.resource(there)) }
                return number == 1 ? .failure(.broken) : .text(412, "{\"error\":{\"code\":412,\"message\":\"no\"}}")
            }
            let store = store(transport)
            if isOurs {
                try await put(store, "lock", ours, .create)
            } else {
                let error = await #expect(throws: StorageError.self) { try await put(store, "lock", ours, .create) }
                #expect(error?.isAlreadyThere == true)
            }
        }
        // Nothing was lost here: it was there.
        let transport = ScriptedTransport { _, _ in .text(412, "") }
        let error = await #expect(throws: StorageError.self) { try await put(store(transport), "lock", ours, .create) }
        #expect(error?.isAlreadyThere == true && transport.seen.count == 1)
    }

    @Test("a token that ran out is replaced, one that was given is not")
    func tokens() async throws {
        let count = Mutex(0)
        let renewed = BearerAuthorizer(now: { 1_700_000_000 }) {
            let number = count.withLock { count in
                count += 1
                return count
            }
            return AccessTokens.Entry(Secret("t\(number)"), expires: 1_700_003_600)
        }
        let transport = ScriptedTransport { request, _ in
            request.headers["Authorization"] == "Bearer t1" ? .text(401, "") : .text(200, "{}")
        }
        _ = try await store(transport, authorizer: renewed).list("", prefix: "", from: nil)
        #expect(transport.seen.map { $0.headers["Authorization"] } == ["Bearer t1", "Bearer t2"])
        let error = await #expect(throws: StorageError.self) {
            try await store(ScriptedTransport { _, _ in .text(401, "") }).info("x")
        }
        #expect(error?.error.code == .access && error?.isRetryable == false)
        #expect(error?.error.hint?.contains("repo1-gcs-key") == true)
    }

    @Test("pages, also empty ones; and what is no page")
    func pages() async throws {
        let answers = [
            "{\"items\":[{\"name\":\"repo/d/a\",\"size\":\"1\",\"updated\":\"2026-01-02T03:04:05Z\"}],\"nextPageToken\":\"p/2\"}",
            "{\"nextPageToken\":\"p3\"}",
            "{\"prefixes\":[\"repo/d/b/\"],\"items\":[{\"name\":\"repo/d/z\",\"size\":\"2\"}]}",
        ]
        let transport = ScriptedTransport { request, _ in
            .text(200, answers[["p/2": 1, "p3": 2][request.value("pageToken") ?? ""] ?? 0])
        }
        let store = store(transport) { $0.userProject = "payer" }
        var names: [String] = []
        var token: String?
        repeat {
            let page = try await store.list("d", prefix: "", from: token)
            names += page.entries.map { "\($0.name) \($0.kind) \($0.size)" }
            token = page.next
        } while token != nil
        #expect(names == ["a object 1", "b directory 0", "z object 2"])
        #expect(transport.seen.allSatisfy { $0.value("userProject") == "payer" && $0.value("prefix") == "repo/d/" })
        for text in ["", "[]", "<html>", "{\"items\":[{\"size\":\"1\"}]}", "{\"items\":[{\"name\":\"x\"}]}"] {
            let broken = self.store(ScriptedTransport { _, _ in .text(200, text) })
            let error = await #expect(throws: StorageError.self) { try await broken.list("d", prefix: "", from: nil) }
            #expect(error?.isRetryable == true, "\(text)")
        }
    }

    @Test(
        "what the service says becomes what is to be done",
        arguments: [
            (
                404, "notFound", "The specified bucket does not exist.", ErrorCode.pathMissing, false,
                "create bucket 'box'"
            ),
            (403, "forbidden", "x does not have storage.objects.list access", .access, false, "storage.objects.list"),
            (403, "rateLimitExceeded", "slow down", .service, true, nil),
            (429, "rateLimitExceeded", "slow down", .service, true, nil),
            (500, "internalError", "", .service, true, nil),
            (503, "backendError", "", .service, true, nil), (400, "invalid", "what?", .pathOpen, false, nil),
            (400, "required", "Bucket is a requester pays bucket", .pathOpen, false, "repo1-gcs-user-project"),
        ] as [(Int, String, String, ErrorCode, Bool, String?)])
    func failures(
        _ status: Int, _ reason: String, _ message: String, _ code: ErrorCode, _ isRetryable: Bool, _ hint: String?
    ) async throws {
        let text = "{\"error\":{\"code\":\(status),\"message\":\"\(message)\",\"errors\":[{\"reason\":\"\(reason)\"}]}}"
        let transport = ScriptedTransport { _, _ in .text(status, text, ["X-GUploader-UploadID": "RQ7"]) }
        let error = try #require(
            await #expect(throws: StorageError.self) { try await store(transport).list("", prefix: "", from: nil) })
        #expect(error.isRetryable == isRetryable && (transport.seen.count > 1) == isRetryable)
        #expect(error.error.code == code || code == .service)
        #expect(error.error.message.contains("[\(status)] \(reason)") && error.error.message.contains("RQ7"))
        if let hint { #expect(error.error.hint?.contains(hint) == true, "\(error)") }
    }
}
