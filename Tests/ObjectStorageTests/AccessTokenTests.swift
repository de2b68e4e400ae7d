import BackupModel
import Foundation
import HTTP
import ObjectStorage
import RepositoryStorage
import Synchronization
import Testing

/// Where Google's and Microsoft's tokens come from.
@Suite(.timeLimit(.minutes(10)))
struct AccessTokenTests {
    private func tokens(_ transport: ScriptedTransport, _ environment: [String: String] = [:]) -> AccessTokens {
        let retry = RequestRetry(
            limit: .milliseconds(300), counters: RequestCounters(),
            wait: RetryPolicy(shortest: .milliseconds(1), longest: .milliseconds(2)))
        return AccessTokens(transport, retry, environment: environment, now: { 1_700_000_000 })
    }

    private static let good = ScriptedTransport.Reply.text(
        200, "{\"access_token\":\"the-token\",\"expires_in\":3599,\"token_type\":\"Bearer\"}")

    private func temporary(_ text: String) throws -> String {
        let path = NSTemporaryDirectory() + "permafrost-token-" + UUID().uuidString
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    @Test("Google's metadata service, after a moment of silence")
    func googleMetadata() async throws {
        let transport = ScriptedTransport { _, number in number == 1 ? .failure(.timeout) : Self.good }
        let entry = try await tokens(transport).googleMetadata()
        #expect(entry.credential.revealed == "the-token" && entry.expires == 1_700_003_599)
        let request = transport.seen[1]
        #expect(request.origin == HTTPOrigin(isSecure: false, host: "metadata.google.internal"))
        #expect(request.path == "/computeMetadata/v1/instance/service-accounts/default/token")
        #expect(request.headers["Metadata-Flavor"] == "Google")
        #expect(!"\(entry)".contains("the-token"))
        let elsewhere = ScriptedTransport { _, _ in Self.good }
        _ = try await tokens(elsewhere, ["GCE_METADATA_HOST": "127.0.0.1:8080"]).googleMetadata()
        #expect(elsewhere.seen[0].origin == HTTPOrigin(isSecure: false, host: "127.0.0.1", port: 8080))
    }

    @Test("a refusal is said in the service's words, and asked once")
    func refused() async throws {
        let transport = ScriptedTransport { _, _ in
            .text(
                400,
                "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS700213: No match.\\r\\nTrace ID: x\"}")
        }
        let failure = await #expect(throws: ServiceFailure.self) { try await tokens(transport).azure() }
        #expect(failure?.code == "invalid_client" && failure?.message.hasSuffix("AADSTS700213: No match.") == true)
        #expect(failure?.isRetryable == false && transport.seen.count == 1)
        #expect(failure?.hint?.contains("repo-azure-key-type=auto") == true)
        for text in ["", "[]", "{\"access_token\":\"\"}", "{\"access_token\":\"x\"}", "{\"expires_in\":5}", "<html>"] {
            await #expect(throws: ServiceFailure.self) {
                try await tokens(ScriptedTransport { _, _ in .text(200, text) }).googleMetadata()
            }
        }
    }

    @Test("Azure: the machine's identity, App Service, workload identity")
    func azure() async throws {
        let machine = ScriptedTransport { _, _ in Self.good }
        #expect(try await tokens(machine, ["AZURE_CLIENT_ID": "me"]).azure().credential.revealed == "the-token")
        var request = machine.seen[0]
        #expect(request.origin == HTTPOrigin(isSecure: false, host: "169.254.169.254"))
        #expect(request.path == "/metadata/identity/oauth2/token" && request.headers["Metadata"] == "true")
        #expect(request.value("resource") == "https://storage.azure.com/" && request.value("client_id") == "me")

        let service = ScriptedTransport { _, _ in
            .text(200, "{\"access_token\":\"of the service\",\"expires_on\":\"1700009999\"}")
        }
        let endpoint = ["IDENTITY_ENDPOINT": "http://127.0.0.1:41/msi/token", "IDENTITY_HEADER": "secret header"]
        #expect(try await tokens(service, endpoint).azure().expires == 1_700_009_999)
        #expect(service.seen[0].path == "/msi/token" && service.seen[0].headers["X-IDENTITY-HEADER"] == "secret header")

        let file = try temporary("federated token\n")
        defer { try? FileManager.default.removeItem(atPath: file) }
        let workload = ScriptedTransport { _, _ in Self.good }
        let environment = [
            "AZURE_FEDERATED_TOKEN_FILE": file, "AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant",
            "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.us/",
        ]
        _ = try await tokens(workload, environment).azure()
        request = workload.seen[0]
        #expect(request.origin.host == "login.microsoftonline.us" && request.path == "/tenant/oauth2/v2.0/token")
        let form = String(decoding: request.body, as: UTF8.self)
        #expect(form.contains("client_assertion=federated%20token&grant_type=client_credentials"), "\(form)")
        #expect(form.contains("scope=https%3A%2F%2Fstorage.azure.com%2F.default"))
    }

    @Test("key files of Google's that are none")
    func keyFiles() throws {
        let pem = "-----BEGIN PRIVATE KEY-----\\nMIIB\\n-----END PRIVATE KEY-----\\n"
        for (text, words) in [
            ("", "it is no JSON object"), ("{}", "client_email or private_key is missing"),
            ("{\"type\":\"authorized_user\"}", "of type 'authorized_user'"),
            ("{\"type\":\"service_account\",\"client_email\":\"a@b\"}", "client_email or private_key is missing"),
        ] {
            let error = #expect(throws: BackupError.self) { try ServiceAccountKey(Array(text.utf8), file: "/k") }
            #expect(error?.message.contains("'/k'") == true && error?.message.contains(words) == true)
        }
        for key in [pem, "none", ""] {
            let text = "{\"client_email\":\"a@b\",\"private_key\":\"\(key)\"}"
            let account = try ServiceAccountKey(Array(text.utf8), file: "/k")
            let error = #expect(throws: BackupError.self) { try account.assertion(at: 0) }
            #expect(error?.message.contains("'a@b'") == true && error?.message.contains("MIIB") == false)
            #expect(!"\(account)".contains("MIIB"))
        }
    }

    @Test("a token is asked for once by many, and anew before it runs out")
    func renewed() async throws {
        let time = Mutex<Int64>(1_700_000_000)
        let transport = ScriptedTransport { _, number in
            .text(200, "{\"access_token\":\"t\(number)\",\"expires_in\":3600}")
        }
        let tokens = AccessTokens(
            transport, RequestRetry(limit: .seconds(1), counters: RequestCounters()), environment: [:],
            now: { time.withLock { $0 } })
        let authorizer = BearerAuthorizer(now: { time.withLock { $0 } }) { try await tokens.googleMetadata() }
        @Sendable func shown() async throws -> String? {
            var request = HTTPRequest("GET", HTTPOrigin(host: "x"), path: "/")
            try await authorizer.authorize(&request, at: 0)
            return request.headers["Authorization"]
        }
        try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<20 { group.addTask { try await shown() } }
            for try await token in group { #expect(token == "Bearer t1") }
        }
        for (seconds, token) in [(3000, "t1"), (3299, "t1"), (3301, "t2"), (6000, "t2")] as [(Int64, String)] {
            time.withLock { $0 = 1_700_000_000 + seconds }
            #expect(try await shown() == "Bearer \(token)", "\(seconds)")
        }
    }
}

struct ServiceJSONTests {
    @Test func values() throws {
        let text =
            " {\"a\" : [1, -2.5e3, \"x\\n\\u00e9\\ud83d\\ude00\", true, false, null, {}, []] , \"b\":{\"c\":\"d\"}} \n"
        let json = try #require(ServiceJSON(Array(text.utf8)))
        #expect(
            json["a"]?.elements == [
                .number("1"), .number("-2.5e3"), .text("x\né😀"), .bool(true), .bool(false), .null, .object([:]),
                .array([]),
            ])
        #expect(json["b"]?["c"]?.string == "d" && json["b"]?["x"] == nil && json["a"]?["c"] == nil)
        #expect(ServiceJSON(Array("\(json)".utf8)) == json)
        #expect(
            "\(json)" == "{\"a\":[1,-2.5e3,\"x\\u000aé😀\",true,false,null,{},[]],\"b\":{\"c\":\"d\"}}")
        #expect(ServiceJSON(Array(ServiceJSON.quoted("a\"\\\n\u{1}é").utf8)) == .text("a\"\\\n\u{1}é"))
    }

    @Test(
        arguments: [
            "", "{", "[1", "[1,]", "{\"a\":}", "{\"a\" 1}", "{a:1}", "[1 2]", "1 2", "tru", "\"", "\"\\x\"",
            "\"\\ud800\"",
            "\"\\u+123\"", "nul", "+1", "e5",
            String(repeating: "[", count: 40) + String(repeating: "]", count: 40),
        ])
    func malformed(_ text: String) {
        #expect(ServiceJSON(Array(text.utf8)) == nil, "\(text)")
    }
}
