import HTTP
import ObjectStorage
import RepositoryStorage
import Testing

struct PercentEncodingTests {
    @Test func encoded() {
        #expect(PercentEncoding.encode("a b/ü+~-._%\u{0}") == "a%20b%2F%C3%BC%2B~-._%25%00")
        #expect(PercentEncoding.encode("a/b c", keepingSlashes: true) == "a/b%20c")
        #expect(PercentEncoding.query([("a", "1 2"), ("b&", "=")]) == "a=1%202&b%26=%3D")
    }

    @Test(
        arguments: [
            ("a%20b", false, "a b"), ("a+b", true, "a b"), ("a+b", false, "a+b"), ("%C3%BC", false, "ü"),
            ("%2", false, nil), ("%zz", false, nil), ("%FF", false, nil), ("", false, ""),
        ] as [(String, Bool, String?)])
    func decoded(_ text: String, _ plus: Bool, _ expected: String?) {
        #expect(PercentEncoding.decode(text, plusIsSpace: plus) == expected)
    }

    @Test func base64() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            #expect(Base64.encode(plain.utf8) == encoded)
            #expect(Base64.decode(encoded) == Array(plain.utf8))
        }
        #expect(Base64.decode("Z") == nil)
        #expect(Base64.decode("Zm9!") == nil)
        let all = (0...255).map { UInt8($0) }
        #expect(Base64.decode(Base64.encode(all)) == all)
    }
}

struct ServiceTimeTests {
    @Test func formats() {
        #expect(ServiceTime.compact(1_440_938_160) == "20150830T123600Z")
        #expect(ServiceTime.http(1_440_938_160) == "Sun, 30 Aug 2015 12:36:00 GMT")
        #expect(ServiceTime.parseHTTP("Sun, 30 Aug 2015 12:36:00 GMT") == 1_440_938_160)
    }

    @Test(
        arguments: [
            ("2015-08-30T12:36:00.000Z", 1_440_938_160), ("2015-08-30T12:36:00Z", 1_440_938_160),
            ("2015-08-30T14:36:00+02:00", 1_440_938_160), ("2015-08-30T12:36:00", nil), ("2015-13-30T12:36:00Z", nil),
            ("", nil), ("yesterday", nil), ("2015-08-30T12:36:00.Zx", nil),
        ] as [(String, Int64?)])
    func iso8601(_ text: String, _ expected: Int64?) { #expect(ServiceTime.parseISO8601(text) == expected) }

    @Test(arguments: ["", "Sun, 30 Aug 2015", "Sun, 30 Foo 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:36 GMT"])
    func badHTTP(_ text: String) { #expect(ServiceTime.parseHTTP(text) == nil) }
}

struct XMLPullTests {
    private func elements(_ text: String) throws -> [String] {
        var found: [String] = []
        try XMLPull.forEachElement(in: Array(text.utf8)) { path, text in
            found.append(path.joined(separator: "/") + "=" + text)
        }
        return found
    }

    @Test func elements() throws {
        let text = """
            <?xml version="1.0" encoding="UTF-8"?>
            <!-- <not this> --><a xmlns="http://x/y" q='>'><n:b>1 &lt;&amp;&#65;&#x42;</n:b><c/><d><![CDATA[<x>&amp;]]></d></a>

            """
        let found = try elements(text)
        #expect(found == ["a/b=1 <&AB", "a/c=", "a/d=<x>&amp;", "a="])
    }

    @Test(
        arguments: [
            "", "text", "<a>", "<a></b>", "<a></a><b></b>", "<a", "<a b='", "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<a>&nbsp;</a>", "<a>&#xD800;</a>", "<a>&</a>", "</a>", "<>", "<a><!-- </a>", "<a></a>text",
            String(repeating: "<a>", count: 40) + String(repeating: "</a>", count: 40),
        ])
    func malformed(_ text: String) {
        #expect(throws: XMLPull.Malformed.self) { try elements(text) }
    }
}

struct S3AnswerTests {
    private func list(_ text: String) throws -> ObjectPage { try ObjectPage(s3: Array(text.utf8)) }

    @Test func page() throws {
        let answer = try list(
            """
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>r/d/</Prefix>
            <IsTruncated>true</IsTruncated><Contents><Key>r/d/a%0Ab+c</Key><LastModified>2015-08-30T12:36:00.000Z</LastModified>
            <Size>7</Size></Contents><Contents><Key>r/d/</Key><Size>0</Size></Contents>
            <CommonPrefixes><Prefix>r/d/sub/</Prefix></CommonPrefixes><NextContinuationToken>t=</NextContinuationToken>
            <EncodingType>url</EncodingType></ListBucketResult>
            """)
        #expect(answer.next == "t=")
        let entries = answer.entries(under: "r/d/")
        #expect(entries.map(\.name) == ["a\nb c", "sub"])
        #expect(entries.map(\.size) == [7, 0] && entries.map(\.kind) == [.object, .directory])
        #expect(entries[0].modified == 1_440_938_160)
    }

    @Test(
        arguments: [
            "<html><body>welcome</body></html>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
            "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", "",
            "<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents>",
        ])
    func noPage(_ text: String) { #expect(throws: (any Error).self) { try list(text) } }

    @Test func errors() {
        let nested = S3ErrorAnswer(
            Array(
                "<ErrorResponse><Error><Code>X</Code><Message>m</Message></Error><RequestId>7</RequestId></ErrorResponse>"
                    .utf8))
        #expect(nested?.code == "X" && nested?.message == "m" && nested?.requestID == "7")
        #expect(S3ErrorAnswer(Array("<html></html>".utf8)) == nil)
        #expect(S3ErrorAnswer([]) == nil)
    }
}

struct CredentialJSONTests {
    @Test func members() {
        let json = CredentialJSON(
            Array(#" {"a":"x\"\u00e9\ud83d\ude00\n","n":-1.5e3,"t":true,"o":{"a":[1,{"b":"c"}]},"e":[]} "#.utf8))
        #expect(json?["a"] == "x\"é😀\n" && json?["n"] == "-1.5e3" && json?["t"] == nil && json?["o"] == nil)
    }

    @Test(
        arguments: [
            "", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":\"b\"", "{\"a\":\"b\"}x", "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":" + String(repeating: "[", count: 100) + String(repeating: "]", count: 100) + "}",
        ])
    func malformed(_ text: String) { #expect(CredentialJSON(Array(text.utf8)) == nil) }
}
