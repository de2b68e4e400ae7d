import BackupModel
import Foundation
import HTTP
import ObjectStorage
import RepositoryStorage
import Synchronization
import Testing

/// The driver of Azure Blob on days when network and service are not at their best.
@Suite(.timeLimit(.minutes(10)))
struct AzureTests {
    private static let key = Secret("a2V5IG9mIHRoZSBhY2NvdW50")

    private func store(
        _ transport: ScriptedTransport, authorizer: (any RequestAuthorizer)? = nil,
        _ change: (inout AzureOptions) -> Void = { _ in }
    ) throws -> BucketStore {
        var options = AzureOptions(account: "account", container: "box")
        options.root = "repo"
        options.partSize = 100_000
        change(&options)
        let retry = RequestRetry(
            limit: .milliseconds(300), counters: RequestCounters(),
            wait: RetryPolicy(shortest: .milliseconds(1), longest: .milliseconds(2)))
        let shared = try SharedKeySignature(account: "account", key: Self.key)
        return BucketStore(
            AzureService(options, transport, authorizer ?? shared, retry, now: { 1_700_000_000 }))
    }

    private static func error(_ status: Int, _ code: String, detail: String = "") -> ScriptedTransport.Reply {
        let detail = detail.isEmpty ? "" : "<AuthenticationErrorDetail>\(detail)</AuthenticationErrorDetail>"
        return .text(
            status,
            "\u{feff}<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>text of \(code).\nTime:x</Message>"
                + "\(detail)</Error>", ["x-ms-request-id": "RQ8"])
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

    private static let content = (0..<350_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }

    @Test("blocks come in any order, some twice, and the list says which make the blob")
    func blocks() async throws {
        let blocks = Mutex<[String: [UInt8]]>([:])
        let lists = Mutex<[String]>([])
        let transport = ScriptedTransport { request, number in
            // The second and the last request are carried out, and their answers are lost.
            if let id = request.value("blockid") {
                blocks.withLock { $0[id] = request.body }
                return number == 2 ? .failure(.broken) : .answer(201)
            }
            let count = lists.withLock { lists in
                lists.append(String(decoding: request.body, as: UTF8.self))
                return lists.count
            }
            return count == 1 ? .failure(.timeout) : .answer(201)
        }
        try await put(try store(transport), "a/b c", Self.content)
        let sent = lists.withLock { $0 }
        #expect(sent.count == 2 && sent[0] == sent[1])
        let ids = sent[0].matches(of: /<Latest>([^<]+)<\/Latest>/).map { String($0.output.1) }
        #expect(ids.count == 4 && Set(ids.map(\.count)).count == 1)
        #expect(ids.flatMap { id in blocks.withLock { $0[id] ?? [] } } == Self.content)
        #expect(transport.seen.allSatisfy { $0.path == "/box/repo/a/b%20c" })
        #expect(transport.seen.allSatisfy { $0.origin.host == "account.blob.core.windows.net" })
        #expect(transport.seen.allSatisfy { $0.headers["Content-MD5"] != nil })
    }

    @Test("a creation whose answer was lost is told from one of somebody else", arguments: [100, 350_000])
    func createdTwice(_ size: Int) async throws {
        let ours = Array(Self.content[..<size])
        for isOurs in [true, false] {
            let lists = Mutex<[UInt8]>([])
            let tries = Mutex(0)
            let transport = ScriptedTransport { request, _ in
                switch (request.method, request.value("comp")) {
                case ("PUT", "block"): return .answer(201)
                case ("PUT", _):
                    if request.value("comp") == "blocklist" { lists.withLock { $0 = request.body } }
                    let count = tries.withLock { tries in
                        tries += 1
                        return tries
                    }
                    return count == 1 ? .failure(.broken) : Self.error(409, "BlobAlreadyExists")
                case ("GET", "blocklist"):
                    let ids = String(decoding: lists.withLock { $0 }, as: UTF8.self)
                        .matches(of: /<Latest>([^<]+)<\/Latest>/).map { "<Block><Name>\($0.output.1)</Name></Block>" }
                    let text = isOurs ? ids.joined() : "<Block><Name>b3RoZXI=</Name></Block>"
                    return .text(200, "<BlockList><CommittedBlocks>\(text)</CommittedBlocks></BlockList>")
                default: return .answer(200, [:], isOurs ? ours : ours + [1])
                }
            }
            if isOurs {
                try await put(try store(transport), "lock", ours, .create)
            } else {
                let error = await #expect(throws: StorageError.self) {
                    try await put(try store(transport), "lock", ours, .create)
                }
                #expect(error?.isAlreadyThere == true)
            }
        }
    }

    @Test("a download goes on where it broke off, but not in another blob")
    func resumed() async throws {
        let content = Self.content
        for isReplaced in [false, true] {
            let transport = ScriptedTransport { request, number in
                if number == 1 { return .cut(200, ["ETag": "\"1\""], content, after: 200_000) }
                if request.headers["If-Match"] != "\"1\"" || isReplaced { return Self.error(412, "ConditionNotMet") }
                return .answer(
                    206, ["ETag": "\"1\"", "Content-Range": "bytes 200000-349999/350000"], Array(content[200_000...]))
            }
            let reader = try await store(transport).read("x", range: nil)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 400_000, alignment: 1)
            defer { buffer.deallocate() }
            if isReplaced {
                await #expect(throws: StorageError.self) { try await reader.read(into: buffer) }
            } else {
                #expect(try await reader.read(into: buffer) == 350_000 && buffer[..<350_000].elementsEqual(content))
                #expect(transport.seen[1].headers["x-ms-range"] == "bytes=200000-349999")
            }
        }
    }

    @Test("a clock that is off is corrected by the service's own")
    func clock() async throws {
        let transport = ScriptedTransport { request, _ in
            guard request.headers["x-ms-date"] == "Tue, 14 Nov 2023 23:13:20 GMT" else {
                let reply = Self.error(
                    403, "AuthenticationFailed", detail: "The date header in the request is incorrect.")
                guard case .answer(let status, var headers, let body) = reply else { return reply }
                headers["Date"] = "Tue, 14 Nov 2023 23:13:20 GMT"
                return .answer(status, headers, body)
            }
            return .answer(404)
        }
        #expect(try store(transport).capabilities == [.createIfAbsent])
        try await store(transport).delete(["x"])
        #expect(transport.seen.count == 2)
    }

    @Test("a shared access signature is in each request, and not in what is said of it")
    func sharedAccessSignature() async throws {
        let transport = ScriptedTransport { _, _ in Self.error(403, "AuthorizationPermissionMismatch") }
        let signature = try SharedAccessSignature(Secret("?sv=2021-08-06&sp=r%20l&sig=a%2Bb%2F%3D"))
        let error = await #expect(throws: StorageError.self) {
            try await store(transport, authorizer: signature).info("x")
        }
        #expect(transport.seen[0].value("sig") == "a+b/=" && transport.seen[0].value("sp") == "r l")
        #expect(transport.seen[0].headers["Authorization"] == nil)
        #expect(error.map { "\($0) \(signature)" }?.contains("a+b") == false)
        #expect(throws: BackupError.self) { try SharedAccessSignature(Secret("c2hhcmVkIGtleQ==")) }
        #expect(throws: BackupError.self) { try SharedAccessSignature(Secret("sig=%2")) }
        #expect(throws: BackupError.self) { try SharedKeySignature(account: "a", key: Secret("?sv=1&sig=2")) }
    }

    @Test("pages, also empty ones; and what is no page")
    func pages() async throws {
        func page(_ blobs: String, _ next: String) -> String {
            "\u{feff}<?xml version=\"1.0\"?><EnumerationResults ContainerName=\"box\"><Prefix>repo/d/</Prefix>"
                + "<Blobs>\(blobs)</Blobs><NextMarker>\(next)</NextMarker></EnumerationResults>"
        }
        let blob =
            "<Properties><Last-Modified>Tue, 14 Nov 2023 23:13:20 GMT</Last-Modified><Content-Length>7"
            + "</Content-Length></Properties></Blob>"
        let answers = [
            page("<Blob><Name>repo/d/a &amp; b</Name>\(blob)", "2!x="), page("", "3!"),
            page("<BlobPrefix><Name>repo/d/c/</Name></BlobPrefix><Blob><Name>repo/d/z</Name>\(blob)", ""),
        ]
        let transport = ScriptedTransport { request, _ in
            .text(200, answers[["2!x=": 1, "3!": 2][request.value("marker") ?? ""] ?? 0])
        }
        var names: [String] = []
        var token: String?
        repeat {
            let page = try await store(transport).list("d", prefix: "", from: token)
            names += page.entries.map { "\($0.name) \($0.kind) \($0.size) \($0.modified)" }
            token = page.next
        } while token != nil
        #expect(names == ["a & b object 7 1700003600", "c directory 0 0", "z object 7 1700003600"])
        for text in ["", "<html/>", page("<Blob><Name>x</Name></Blob>", ""), "<EnumerationResults>"] {
            let error = await #expect(throws: StorageError.self) {
                try await store(ScriptedTransport { _, _ in .text(200, text) }).list("d", prefix: "", from: nil)
            }
            #expect(error?.isRetryable == true, "\(text)")
        }
    }

    @Test(
        "what the service says becomes what is to be done",
        arguments: [
            (404, "ContainerNotFound", "", ErrorCode.pathMissing, false, "create container 'box'"),
            (403, "AuthenticationFailed", "The MAC signature found is not the same", .access, false, "repo1-azure-key"),
            (
                403, "AuthenticationFailed", "Signature not valid in the specified time frame", .access, false,
                "make a new"
            ),
            (403, "AuthorizationPermissionMismatch", "", .access, false, "the permission 'list'"),
            (403, "AuthorizationFailure", "", .access, false, "firewall"),
            (403, "KeyBasedAuthenticationNotPermitted", "", .access, false, "key-type=auto"),
            (401, "InvalidAuthenticationInfo", "", .access, false, "repo1-azure-key-type"),
            (503, "ServerBusy", "", .pathOpen, true, nil), (500, "InternalError", "", .pathOpen, true, nil),
            (500, "OperationTimedOut", "", .pathOpen, true, nil),
            (409, "ContainerBeingDeleted", "", .pathOpen, true, nil),
            (400, "InvalidQueryParameterValue", "", .pathOpen, false, nil),
        ] as [(Int, String, String, ErrorCode, Bool, String?)])
    func failures(
        _ status: Int, _ code: String, _ detail: String, _ errorCode: ErrorCode, _ isRetryable: Bool, _ hint: String?
    ) async throws {
        let transport = ScriptedTransport { _, _ in Self.error(status, code, detail: detail) }
        let error = try #require(
            await #expect(throws: StorageError.self) { try await store(transport).list("", prefix: "", from: nil) })
        #expect(error.isRetryable == isRetryable && (transport.seen.count > 1) == isRetryable)
        #expect(error.error.code == errorCode)
        #expect(
            error.error.message.contains("[\(status)] \(code): text of \(code).") && error.error.message.contains("RQ8")
        )
        #expect(!error.error.message.contains("MAC") && !error.error.message.contains("Time:"))
        if let hint { #expect(error.error.hint?.contains(hint) == true, "\(error)") }
    }
}
