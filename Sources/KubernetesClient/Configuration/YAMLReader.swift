import HTTP

/// The part of YAML that configuration files are written in: mappings, sequences, plain and quoted scalars, block scalars
/// and what is written in braces and brackets, so JSON too. Anchors, tags and further documents are refused, not guessed.
struct YAMLReader {
    struct Failure: Error, Equatable {
        /// From 1.
        var line: Int
        var reason: String
    }

    private struct Line {
        var indent: Int
        /// Without its indentation; with a comment that may follow.
        var text: Substring
        var number: Int

        var isSequence: Bool { text == "-" || text.hasPrefix("- ") }
    }

    private var lines: [Line] = []
    private var next = 0

    private static let deepest = 64

    static func read(_ text: String) throws(Failure) -> ServiceJSON {
        var reader = try YAMLReader(text)
        let value = try reader.block(indent: 0, depth: 0)
        reader.skipBlank()
        if let line = reader.current {
            throw Failure(line: line.number, reason: "this does not belong to what is above")
        }
        return value
    }

    private init(_ text: String) throws(Failure) {
        var isOver = false
        // CR and LF are one character.
        let split = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        for (index, line) in split.enumerated() {
            if line.hasPrefix("%"), lines.isEmpty { continue }
            if line.hasPrefix("---") || line == "..." {
                if lines.contains(where: { !Self.isBlank($0.text) }) || isOver { isOver = true }
                guard line == "---" || line == "..." || line.hasPrefix("--- #") else {
                    throw Failure(line: index + 1, reason: "a value behind the document's mark")
                }
                continue
            }
            let content = line.drop { $0 == " " }
            guard !isOver || Self.isBlank(content) else { throw Failure(line: index + 1, reason: "a second document") }
            lines.append(Line(indent: line.count - content.count, text: content, number: index + 1))
        }
    }

    private static func isBlank(_ text: Substring) -> Bool {
        let rest = text.drop { $0 == " " || $0 == "\t" }
        return rest.isEmpty || rest.hasPrefix("#")
    }

    private var current: Line? { next < lines.count ? lines[next] : nil }
    private var lineNumber: Int { lines[max(0, min(next, lines.count - 1))].number }

    private mutating func skipBlank() {
        while let line = current, Self.isBlank(line.text) { next += 1 }
    }

    // MARK: Blocks

    /// What is indented by `indent` at least.
    private mutating func block(indent: Int, depth: Int) throws(Failure) -> ServiceJSON {
        skipBlank()
        guard let line = current, line.indent >= indent else { return .null }
        guard depth <= Self.deepest else { throw Failure(line: line.number, reason: "nested too deep") }
        guard !line.text.hasPrefix("\t") else { throw Failure(line: line.number, reason: "indented by a tab") }
        if line.isSequence { return try sequence(line.indent, depth) }
        if try Self.key(line) != nil { return try mapping(line.indent, depth) }
        next += 1
        return try inline(line.text, line, indent: indent - 1)
    }

    private mutating func sequence(_ indent: Int, _ depth: Int) throws(Failure) -> ServiceJSON {
        var elements: [ServiceJSON] = []
        while true {
            skipBlank()
            guard let line = current, line.indent == indent, line.isSequence else { break }
            let rest = line.text.dropFirst().drop { $0 == " " }
            if Self.isBlank(rest) {
                next += 1
                elements.append(try block(indent: indent + 1, depth: depth + 1))
                continue
            }
            // The element begins here, as if it stood on a line of its own.
            lines[next] = Line(
                indent: indent + line.text.count - rest.count, text: rest, number: line.number)
            elements.append(try element(indent: indent + 1, depth: depth + 1))
        }
        try checkEnd(indent)
        return .array(elements)
    }

    private mutating func element(indent: Int, depth: Int) throws(Failure) -> ServiceJSON {
        guard let line = current else { return .null }
        if line.text.hasPrefix("|") || line.text.hasPrefix(">") {
            next += 1
            return try inline(line.text, line, indent: indent - 1)
        }
        return try block(indent: indent, depth: depth)
    }

    private mutating func mapping(_ indent: Int, _ depth: Int) throws(Failure) -> ServiceJSON {
        var members: [String: ServiceJSON] = [:]
        while true {
            skipBlank()
            guard let line = current, line.indent == indent, !line.isSequence else { break }
            guard !line.text.hasPrefix("\t") else { throw Failure(line: line.number, reason: "indented by a tab") }
            guard let (key, rest) = try Self.key(line) else {
                throw Failure(line: line.number, reason: "a key and a colon are missing")
            }
            guard members[key] == nil else { throw Failure(line: line.number, reason: "'\(key)' is there twice") }
            next += 1
            guard Self.isBlank(rest) else {
                members[key] = try inline(rest, line, indent: indent)
                continue
            }
            skipBlank()
            // A sequence may stand as far to the left as its key.
            let isFlush = current.map { $0.indent == indent && $0.isSequence } ?? false
            members[key] =
                isFlush
                ? try sequence(indent, depth + 1) : try block(indent: indent + 1, depth: depth + 1)
        }
        try checkEnd(indent)
        return .object(members)
    }

    private func checkEnd(_ indent: Int) throws(Failure) {
        if let line = current, line.indent > indent { throw Failure(line: line.number, reason: "wrong indentation") }
    }

    /// The key that a line begins with, and what follows its colon.
    private static func key(_ line: Line) throws(Failure) -> (String, Substring)? {
        if line.text.first == "\"" || line.text.first == "'" {
            var flow = FlowReader(Array(line.text.unicodeScalars), line.number)
            let key = try flow.quoted()
            var rest = Substring(String(String.UnicodeScalarView(flow.rest))).drop { $0 == " " }
            guard rest.popFirst() == ":", rest.isEmpty || rest.first == " " else { return nil }
            return (key, rest.drop { $0 == " " })
        }
        guard let first = line.text.first, !"{[|>".contains(first) else { return nil }
        if first == "?", line.text.dropFirst().first == " " {
            throw Failure(line: line.number, reason: "a key of several lines is not supported")
        }
        var index = line.text.startIndex
        while index < line.text.endIndex {
            let after = line.text.index(after: index)
            switch line.text[index] {
            case ":" where after == line.text.endIndex || line.text[after] == " ":
                let key = line.text[..<index]
                if "&*!".contains(first) { throw refused(line.number) }
                return (String(key), line.text[after...].drop { $0 == " " })
            case "#" where index > line.text.startIndex && line.text[line.text.index(before: index)] == " ":
                return nil
            default: index = after
            }
        }
        return nil
    }

    private static func refused(_ line: Int) -> Failure {
        Failure(line: line, reason: "anchors, aliases and tags are not supported")
    }

    // MARK: Values

    /// A value that begins in a line that was taken.
    /// - Parameter indent: what goes on with it is indented further.
    private mutating func inline(_ text: Substring, _ line: Line, indent: Int) throws(Failure) -> ServiceJSON {
        switch text.first {
        case "|", ">": return .text(try blockScalar(text, line, indent))
        case "&", "*", "!": throw Self.refused(line.number)
        case "{", "[", "\"", "'":
            var flow = FlowReader(Array(text.unicodeScalars), line.number)
            while true {
                do throws(Failure) {
                    var attempt = flow
                    let value = try attempt.value(depth: 0)
                    try attempt.finish()
                    return value
                } catch {
                    // What ends too early may go on in the next line.
                    guard error.reason == FlowReader.early, let more = current else { throw error }
                    next += 1
                    flow = FlowReader(flow.rest + [" "] + Array(more.text.unicodeScalars), line.number)
                }
            }
        default:
            var words = [Self.plain(text)]
            // A comment ends a plain scalar.
            while words.last?.count == text.count || words.count > 1, let more = current, more.indent > indent,
                !Self.isBlank(more.text)
            {
                if try Self.key(more) != nil { throw Failure(line: more.number, reason: "wrong indentation") }
                words.append(Self.plain(more.text))
                next += 1
            }
            return FlowReader.scalar(words.joined(separator: " "))
        }
    }

    /// Without spaces at its end and without a comment.
    private static func plain(_ text: Substring) -> String {
        var end = text.endIndex
        if let comment = text.firstRange(of: " #") { end = comment.lowerBound }
        var result = text[..<end]
        while result.last == " " || result.last == "\t" { result = result.dropLast() }
        return String(result)
    }

    private mutating func blockScalar(_ header: Substring, _ line: Line, _ parent: Int) throws(Failure) -> String {
        let marks = Self.plain(header).dropFirst()
        guard marks.allSatisfy({ $0 == "-" || $0 == "+" || ("1"..."9").contains($0) }) else {
            throw Failure(line: line.number, reason: "'\(Self.plain(header))' is no mark of a block")
        }
        let isFolded = header.first == ">"
        var indent = marks.compactMap(\.wholeNumberValue).first.map { max(parent, 0) + $0 }
        var content: [String] = []
        while let line = current {
            if line.text.isEmpty {
                content.append(String(repeating: " ", count: max(0, line.indent - (indent ?? line.indent))))
            } else {
                let least = indent ?? line.indent
                guard line.indent > parent, line.indent >= least else { break }
                indent = least
                content.append(String(repeating: " ", count: line.indent - least) + line.text)
            }
            next += 1
        }
        var trailing = 0
        while content.last?.isEmpty == true {
            content.removeLast()
            trailing += 1
        }
        var result = content.first ?? ""
        for (line, above) in zip(content.dropFirst(), content) {
            let folds = isFolded && !line.isEmpty && !above.isEmpty && !line.hasPrefix(" ") && !above.hasPrefix(" ")
            result += (folds ? " " : isFolded && line.isEmpty && !above.hasPrefix(" ") ? "" : "\n") + line
        }
        if marks.contains("-") || content.isEmpty && !marks.contains("+") { return result }
        return result + String(repeating: "\n", count: marks.contains("+") ? trailing + 1 : 1)
    }
}
