import NIOCore

/// The first lines of an answer.
enum ResponseHead {
    enum Framing: Equatable {
        /// No body may follow: 204 and 304.
        case none
        case length(UInt64)
        case chunked
    }

    static let goOn = ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")

    /// - Parameter headers: without those that say how the body is sent; they are left out.
    static func bytes(_ status: Int, _ headers: HTTPHeaders, _ framing: Framing, closes: Bool) -> ByteBuffer {
        var text = "HTTP/1.1 \(status) \(reason(status))\r\n"
        for field in headers.fields where !own.contains(field.name.lowercased()) {
            text += "\(clean(field.name)): \(clean(field.value))\r\n"
        }
        switch framing {
        case .none: break
        case .length(let count): text += "Content-Length: \(count)\r\n"
        case .chunked: text += "Transfer-Encoding: chunked\r\n"
        }
        if closes { text += "Connection: close\r\n" }
        return ByteBuffer(string: text + "\r\n")
    }

    private static let own = ["content-length", "transfer-encoding", "connection"]

    /// A value from elsewhere must not begin a line of its own.
    private static func clean(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f }) else { return text }
        return String(decoding: text.utf8.map { $0 < 0x20 || $0 == 0x7f ? 0x20 : $0 }, as: UTF8.self)
    }

    static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        case 507: "Insufficient Storage"
        default: "Status"
        }
    }
}
