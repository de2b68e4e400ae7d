/// A command line taken apart as a shell does it, with quotes and backslashes; nothing is expanded.
package enum ShellWords {
    /// - Parameter isScript: a semicolon is a word of its own, and a word that begins with `#` ends it all.
    package static func split(_ line: String, isScript: Bool = false) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isEscaped = false
        for character in line {
            if isEscaped {
                word = (word ?? "") + String(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
            } else if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character.isWhitespace {
                if let word { words.append(word) }
                word = nil
            } else if isScript, character == ";" {
                if let word { words.append(word) }
                words.append(";")
                word = nil
            } else if isScript, character == "#", word == nil {
                return words
            } else {
                word = (word ?? "") + String(character)
            }
        }
        return words + (word.map { [$0] } ?? [])
    }
}
