import BackupModel
import Foundation
import HTTP
import ObjectStorage
import TestSupport
import Testing

/// The same requests, signed by botocore: AWS's own client.
struct BotocoreSignatureTests {
    struct Case: Encodable {
        var method: String
        var url: String
        var headers: [[String]]
        var body: String
        var service: String
        var region: String
        var key: String
        var secret: String
        var token: String?
        var time: Int64
    }

    @Test func same() async throws {
        var requests: [HTTPRequest] = []
        let origins = [
            HTTPOrigin(host: "bucket.s3.eu-central-1.amazonaws.com"),
            HTTPOrigin(isSecure: false, host: "127.0.0.1", port: 9000),
        ]
        let paths = ["/", "/a/b", "/odd dir=é/per%20cent", "/日本語/\n\t", "/~-._/+&=", "/a//b/../c"]
        let queries: [[(name: String, value: String)]] = [
            [], [("location", "")],
            [("list-type", "2"), ("prefix", "a b/ü"), ("delimiter", "/"), ("encoding-type", "url")],
            [("uploadId", "x+/="), ("partNumber", "1")],
        ]
        for origin in origins {
            for path in paths {
                for query in queries {
                    for method in ["GET", "PUT"] {
                        var request = HTTPRequest(
                            method, origin, path: PercentEncoding.encode(path, keepingSlashes: true))
                        request.query = query
                        request.headers["Range"] = "bytes=0-9"
                        request.headers["x-amz-tagging"] = "a=b%20c&d=e"
                        if method == "PUT" { request.body = Array("the body of \(path)".utf8) }
                        requests.append(request)
                    }
                }
            }
        }
        var cases: [Case] = []
        var expected: [String] = []
        for (number, request) in requests.enumerated() {
            let token = number % 2 == 0 ? nil : "session/token+\(number)"
            let time = 1_700_000_000 + Int64(number) * 86_399
            let query = request.query.isEmpty ? "" : "?" + PercentEncoding.query(request.query)
            cases.append(
                Case(
                    method: request.method,
                    url:
                        "\(request.origin.isSecure ? "https" : "http")://\(request.origin.authority)\(request.path)\(query)",
                    headers: request.headers.fields.map { [$0.name, $0.value] },
                    body: String(decoding: request.body, as: UTF8.self), service: "s3", region: "eu-central-1",
                    key: "AKID\(number)", secret: "secret/\(number)", token: token, time: time))
            var signed = request
            SignatureV4(
                AWSCredentials(
                    accessKey: "AKID\(number)", secretKey: Secret("secret/\(number)"),
                    sessionToken: token.map { Secret($0) }),
                region: "eu-central-1", service: "s3"
            ).sign(&signed, at: time)
            expected.append(try #require(signed.headers["Authorization"]))
        }
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "sign.py").path
        let result = try await ProcessRunner.run(
            try ObjectServer.program("python3"), [script],
            stdin: String(decoding: try JSONEncoder().encode(cases), as: UTF8.self)
        ).expecting(0)
        let theirs = try JSONDecoder().decode([String].self, from: Data(result.output))
        #expect(theirs.count == expected.count)
        for (index, (one, other)) in zip(theirs, expected).enumerated() {
            #expect(one == other, "\(cases[index].method) \(cases[index].url)")
        }
    }
}
