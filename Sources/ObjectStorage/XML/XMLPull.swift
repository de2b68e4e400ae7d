/// Reads the small XML documents that object stores answer with, piece by piece. Namespaces and attributes are passed
/// over; a document type, which no service sends, is refused, and with it all that entities can do.
package struct XMLPull {
    package enum Event: Equatable, Sendable {
        /// The name without its namespace prefix.
        case start(String)
        /// With the text directly in the element, entities resolved, whitespace kept.
        case end(String, text: String)
    }

    /// The document is none, or not one of ours.
    package struct Malformed: Error, Sendable, CustomStringConvertible {
        package let description: String
    }

    private static let deepest = 32

    private let bytes: [UInt8]
    private var offset = 0
    private var open: [(name: [UInt8], text: [UInt8])] = []
    private var pendingEnd = false
    private var hasRoot = false

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// nil at the end of a whole document.
    package mutating func next() throws(Malformed) -> Event? {
        if pendingEnd {
            pendingEnd = false
            return close()
        }
        while offset < bytes.count {
            guard bytes[offset] == UInt8(ascii: "<") else {
                try takeText()
                continue
            }
            if has("<!--") {
                try skip(past: "-->")
            } else if has("<?") {
                try skip(past: "?>")
            } else if has("<![CDATA[") {
                let start = offset + 9
                try skip(past: "]]>")
                guard !open.isEmpty else { throw malformed("text outside of the document") }
                open[open.count - 1].text += bytes[start..<offset - 3]
            } else if has("<!") {
                throw malformed("a document type")
            } else if has("</") {
                return try endTag()
            } else {
                return try startTag()
            }
        }
        guard hasRoot, open.isEmpty else { throw malformed("it ends early") }
        return nil
    }

    /// Calls `body` for each element as it ends, with the names from the root to it and its text.
    package static func forEachElement(
        in bytes: [UInt8], _ body: (_ path: [String], _ text: String) throws -> Void
    ) throws {
        var reader = XMLPull(bytes)
        var path: [String] = []
        while let event = try reader.next() {
            switch event {
            case .start(let name): path.append(name)
            case .end(_, let text):
                try body(path, text)
                path.removeLast()
            }
        }
    }

    private mutating func startTag() throws(Malformed) -> Event {
        if open.isEmpty, hasRoot { throw malformed("a second root") }
        guard open.count < Self.deepest else { throw malformed("elements nested too deeply") }
        offset += 1
        let name = takeName()
        guard !name.isEmpty else { throw malformed("a tag without a name") }
        var quote: UInt8?
        while offset < bytes.count {
            let byte = bytes[offset]
            offset += 1
            if let open = quote {
                if byte == open { quote = nil }
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                quote = byte
            } else if byte == UInt8(ascii: ">") {
                pendingEnd = bytes[offset - 2] == UInt8(ascii: "/")
                hasRoot = true
                open.append((name, []))
                return .start(Self.local(name))
            } else if byte == UInt8(ascii: "<") {
                break
            }
        }
        throw malformed("a tag that does not end")
    }

    private mutating func endTag() throws(Malformed) -> Event {
        offset += 2
        let name = takeName()
        while offset < bytes.count, Self.isSpace(bytes[offset]) { offset += 1 }
        guard offset < bytes.count, bytes[offset] == UInt8(ascii: ">"), open.last?.name == name else {
            throw malformed("the end of an element that is not open")
        }
        offset += 1
        return close()
    }

    private mutating func close() -> Event {
        let (name, text) = open.removeLast()
        return .end(Self.local(name), text: String(decoding: text, as: UTF8.self))
    }

    private mutating func takeText() throws(Malformed) {
        let start = offset
        while offset < bytes.count, bytes[offset] != UInt8(ascii: "<") { offset += 1 }
        let text = bytes[start..<offset]
        guard !open.isEmpty else {
            // A byte order mark before the document is fine.
            let allowed: [UInt8] = [0xef, 0xbb, 0xbf]
            guard text.allSatisfy({ Self.isSpace($0) || !hasRoot && allowed.contains($0) }) else {
                throw malformed("text outside of the document")
            }
            return
        }
        guard text.contains(UInt8(ascii: "&")) else {
            open[open.count - 1].text += text
            return
        }
        var rest = text
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "&") else {
                open[open.count - 1].text.append(byte)
                continue
            }
            guard let end = rest.firstIndex(of: UInt8(ascii: ";")), end - rest.startIndex <= 10,
                let character = Self.character(rest[rest.startIndex..<end])
            else { throw malformed("an entity that is not known") }
            open[open.count - 1].text += Array(String(character).utf8)
            rest = rest[(end + 1)...]
        }
    }

    private static func character(_ entity: ArraySlice<UInt8>) -> Unicode.Scalar? {
        let name = String(decoding: entity, as: UTF8.self)
        switch name {
        case "lt": return "<"
        case "gt": return ">"
        case "amp": return "&"
        case "quot": return "\""
        case "apos": return "'"
        default:
            guard name.hasPrefix("#") else { return nil }
            let digits = name.dropFirst()
            return (digits.hasPrefix("x") ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits))
                .flatMap(Unicode.Scalar.init)
        }
    }

    private mutating func takeName() -> [UInt8] {
        let start = offset
        while offset < bytes.count {
            let byte = bytes[offset]
            if Self.isSpace(byte) || [UInt8(ascii: ">"), UInt8(ascii: "/"), UInt8(ascii: "<")].contains(byte) { break }
            offset += 1
        }
        return Array(bytes[start..<offset])
    }

    private mutating func skip(past end: StaticString) throws(Malformed) {
        while offset < bytes.count {
            if has(end) {
                offset += end.utf8CodeUnitCount
                return
            }
            offset += 1
        }
        throw malformed("'\(end)' is missing")
    }

    private func has(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.count - offset >= count else { return false }
        return (0..<count).allSatisfy { bytes[offset + $0] == text.utf8Start[$0] }
    }

    private func malformed(_ what: String) -> Malformed { Malformed(description: "malformed XML: \(what)") }

    private static func local(_ name: [UInt8]) -> String {
        let start = name.lastIndex(of: UInt8(ascii: ":")).map { $0 + 1 } ?? 0
        return String(decoding: name[start...], as: UTF8.self)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }
}
