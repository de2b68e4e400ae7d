import BackupModel
import HTTP
import ObjectStorage
import RepositoryStorage
import Testing

/// A bucket as it was: which requests are made, and what is refused.
@Suite(.timeLimit(.minutes(10)))
struct PastStoreTests {
    private func store(_ transport: ScriptedTransport, at time: Int64 = 1_767_323_050) throws -> PastStore {
        var options = S3Options(bucket: "box")
        options.root = "repo"
        options.region = "us-east-1"
        options.style = .path
        let retry = RequestRetry(
            limit: .milliseconds(300), counters: RequestCounters(),
            wait: RetryPolicy(shortest: .milliseconds(1), longest: .milliseconds(2)))
        let keys = GivenAWSCredentials(AWSCredentials(accessKey: "A", secretKey: Secret("S")))
        return PastStore(S3Service(options, transport, keys, retry, now: { 1_800_000_000 }), at: time)
    }

    private static func version(_ key: String, _ id: String, second: Int, size: Int = 3, deleted: Bool = false)
        -> String
    {
        let name = deleted ? "DeleteMarker" : "Version"
        return "<\(name)><Key>repo/\(key)</Key><VersionId>\(id)</VersionId><IsLatest>false</IsLatest>"
            + "<LastModified>2026-01-02T03:04:\(second < 10 ? "0" : "")\(second).000Z</LastModified><Size>\(size)</Size></\(name)>"
    }
    private static func list(_ content: String, next: (key: String, id: String)? = nil) -> ScriptedTransport.Reply {
        let more = next.map {
            "<IsTruncated>true</IsTruncated><NextKeyMarker>\($0.key)</NextKeyMarker>"
                + "<NextVersionIdMarker>\($0.id)</NextVersionIdMarker>"
        }
        return .text(200, "<ListVersionsResult>\(content)\(more ?? "")</ListVersionsResult>")
    }

    private func text(_ reader: any ObjectReader) async throws -> String {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 100, alignment: 1)
        defer { buffer.deallocate() }
        let count = try await reader.read(into: buffer)
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    @Test("a read asks which version it was, and gets that one, also where it goes on")
    func read() async throws {
        let transport = ScriptedTransport { request, number in
            if request.path == "/box" || request.path == "/box/" {
                return Self.list(
                    Self.version("x", "v3", second: 20) + Self.version("x", "v2", second: 10)
                        + Self.version("x", "v1", second: 5) + Self.version("x.copy", "c", second: 1))
            }
            guard request.value("versionId") == "v2" else { return .text(404, "") }
            if number == 2 { return .cut(206, ["Content-Range": "bytes 1-2/3", "ETag": "\"e\""], [98, 99], after: 1) }
            return .answer(206, ["Content-Range": "bytes 2-2/3", "ETag": "\"e\""], [99])
        }
        let reader = try await store(transport).read("x", range: 1..<3)
        #expect(try await text(reader) == "bc")
        #expect(transport.seen.map { $0.headers["Range"] } == [nil, "bytes=1-2", "bytes=2-2"])
        #expect(transport.seen[0].value("versions") == "" && transport.seen[0].value("prefix") == "repo/x")
        #expect(transport.seen[2].headers["If-Match"] == "\"e\"")
    }

    @Test("pages go on behind key and version, and no further than they must")
    func pages() async throws {
        // 1500 versions of an info file, of which the 600th is wanted, and none of what comes before it.
        let transport = ScriptedTransport { request, _ in
            switch (request.value("key-marker"), request.value("version-id-marker")) {
            case (nil, nil): Self.list(Self.version("x", "v9", second: 59), next: ("repo/x", "v9"))
            case ("repo/x", "v9"):
                Self.list(
                    Self.version("x", "v8", second: 40) + Self.version("x", "v7", second: 9, size: 70),
                    next: ("repo/x", "v7"))
            default: .text(500, "not wanted")
            }
        }
        #expect(try await store(transport).info("x")?.size == 70)
        #expect(transport.seen.count == 2)
    }

    @Test("a list of several pages, by name, of what was there")
    func list() async throws {
        let transport = ScriptedTransport { request, number in
            switch request.value("key-marker") {
            case nil:
                Self.list(
                    Self.version("d/a", "1", second: 1) + Self.version("d/b", "2", second: 9, deleted: true),
                    next: ("repo/d/b", "2"))
            case "repo/d/b":
                Self.list(
                    Self.version("d/b", "3", second: 5) + Self.version("d/c", "4", second: 59)
                        + "<CommonPrefixes><Prefix>repo/d/s/</Prefix></CommonPrefixes>", next: ("repo/d/s/", ""))
            default: Self.list(Self.version("d/z", "5", second: 8))
            }
        }
        let store = try store(transport)
        var entries: [ObjectInfo] = []
        var token: String?
        repeat {
            let page = try await store.list("d", prefix: "", from: token)
            entries += page.entries
            token = page.next
        } while token != nil
        #expect(entries.map(\.name) == ["a", "s", "z"])
        #expect(entries.map(\.modified) == [1_767_323_041, 0, 1_767_323_048])
        #expect(transport.seen.map { $0.value("version-id-marker") } == [nil, "2", nil])
        #expect(transport.seen.allSatisfy { $0.value("delimiter") == "/" && $0.value("max-keys") == nil })
    }

    @Test("what was not there is missing, whatever lies beside it")
    func absent() async throws {
        for content in [
            "", Self.version("x", "1", second: 59), Self.version("x", "1", second: 5, deleted: true),
            Self.version("x.copy", "1", second: 5), "<CommonPrefixes><Prefix>repo/x/</Prefix></CommonPrefixes>",
        ] {
            let transport = ScriptedTransport { request, _ in
                // Nothing lies below it, either.
                request.value("prefix") == "repo/x" ? Self.list(content) : Self.list("")
            }
            let store = try store(transport)
            let error = await #expect(throws: StorageError.self) { try await store.read("x", range: nil) }
            #expect(error?.isMissing == true && error?.error.message.contains("'repo/x' in bucket 'box'") == true)
            #expect(try await store.info("x") == nil)
        }
    }

    @Test("the permissions that are missing are named")
    func permissions() async throws {
        let denied = ScriptedTransport.Reply.text(403, "<Error><Code>AccessDenied</Code></Error>")
        let none = ScriptedTransport { _, _ in denied }
        var error = await #expect(throws: StorageError.self) { try await store(none).list("", prefix: "", from: nil) }
        #expect(error?.error.hint == "the key needs the permission s3:ListBucketVersions on arn:aws:s3:::box")
        let noVersions = ScriptedTransport { request, _ in
            request.value("versions") == nil ? denied : Self.list(Self.version("x", "1", second: 5))
        }
        error = await #expect(throws: StorageError.self) { try await store(noVersions).read("x", range: nil) }
        #expect(error?.error.hint == "the key needs the permission s3:GetObjectVersion on arn:aws:s3:::box/*")
    }

    @Test("nothing is written or deleted")
    func refusals() async throws {
        let transport = ScriptedTransport { _, _ in .text(500, "") }
        let store = try store(transport)
        for (words, call) in [
            ("write 'repo/x'", { _ = try await store.write("x", .atomic) }),
            ("delete 'repo/x'", { try await store.delete(["x"]) }),
            ("delete all in 'repo/x'", { try await store.deleteTree("x") }),
            ("create directory 'repo/x'", { try await store.makeDirectory("x") }),
            ("sync 'repo/x'", { try await store.syncAll(under: "x") }),
            ("link 'repo/x'", { try await store.link("x", to: "y") }),
        ] as [(String, () async throws -> Void)] {
            let error = await #expect(throws: StorageError.self) { try await call() }
            #expect(error?.error.message.hasPrefix("unable to \(words) in bucket 'box'") == true, "\(words)")
            #expect(error?.error.message.contains("read as it was") == true && error?.isRetryable == false)
        }
        try await store.delete([])
        #expect(transport.seen.isEmpty && store.capabilities == [])
    }
}
