import BackupModel
import HTTP
import ObjectStorage
import Testing

struct S3AddressTests {
    @Test(
        arguments: [
            ("s3.example.com", nil, "https s3.example.com 443"), ("s3.example.com", 9000, "https s3.example.com 9000"),
            ("s3.example.com:81", 9000, "https s3.example.com 81"), ("http://h", nil, "http h 80"),
            ("https://h:9/", nil, "https h 9"), ("[::1]:9", nil, "https ::1 9"), ("http://[::1]", 8, "http ::1 8"),
            ("::1", nil, "https ::1 443"), ("ftp://h", nil, nil), ("h:0", nil, nil), ("h:x", nil, nil), ("", nil, nil),
            ("h/path", nil, nil), ("a@b", nil, nil),
        ] as [(String, Int?, String?)])
    func endpoints(_ text: String, _ port: Int?, _ expected: String?) {
        let origin = (try? S3Endpoint(text, port: port))?.origin
        #expect(origin.map { "\($0.isSecure ? "https" : "http") \($0.host) \($0.port)" } == expected)
    }

    @Test func addresses() throws {
        var options = S3Options(bucket: "bucket")
        options.root = "repo"
        var request = S3Address(options, region: "eu-west-1").request("GET", key: "repo/a b")
        #expect(request.origin.authority == "bucket.s3.eu-west-1.amazonaws.com" && request.path == "/repo/a%20b")
        request = S3Address(options, region: "cn-north-1").request("GET", key: nil)
        #expect(request.origin.authority == "bucket.s3.cn-north-1.amazonaws.com.cn" && request.path == "/")
        options.style = .path
        request = S3Address(options, region: "eu-west-1").request("GET", key: nil)
        #expect(request.origin.authority == "s3.eu-west-1.amazonaws.com" && request.path == "/bucket")
        options.style = .host
        options.bucket = "dotted.bucket"
        request = S3Address(options, region: "eu-west-1").request("GET", key: "x")
        #expect(request.origin.authority == "s3.eu-west-1.amazonaws.com" && request.path == "/dotted.bucket/x")
        options.endpoint = try S3Endpoint("storage.example.com:9000", port: nil)
        options.connectTo = HTTPOrigin(host: "127.0.0.1", port: 9001)
        options.requesterPays = true
        request = S3Address(options, region: "r").request("GET", key: "x")
        #expect(request.origin.authority == "127.0.0.1:9001")
        #expect(request.headers["host"] == "dotted.bucket.storage.example.com:9000")
        #expect(request.headers["x-amz-request-payer"] == "requester")
    }

    @Test(arguments: [("repo", "repo", "repo/a/b", "repo/"), ("", "", "a/b", "")])
    func keys(root: String, ofRoot: String, key: String, prefix: String) {
        let place = BucketPlace(
            name: "", description: "", root: root, partSize: 1, partsInFlight: 1, readsInFlight: 1)
        #expect(place.key("") == ofRoot && place.key("a/b") == key && place.prefix("") == prefix)
        #expect(place.prefix("a/b") == key + "/")
    }
}
