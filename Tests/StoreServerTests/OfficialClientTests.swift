import BackupModel
import Foundation
import HTTP
import ObjectStorage
import RepositoryStorage
import TestSupport
import Testing

/// Microsoft's and Google's own clients, and rclone: they sign as we do, and they accept the servers that judge us.
@Suite(.timeLimit(.minutes(10)))
struct OfficialClientTests {
    private func clients(_ arguments: [String], stdin: String = "") async throws -> ProcessResult {
        try await ProcessRunner.run(
            try ObjectServer.program("python3"), [BucketServers.clients] + arguments, stdin: stdin
        ).expecting(0)
    }

    @Test("azure-storage-blob takes our server for Azure")
    func azureServer() async throws {
        let server = try ObjectServer.azure(versions: true, container: "other")
        _ = try await clients(
            ["azure", "\(server.endpoint)/\(ObjectServer.azureAccount)", ObjectServer.azureKey, "box"])
        try await rclone(
            [
                "--azureblob-endpoint", "\(server.endpoint)/\(ObjectServer.azureAccount)", "--azureblob-account",
                ObjectServer.azureAccount, "--azureblob-key", ObjectServer.azureKey, "--azureblob-chunk-size", "4Mi",
                "--azureblob-upload-cutoff", "4Mi",
            ], ":azureblob:box/some/where")
    }

    @Test("google-cloud-storage takes our server for Google's")
    func gcsServer() async throws {
        let server = try ObjectServer.gcs(versions: true, bucket: "box")
        _ = try await clients(["gcs", server.endpoint, server.accountFile, "box"])
        try await rclone(
            [
                "--gcs-endpoint", "\(server.endpoint)/storage/v1/", "--gcs-service-account-file", server.accountFile,
                "--gcs-bucket-policy-only", "--gcs-no-check-bucket",
            ], ":gcs:box/some/where")
    }

    private func rclone(_ options: [String], _ place: String) async throws {
        let directory = try TemporaryDirectory()
        let local = "\(directory.path)/local"
        try FileManager.default.createDirectory(atPath: "\(local)/deeper/down", withIntermediateDirectories: true)
        for (name, size) in [("small", 10), ("deeper/large", 9_000_000), ("deeper/down/empty", 0)] {
            let content = Data((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) })
            try content.write(to: URL(filePath: "\(local)/\(name)"))
        }
        let program = try ObjectServer.program("rclone")
        let common = ["--config", "/dev/null", "--retries", "1"] + options
        try await ProcessRunner.run(program, common + ["sync", local, place]).expecting(0)
        try await ProcessRunner.run(program, common + ["check", "--download", local, place]).expecting(0)
        try await ProcessRunner.run(program, common + ["purge", place]).expecting(0)
        #expect(try await ProcessRunner.run(program, common + ["lsf", "-R", place]).stdout.isEmpty)
    }

    struct AzureCase: Encodable {
        var account: String
        var key: String
        var method: String
        var url: String
        var query: [[String]]
        var headers: [[String]]
        var body: String
    }

    @Test("SharedKey: what azure-storage-blob signs for the same requests")
    func sharedKey() async throws {
        var requests: [HTTPRequest] = []
        var options = AzureOptions(account: "account", container: "box")
        options.endpoint = HTTPOrigin(isSecure: false, host: "127.0.0.1", port: 10000)
        options.tags = [("project", "a b&c"), ("x", "ü")]
        for style in [AzureOptions.AddressStyle.host, .path] {
            options.style = style
            let make = AzureRequests(options)
            for key in ["a", "a/b c", "ünï/日本語", "new\nline+&=?%20", "~-._/x"] {
                requests += [
                    make.head(key), make.get(key, tag: nil), make.get(key, tag: "\"0x1\""), make.delete(key),
                    make.put(key, [], isCreate: false), make.put(key, Array("the body".utf8), isCreate: true),
                    make.putBlock(key, id: "AAAAx+/=", Array("a block".utf8)),
                    make.putBlockList(key, ids: ["AAAA", "BBBB"], isCreate: true), make.blockList(key),
                    make.list(key, isDelimited: true, from: "2!/marker=", limit: 7),
                    make.list(key, isDelimited: false, from: nil, limit: nil),
                ]
                var ranged = make.get(key, tag: nil)
                ranged.headers["x-ms-range"] = "bytes=5-9"
                requests.append(ranged)
            }
        }
        let signature = try SharedKeySignature(account: "account", key: Secret(ObjectServer.azureKey))
        var cases: [AzureCase] = []
        var ours: [String] = []
        for (number, request) in requests.enumerated() {
            var signed = request
            signature.authorize(&signed, at: 1_700_000_000 + Int64(number) * 86_399)
            ours.append(try #require(signed.headers["Authorization"]))
            signed.headers["Authorization"] = nil
            let query = request.query.isEmpty ? "" : "?" + PercentEncoding.query(request.query)
            cases.append(
                AzureCase(
                    account: "account", key: ObjectServer.azureKey, method: request.method,
                    url: "http://\(request.origin.authority)\(request.path)\(query)",
                    query: request.query.map { [$0.name, PercentEncoding.encode($0.value)] },
                    headers: signed.headers.fields.map { [$0.name, $0.value] },
                    body: String(decoding: request.body, as: UTF8.self)))
        }
        let result = try await clients(
            ["sign-azure"], stdin: String(decoding: try JSONEncoder().encode(cases), as: UTF8.self))
        let theirs = try JSONDecoder().decode([String].self, from: Data(result.output))
        #expect(theirs.count == ours.count && ours.count == 120)
        for (index, (one, other)) in zip(ours, theirs).enumerated() {
            #expect(one == other, "\(cases[index].method) \(cases[index].url)")
        }
    }

    @Test("JWT: google-auth signs the same claims alike")
    func assertion() async throws {
        let file = try BucketServers.gcs.get().accountFile
        let account = try ServiceAccountKey(try LocalFile.readAll(file), file: file)
        let parts = try account.assertion(at: 1_700_000_000).revealed.split(separator: ".").map(String.init)
        #expect(parts.count == 3)
        let header = try decoded(parts[0])
        #expect(header as? [String: String] == ["alg": "RS256", "typ": "JWT", "kid": "the-key-id"])
        let claims = try #require(try decoded(parts[1]) as? [String: any Sendable])
        #expect(claims["iss"] as? String == "backup@permafrost.iam.gserviceaccount.com")
        #expect(claims["aud"] as? String == account.tokenAddress)
        #expect(claims["scope"] as? String == "https://www.googleapis.com/auth/devstorage.read_write")
        #expect(claims["iat"] as? Int == 1_700_000_000 && claims["exp"] as? Int == 1_700_003_600)
        let question = try JSONEncoder().encode(["key_file": file, "message": "\(parts[0]).\(parts[1])"])
        let theirs = try await clients(["sign-google"], stdin: String(decoding: question, as: UTF8.self)).stdout
        #expect(Base64.decode(theirs) == Base64.decode(plain(parts[2])))
    }

    private func plain(_ text: String) -> String {
        text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
    }

    private func decoded(_ text: String) throws -> Any {
        try JSONSerialization.jsonObject(with: Data(try #require(Base64.decode(plain(text)))))
    }
}

/// A server that knows Google's protocol in part: empty objects, pages and conditions are not in it.
@Suite(.timeLimit(.minutes(10)))
struct GCSEmulatorTests {
    @Test("gcp-storage-emulator: write, read, list, delete; no creation only if absent")
    func all() async throws {
        let server = try ObjectServer.gcpEmulator(bucket: BucketServers.bucket)
        let store = try BucketServers.gcsStore(server, "some/where", BearerAuthorizer(token: Secret("any")))
        let large = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        try await store.put("d/large", large)
        try await store.put("d/small é+ b", "content")
        try await store.put("d/e/f", "1")
        #expect(try await store.get("d/large") == large)
        #expect(try await store.get("d/large", 1_000_000..<2_000_000) == Array(large[1_000_000..<2_000_000]))
        #expect(try await store.text("d/small é+ b") == "content")
        #expect(try await store.names("d") == ["e", "large", "small é+ b"])
        #expect(try await store.info("d/large")?.size == 3_000_000)
        #expect(try await store.info("d/none") == nil)
        #expect(try await storageError { _ = try await store.get("d/none") }?.isMissing == true)
        #expect(store.capabilities.contains(.createIfAbsent))
        let error = try await storageError { try await store.put("lock", "one", .create) }
        #expect(error?.error.code == .featureNotSupported && store.capabilities == [], "\(String(describing: error))")
        #expect(try await store.names("") == ["d"])
        try await store.deleteTree("d")
        #expect(try await store.names("") == [])
    }
}
