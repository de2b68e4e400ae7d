import BackupModel
import HTTP
import ObjectStorage
import Testing

/// AWS's own examples: "Signature Calculations for the Authorization Header" of the S3 API reference, and the
/// published test suite of Signature Version 4.
struct SignatureTests {
    struct Vector: CustomTestStringConvertible {
        var name: String
        var request: HTTPRequest
        var time: Int64
        var service: String
        var signedHeaders: String
        var signature: String
        var testDescription: String { name }
    }

    static let vectors: [Vector] = {
        let bucket = HTTPOrigin(host: "examplebucket.s3.amazonaws.com")
        let noon: Int64 = 1_369_353_600
        var get = HTTPRequest("GET", bucket, path: "/test.txt")
        get.headers["Range"] = "bytes=0-9"
        var put = HTTPRequest("PUT", bucket, path: "/test%24file.text")
        put.headers["Date"] = "Fri, 24 May 2013 00:00:00 GMT"
        put.headers["x-amz-storage-class"] = "REDUCED_REDUNDANCY"
        put.body = Array("Welcome to Amazon S3.".utf8)
        var lifecycle = HTTPRequest("GET", bucket, path: "/")
        lifecycle.query = [("lifecycle", "")]
        var list = HTTPRequest("GET", bucket, path: "/")
        list.query = [("prefix", "J"), ("max-keys", "2")]

        let example = HTTPOrigin(host: "example.amazonaws.com")
        let vanilla = HTTPRequest("GET", example, path: "/")
        var ordered = HTTPRequest("GET", example, path: "/")
        ordered.query = [("Param2", "value2"), ("Param1", "value1")]
        let post = HTTPRequest("POST", example, path: "/")
        let plain = "host;x-amz-content-sha256;x-amz-date"
        return [
            Vector(
                name: "get object", request: get, time: noon, service: "s3",
                signedHeaders: "host;range;x-amz-content-sha256;x-amz-date",
                signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            Vector(
                name: "put object", request: put, time: noon, service: "s3",
                signedHeaders: "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            Vector(
                name: "get lifecycle", request: lifecycle, time: noon, service: "s3", signedHeaders: plain,
                signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            Vector(
                name: "list", request: list, time: noon, service: "s3", signedHeaders: plain,
                signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
            Vector(
                name: "get-vanilla", request: vanilla, time: 1_440_938_160, service: "service",
                signedHeaders: "host;x-amz-date",
                signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            Vector(
                name: "get-vanilla-query-order-key-case", request: ordered, time: 1_440_938_160, service: "service",
                signedHeaders: "host;x-amz-date",
                signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
            Vector(
                name: "post-vanilla", request: post, time: 1_440_938_160, service: "service",
                signedHeaders: "host;x-amz-date",
                signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ]
    }()

    @Test(arguments: vectors)
    func published(_ vector: Vector) throws {
        let isS3 = vector.service == "s3"
        let keys = AWSCredentials(
            accessKey: isS3 ? "AKIAIOSFODNN7EXAMPLE" : "AKIDEXAMPLE",
            secretKey: Secret(
                isS3 ? "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" : "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
        var request = vector.request
        SignatureV4(keys, region: "us-east-1", service: vector.service).sign(&request, at: vector.time)
        let authorization = try #require(request.headers["Authorization"])
        #expect(authorization.contains("SignedHeaders=\(vector.signedHeaders),"), "\(authorization)")
        #expect(authorization.hasSuffix("Signature=\(vector.signature)"), "\(authorization)")
    }

    @Test func aTokenIsSigned() throws {
        var request = HTTPRequest("GET", HTTPOrigin(host: "b.s3.amazonaws.com"), path: "/x")
        let keys = AWSCredentials(accessKey: "A", secretKey: Secret("B"), sessionToken: Secret("the token"))
        SignatureV4(keys, region: "eu-west-1", service: "s3").sign(&request, at: 0)
        #expect(request.headers["X-Amz-Security-Token"] == "the token")
        #expect(request.headers["Authorization"]?.contains("x-amz-security-token") == true)
        #expect(!"\(keys)".contains("token\"") && !"\(keys)".contains("the token"))
    }
}
