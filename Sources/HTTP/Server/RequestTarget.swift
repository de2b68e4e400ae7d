/// What a request is for: the path in components and the query in fields, decoded.
///
/// Characters that may not stand in a target, a `%` without two digits, bytes that are no UTF-8, and NUL are faults:
/// what two readers could understand in two ways is not for us to choose.
struct RequestTarget {
    /// `/` has none; `/a/` has an empty one behind `a`.
    var path: [String] = []
    var query: [(name: String, value: String)] = []

    /// - Parameter text: as it was sent: `/path?query`, or the same behind `http://host`.
    init(parsing text: String) throws(RequestFault) {
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }) else {
            throw RequestFault(400, "a character in the target that must be percent-encoded")
        }
        var rest = Substring(text)
        for scheme in ["http://", "https://"] where rest.lowercased().hasPrefix(scheme) {
            rest = rest.dropFirst(scheme.count).drop { $0 != "/" && $0 != "?" }
            if !rest.hasPrefix("/") { rest = "/" + rest }
        }
        guard rest.hasPrefix("/") || rest == "*" else {
            throw RequestFault(400, "the target does not begin with a slash")
        }
        let question = rest.firstIndex(of: "?")
        let names = rest[..<(question ?? rest.endIndex)]
        if names != "/" {
            let components = names.hasPrefix("/") ? names.dropFirst() : names
            for name in components.split(separator: "/", omittingEmptySubsequences: false) {
                path.append(try Self.decoded(name))
            }
        }
        guard let question else { return }
        for field in rest[rest.index(after: question)...].split(separator: "&") {
            let equals = field.firstIndex(of: "=")
            let name = try Self.decoded(field[..<(equals ?? field.endIndex)])
            let value = try equals.map { index throws(RequestFault) in
                try Self.decoded(field[field.index(after: index)...])
            }
            query.append((name, value ?? ""))
        }
    }

    private static func decoded(_ text: Substring) throws(RequestFault) -> String {
        guard let decoded = PercentEncoding.decode(String(text)) else {
            throw RequestFault(400, "percent-encoding in the target that is no UTF-8")
        }
        guard !decoded.utf8.contains(0) else { throw RequestFault(400, "a zero byte in the target") }
        return decoded
    }
}
