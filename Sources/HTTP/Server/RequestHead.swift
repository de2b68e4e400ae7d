/// The head of a request as RFC 9112 has it, read strictly: whatever two programs on the way could understand in two
/// ways is a fault, since that is what smuggled requests are made of. So lines end in CR and LF, nothing stands between
/// a name and its colon, no line is continued, and there is one way only to say how long the body is.
struct RequestHead {
    enum Framing: Equatable {
        case length(UInt64)
        case chunked
    }

    var method: String
    var target: RequestTarget
    var headers: HTTPHeaders
    var framing: Framing
    /// The connection may carry another request behind this one.
    var keepsAlive: Bool
    /// HTTP/1.0, which has no chunks.
    var isOld: Bool
    /// The body comes when we have said that we want it.
    var awaitsContinue: Bool

    /// - Parameter bytes: all of it, with the empty line.
    init(parsing bytes: ArraySlice<UInt8>) throws(RequestFault) {
        var lines = Self.lines(bytes)
        guard let first = lines.popFirst() else { throw RequestFault(400, "no request line") }
        let (method, target, version) = try Self.requestLine(first)
        switch version {
        case "HTTP/1.1": isOld = false
        case "HTTP/1.0": isOld = true
        default:
            throw version.hasPrefix("HTTP/")
                ? RequestFault(505, "another version than HTTP/1.1") : RequestFault(400, "no HTTP")
        }
        self.method = method
        self.target = try RequestTarget(parsing: target)
        var fields: [(name: String, value: String)] = []
        for line in lines { fields.append(try Self.field(line)) }
        headers = HTTPHeaders(fields)

        let hosts = Self.values("host", fields)
        guard hosts.count == 1 || hosts.isEmpty && isOld else {
            throw RequestFault(400, hosts.isEmpty ? "no Host" : "more than one Host")
        }
        framing = try Self.framing(fields, isOld: isOld)
        let options = Self.values("connection", fields).joined(separator: ",").lowercased()
            .split { $0 == "," || $0 == " " || $0 == "\t" }
        keepsAlive = !isOld && !options.contains("close")
        let expectations = Self.values("expect", fields)
        guard expectations.allSatisfy({ $0.lowercased() == "100-continue" }) else {
            throw RequestFault(417, "only 100-continue may be expected")
        }
        awaitsContinue = !expectations.isEmpty && !isOld && framing != .length(0)
    }

    private static func framing(
        _ fields: [(name: String, value: String)], isOld: Bool
    ) throws(RequestFault) -> Framing {
        let lengths = values("content-length", fields)
        let codings = values("transfer-encoding", fields)
        guard !codings.isEmpty else {
            guard let length = lengths.first else { return .length(0) }
            guard lengths.count == 1, length.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
                (1...18).contains(length.utf8.count), let count = UInt64(length)
            else { throw RequestFault(400, "a Content-Length that is not one number") }
            return .length(count)
        }
        guard lengths.isEmpty else { throw RequestFault(400, "both Content-Length and Transfer-Encoding") }
        guard !isOld else { throw RequestFault(400, "Transfer-Encoding in HTTP/1.0") }
        guard codings.count == 1, codings[0].lowercased() == "chunked" else {
            throw RequestFault(501, "a Transfer-Encoding other than chunked")
        }
        return .chunked
    }

    private static func values(_ name: String, _ fields: [(name: String, value: String)]) -> [String] {
        fields.filter { $0.name.utf8.count == name.utf8.count && $0.name.lowercased() == name }.map(\.value)
    }

    /// Without their ends and without the empty one.
    private static func lines(_ bytes: ArraySlice<UInt8>) -> ArraySlice<ArraySlice<UInt8>> {
        var lines: [ArraySlice<UInt8>] = []
        var rest = bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")), end > rest.startIndex + 1 {
            lines.append(rest[..<(end - 1)])
            rest = rest[(end + 1)...]
        }
        return lines[...]
    }

    private static func requestLine(
        _ line: ArraySlice<UInt8>
    ) throws(RequestFault) -> (method: String, target: String, version: String) {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3, isToken(parts[0]), !parts[1].isEmpty,
            let target = String(validating: parts[1], as: UTF8.self),
            let version = String(validating: parts[2], as: UTF8.self)
        else { throw RequestFault(400, "no HTTP") }
        return (String(decoding: parts[0], as: UTF8.self), target, version)
    }

    private static func field(_ line: ArraySlice<UInt8>) throws(RequestFault) -> (name: String, value: String) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), isToken(line[..<colon]) else {
            throw RequestFault(400, "a header line without a name")
        }
        var value = line[(colon + 1)...]
        while value.first == 0x20 || value.first == 0x09 { value = value.dropFirst() }
        while value.last == 0x20 || value.last == 0x09 { value = value.dropLast() }
        guard value.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }),
            let text = String(validating: value, as: UTF8.self)
        else { throw RequestFault(400, "a header with a control character, or that is no UTF-8") }
        return (String(decoding: line[..<colon], as: UTF8.self), text)
    }

    private static func isToken(_ bytes: ArraySlice<UInt8>) -> Bool {
        !bytes.isEmpty && bytes.allSatisfy(HeadScanner.isTokenByte)
    }
}

/// Finds where a head ends while it comes in, looking at each byte once.
struct HeadScanner {
    private var scanned = 0
    private var lineStart = 0

    /// - Parameters:
    ///   - bytes: what has come of the head so far, always from its first byte.
    ///   - limit: of its bytes.
    /// - Returns: the count of its bytes with the empty line behind it; nil when there must be more.
    mutating func end(in bytes: UnsafeRawBufferPointer, limit: Int) throws(RequestFault) -> Int? {
        if let first = bytes.first, !Self.isTokenByte(first) { throw RequestFault(400, "no HTTP") }
        let seen = min(bytes.count, limit)
        while scanned < seen {
            let byte = bytes[scanned]
            scanned += 1
            guard byte == UInt8(ascii: "\n") else { continue }
            guard scanned >= 2, bytes[scanned - 2] == UInt8(ascii: "\r") else {
                throw RequestFault(400, "a line that does not end in CR and LF")
            }
            if scanned - lineStart == 2 { return scanned }
            lineStart = scanned
        }
        guard bytes.count < limit else { throw RequestFault(431, "a head of more than \(limit) bytes") }
        return nil
    }

    static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
