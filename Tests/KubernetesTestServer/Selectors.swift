import HTTP

/// `labelSelector` and `fieldSelector` of a request.
struct Selectors: Sendable {
    private var labels: [@Sendable ([String: String]) -> Bool] = []
    private var fields: [(path: [String], value: String, isEqual: Bool)] = []

    init(labels text: String, fields fieldText: String) throws(APIFailure) {
        for part in Self.split(text) { labels.append(try Self.label(part)) }
        for part in fieldText.split(separator: ",") {
            let isEqual = !part.contains("!=")
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2 else { throw .bad("invalid field selector \(part)") }
            var path = String(sides[0])
            if path.hasSuffix("!") { path.removeLast() }
            let value = sides[1].drop { $0 == "=" }
            fields.append((path.split(separator: ".").map(String.init), String(value), isEqual))
        }
    }

    func matches(_ object: ServiceJSON) -> Bool {
        let own = object[["metadata", "labels"]]?.texts ?? [:]
        return labels.allSatisfy { $0(own) }
            && fields.allSatisfy { ((object[$0.path]?.string ?? "") == $0.value) == $0.isEqual }
    }

    /// At commas outside parentheses.
    private static func split(_ text: String) -> [String] {
        var parts: [String] = []
        var part = ""
        var depth = 0
        for character in text {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if character == ",", depth == 0 {
                parts.append(part)
                part = ""
            } else {
                part.append(character)
            }
        }
        return (parts + [part]).map { trimmed($0[...]) }.filter { !$0.isEmpty }
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0 == " " }
        while text.last == " " { text = text.dropLast() }
        return String(text)
    }

    private static func label(_ text: String) throws(APIFailure) -> @Sendable ([String: String]) -> Bool {
        if text.hasSuffix(")"), let open = text.firstIndex(of: "(") {
            let words = text[..<open].split(separator: " ").map(String.init)
            let values = Set(text[text.index(after: open)...].dropLast().split(separator: ",").map { trimmed($0) })
            guard words.count == 2, words[1] == "in" || words[1] == "notin" else {
                throw .bad("invalid selector \(text)")
            }
            let (key, isIn) = (words[0], words[1] == "in")
            return { labels in (labels[key].map(values.contains) ?? false) == isIn }
        }
        if let mark = text.firstRange(of: "!=") {
            let (key, value) = (trimmed(text[..<mark.lowerBound]), trimmed(text[mark.upperBound...]))
            return { $0[key] != value }
        }
        if let mark = text.firstIndex(of: "=") {
            let key = trimmed(text[..<mark])
            let value = trimmed(text[mark...].drop { $0 == "=" })
            return { $0[key] == value }
        }
        if text.hasPrefix("!") {
            let key = trimmed(text.dropFirst())
            return { $0[key] == nil }
        }
        return { $0[text] != nil }
    }
}
