import NIOCore
import Testing

@testable import HTTP

struct RequestParsingTests {
    private static func parse(_ text: String) throws(RequestFault) -> RequestHead {
        var scanner = HeadScanner()
        let bytes = Array(text.utf8)
        let found: Result<Int?, RequestFault> = bytes.withUnsafeBytes { bytes in
            Result { () throws(RequestFault) in try scanner.end(in: bytes, limit: 4096) }
        }
        guard let count = try found.get() else { throw RequestFault(0, "not all of it") }
        return try RequestHead(parsing: bytes[..<count])
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET [] [] length(0) keeps"),
        ("GET /a/b HTTP/1.1\r\nhost:a\r\n\r\n", #"GET ["a", "b"] [] length(0) keeps"#),
        ("BREW /a%2Fb/%E2%82%AC/ HTTP/1.1\r\nHost: a\r\n\r\n", #"BREW ["a/b", "€", ""] [] length(0) keeps"#),
        ("GET /a?x=1&y=%26+&z&= HTTP/1.1\r\nHost: a\r\n\r\n", #"GET ["a"] ["x=1", "y=&+", "z=", "="] length(0) keeps"#),
        ("GET http://h:1/a?b HTTP/1.1\r\nHost: h\r\n\r\n", #"GET ["a"] ["b="] length(0) keeps"#),
        ("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "GET [] [] length(0) keeps"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", #"OPTIONS ["*"] [] length(0) keeps"#),
        ("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n", #"PUT ["a"] [] length(12) keeps"#),
        ("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n", #"PUT ["a"] [] chunked keeps"#),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: TE, Close\r\n\r\n", "GET [] [] length(0) closes"),
        ("GET / HTTP/1.0\r\n\r\n", "GET [] [] length(0) closes"),
        (
            "PUT / HTTP/1.1\r\nHost:\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
            "PUT [] [] length(1) keeps expects"
        ),
        ("GET /../..//x HTTP/1.1\r\nHost: h\r\n\r\n", #"GET ["..", "..", "", "x"] [] length(0) keeps"#),
    ])
    func understood(_ text: String, _ expected: String) throws {
        let head = try Self.parse(text)
        let query = head.target.query.map { "\($0.name)=\($0.value)" }
        let end = (head.keepsAlive ? "keeps" : "closes") + (head.awaitsContinue ? " expects" : "")
        #expect("\(head.method) \(head.target.path) \(query) \(head.framing) \(end)" == expected)
    }

    @Test(arguments: [
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400), ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400), ("GET /\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505), ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("GET / FTP/1.1\r\nHost: a\r\n\r\n", 400), ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /% HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET /%c0%80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET /?%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /é HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nb: \0\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nb: \r\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 501),
        ("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n", 417),
        ("\u{16}\u{3}\u{1}", 400), ("GET /" + String(repeating: "a", count: 5000), 431),
    ])
    func refused(_ text: String, _ status: Int) {
        do throws(RequestFault) {
            let head = try Self.parse(text)
            Issue.record("understood: \(head)")
        } catch {
            #expect(error.status == status, "\(error)")
        }
    }

    @Test
    func aHeadThatIsNoUTF8() {
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\nb: ".utf8) + [0xff] + Array("\r\n\r\n".utf8)
        #expect(throws: RequestFault.self) { try RequestHead(parsing: bytes[...]) }
    }

    @Test
    func aHeadThatComesByteByByte() throws {
        let bytes = Array("GET /a HTTP/1.1\r\nHost: a\r\n\r\nrest".utf8)
        var scanner = HeadScanner()
        var found: Int?
        for count in 1...bytes.count where found == nil {
            found = try bytes[..<count].withUnsafeBytes { try scanner.end(in: $0, limit: 4096) }
            #expect(found == nil || found == bytes.count - 4)
        }
        #expect(found == bytes.count - 4)
    }

    @Test(arguments: [
        ("0\r\n\r\n", ""), ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("a;x=y\r\n0123456789\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n", "0123456789!"),
    ])
    func chunks(_ text: String, _ expected: String) throws {
        // However it is cut.
        for size in 1...text.utf8.count {
            var decoder = ChunkedDecoder()
            var input = ByteBuffer()
            var body = ""
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                input.writeBytes(rest.prefix(size))
                rest = rest.dropFirst(size)
                while let piece = try decoder.next(&input) { body += String(buffer: piece) }
            }
            #expect(body == expected && decoder.isAtEnd && input.readableBytes == 0)
        }
    }

    @Test(arguments: [
        "x\r\n", "\r\n", "-1\r\n", "+1\r\na\r\n", "5 \r\nhello\r\n", "5\nhello\r\n", "5\r\nhelloX\r\n",
        "5\r\nhello\n\n",
        "1000000000000000\r\n", "ffffffffffffffffff\r\n", ";x\r\n", "0\r\nA\u{1}: b\r\n\r\n",
        String(repeating: "0", count: 5000),
        "0\r\n" + String(repeating: "A: \(String(repeating: "b", count: 1000))\r\n", count: 20) + "\r\n",
    ])
    func noChunks(_ text: String) {
        var decoder = ChunkedDecoder()
        var input = ByteBuffer(string: text)
        #expect(throws: RequestFault.self) { while try decoder.next(&input) != nil {} }
    }

    @Test
    func headersCannotBreakOut() {
        let lines = ResponseHead.bytes(
            200, ["X": "a\r\nSet-Cookie: b", "content-length": "9", "Connection": "upgrade"], .length(1), closes: false)
        #expect(String(buffer: lines) == "HTTP/1.1 200 OK\r\nX: a  Set-Cookie: b\r\nContent-Length: 1\r\n\r\n")
    }

    /// Damaged heads and chunks are understood or refused, and nothing else.
    @Test
    func damaged() {
        var random = SplitMix(state: 42)
        let heads = [
            "PUT /a%2Fb/c?x=%20&y HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nConnection: close\r\n\r\n",
            "GET http://h:1/a?b HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]
        let chunks = "a;x=y\r\n0123456789\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"
        var understood = 0
        for round in 0..<20_000 {
            let head = Self.damage(heads[round % 2], &random)
            do {
                var scanner = HeadScanner()
                if let end = try head.withUnsafeBytes({ try scanner.end(in: $0, limit: 1000) }) {
                    _ = try RequestHead(parsing: head[..<end])
                    understood += 1
                }
            } catch {}
            var decoder = ChunkedDecoder()
            var input = ByteBuffer(bytes: Self.damage(chunks, &random))
            let size = input.readableBytes
            var taken = 0
            do { while let piece = try decoder.next(&input) { taken += piece.readableBytes } } catch {}
            #expect(taken + input.readableBytes <= size)
        }
        #expect((1000..<19_000).contains(understood), "\(understood)")
    }

    private static func damage(_ text: String, _ random: inout SplitMix) -> [UInt8] {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: place)
            case 2: bytes.insert(bytes[place], at: place)
            default: bytes.swapAt(place, bytes.count - 1 - place)
            }
        }
        return bytes
    }
}

/// The same numbers in each run.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
