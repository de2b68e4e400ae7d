import BackupModel
import Foundation
import HTTP
import ObjectStorage
import RepositoryStorage
import Synchronization
import Testing

/// Where credentials come from, against a small local server that plays AWS.
@Suite(.timeLimit(.minutes(10)))
struct CredentialTests {
    static let expiry = "2033-05-18T03:33:20Z"
    static func json(_ key: String) -> String {
        "{\"Code\":\"Success\",\"AccessKeyId\":\"\(key)\",\"SecretAccessKey\":\"S-\(key)\",\"Token\":\"T-\(key)\","
            + "\"Expiration\":\"\(expiry)\"}"
    }

    private func fetcher(
        _ server: LocalServer?, _ environment: [String: String], patience: Duration = .seconds(20)
    ) throws -> AWSCredentialFetcher {
        var environment = environment
        if let server {
            for name in ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS"] where environment[name] == nil {
                environment[name] = "http://127.0.0.1:\(server.port)"
            }
        }
        let retry = RequestRetry(
            limit: patience, counters: RequestCounters(),
            wait: RetryPolicy(shortest: .milliseconds(1), longest: .milliseconds(5)))
        return AWSCredentialFetcher(
            try NetworkTransport(TransportOptions()), retry, environment: environment, now: { 1_700_000_000 })
    }

    private func temporary(_ text: String) throws -> String {
        let path = NSTemporaryDirectory() + "permafrost-credentials-" + UUID().uuidString
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    private func instanceServer() throws -> LocalServer {
        try LocalServer { request in
            switch (request.method, request.path) {
            case ("PUT", "/latest/api/token"):
                return request.headers["x-aws-ec2-metadata-token-ttl-seconds"] == nil
                    ? .answer(400) : request.number == 1 ? .answer(503) : .text(200, "the-token")
            case ("GET", let path) where request.headers["x-aws-ec2-metadata-token"] == "the-token":
                let directory = "/latest/meta-data/iam/security-credentials/"
                if path == directory { return .text(200, "instance-role\n") }
                return path == directory + "instance-role" || path == directory + "other"
                    ? .text(200, Self.json(path.hasSuffix("other") ? "OTHER" : "INSTANCE")) : .answer(404)
            default: return .answer(401)
            }
        }
    }

    @Test func instance() async throws {
        let server = try instanceServer()
        let entry = try await fetcher(server, [:]).chain()
        #expect(entry.credential.accessKey == "INSTANCE" && entry.credential.secretKey.revealed == "S-INSTANCE")
        #expect(entry.credential.sessionToken?.revealed == "T-INSTANCE" && entry.expires == 2_000_000_000)
        #expect(try await fetcher(server, [:]).instance(role: "other").credential.accessKey == "OTHER")
        let failure = await #expect(throws: ServiceFailure.self) {
            try await fetcher(server, [:]).instance(role: "none")
        }
        #expect(failure?.isRetryable == false && failure?.message.contains("metadata of the instance") == true)
    }

    @Test func instanceVersion1() async throws {
        let server = try LocalServer { request in
            request.method == "PUT" ? .answer(404) : .text(200, request.path.hasSuffix("/r") ? Self.json("V1") : "r")
        }
        #expect(try await fetcher(server, [:]).instance(role: nil).credential.accessKey == "V1")
    }

    @Test func container() async throws {
        let server = try LocalServer { request in
            request.headers["authorization"] == "tok" && request.target == "/v1/credentials?a=b"
                ? .text(200, Self.json("POD")) : .text(403, "no")
        }
        let file = try temporary("tok\n")
        let variables = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:\(server.port)/v1/credentials?a=b",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file,
        ]
        #expect(try await fetcher(server, variables).container().credential.accessKey == "POD")
        #expect(try await fetcher(server, variables).chain().credential.accessKey == "POD")
        await #expect(throws: BackupError.self) { try await fetcher(server, [:]).container() }
        let failure = await #expect(throws: ServiceFailure.self) {
            try await fetcher(server, ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:\(server.port)/x"])
                .container()
        }
        #expect(failure?.kind == .denied)
    }

    static func sts(_ action: String, _ key: String) -> String {
        """
        <\(action)Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><\(action)Result><Credentials>
        <AccessKeyId>\(key)</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T&amp;</SessionToken>
        <Expiration>\(expiry)</Expiration></Credentials></\(action)Result></\(action)Response>
        """
    }

    @Test func webIdentity() async throws {
        let server = try LocalServer { request in
            let body = String(decoding: request.body, as: UTF8.self)
            return body.contains("WebIdentityToken=jwt.a.b")
                && body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr")
                && request.headers["authorization"] == nil
                ? .text(200, Self.sts("AssumeRoleWithWebIdentity", "WEB"))
                : .text(
                    400,
                    "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>bad</Message></Error></ErrorResponse>"
                )
        }
        let file = try temporary("jwt.a.b\n")
        let variables = ["AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": file]
        let entry = try await fetcher(server, variables).chain()
        #expect(entry.credential.accessKey == "WEB" && entry.credential.sessionToken?.revealed == "T&")
        let failure = await #expect(throws: ServiceFailure.self) {
            try await fetcher(server, [:]).webIdentity(
                .init("another"), tokenFile: file, service: "http://127.0.0.1:\(server.port)")
        }
        #expect(failure?.code == "InvalidIdentityToken" && failure?.isRetryable == false)
    }

    @Test func files() async throws {
        let server = try LocalServer { request in
            let body = String(decoding: request.body, as: UTF8.self)
            guard request.headers["authorization"]?.contains("Credential=BASE/") == true else { return .answer(403) }
            return body.contains("ExternalId=x1") && body.contains("RoleSessionName=me")
                ? .text(200, Self.sts("AssumeRole", "ROLE")) : .answer(400)
        }
        let credentials = try temporary(
            """
            # comment
            [default]
            aws_access_key_id = DEFAULT
            aws_secret_access_key=s = with equals
            [base]
            aws_access_key_id = BASE
            aws_secret_access_key = s
            aws_session_token = t
            """)
        let config = try temporary(
            """
            [default]
            region = eu-central-1
            s3 =
                addressing_style = path
            [profile role]
            role_arn = arn:aws:iam::1:role/r
            source_profile = base
            external_id = x1
            role_session_name = me
            [profile program]
            credential_process = /bin/sh -c 'printf "%s" "$DOCUMENT"'
            [profile circle]
            role_arn = a
            source_profile = circle2
            [profile circle2]
            role_arn = b
            source_profile = circle
            """)
        let variables = [
            "AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": config, "PATH": "/usr/bin:/bin",
            "DOCUMENT": "{\"Version\":1,\"AccessKeyId\":\"PROGRAM\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t2\"}",
        ]
        func chain(_ profile: String?) async throws -> AWSCredentials {
            try await fetcher(server, variables.merging(profile.map { ["AWS_PROFILE": $0] } ?? [:]) { $1 }).chain()
                .credential
        }
        #expect(try await chain(nil).accessKey == "DEFAULT")
        #expect(try await chain(nil).secretKey.revealed == "s = with equals")
        #expect(try await chain("base").sessionToken?.revealed == "t")
        #expect(try await chain("role").accessKey == "ROLE")
        let program = try await chain("program")
        #expect(program.accessKey == "PROGRAM" && program.sessionToken?.revealed == "t2")
        await #expect(throws: BackupError.self) { try await chain("circle") }
        await #expect(throws: BackupError.self) { try await chain("absent") }
        #expect(AWSCredentialFetcher.region(variables) == "eu-central-1")
        #expect(AWSCredentialFetcher.region(variables.merging(["AWS_REGION": "r"]) { $1 }) == "r")
        #expect(AWSCredentialFetcher.region([:]) == nil)
        let environment = ["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"]
        #expect(try await fetcher(server, variables.merging(environment) { $1 }).chain().credential.accessKey == "ENV")
    }

    @Test(
        arguments: [
            (["/bin/false"], "exit code 1"), (["/nonexistent/program"], "No such file"),
            (["/bin/sh", "-c", "echo nothing"], "no JSON"), (["/bin/sh", "-c", "yes"], "printed too much"),
            (["/bin/sleep", "20"], "took too long"),
            (["/bin/sh", "-c", "echo '{\"AccessKeyId\":\"A\"}'"], "SecretAccessKey is missing"),
            ([], "no program"),
        ] as [([String], String)])
    func badPrograms(_ command: [String], _ words: String) async throws {
        let error = await #expect(throws: BackupError.self) {
            try await fetcher(nil, ["PATH": "/usr/bin:/bin"], patience: .seconds(3)).process(command)
        }
        #expect(error?.message.contains(words) == true, "\(String(describing: error))")
    }

    @Test("credentials are fetched once, again before they run out, and when they are refused")
    func renewed() async throws {
        let now = Mutex<Int64>(1000)
        let fetches = Atomic<Int>(0)
        let source = RenewedAWSCredentials(now: { now.withLock { $0 } }) {
            let count = fetches.add(1, ordering: .relaxed).newValue
            try await Task.sleep(for: .milliseconds(20))
            if count == 3 { throw BackupError(.access, "not now") }
            return .init(AWSCredentials(accessKey: "K\(count)", secretKey: Secret("s")), expires: 2000 * Int64(count))
        }
        let keys = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<10 { group.addTask { try await source.current().accessKey } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(keys == ["K1"])
        now.withLock { $0 = 1699 }
        #expect(try await source.current().accessKey == "K1")
        now.withLock { $0 = 1701 }
        #expect(try await source.current().accessKey == "K2")
        now.withLock { $0 = 3800 }
        // The third attempt fails, and what is there still counts for some minutes.
        #expect(try await source.current().accessKey == "K2")
        #expect(await source.expire())
        #expect(try await source.current().accessKey == "K4")
    }
}
