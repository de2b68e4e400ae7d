/// A call of `archive-push` or `archive-get` as it came: what the launcher can tell of it without the option table.
package struct ArchiveCall: Equatable {
    package enum Kind: String {
        case push = "archive-push"
        case get = "archive-get"
    }

    package var kind: Kind
    /// What follows the command.
    package var parameters: [String]
    /// All words but the parameters, `argv[0]` too. Two calls with the same words, environment and files mean the same.
    package var words: [String]

    /// nil for every other call, and for one that could be read in two ways.
    package init?(_ arguments: [String]) {
        let places = arguments.indices.filter { Kind(rawValue: arguments[$0]) != nil }
        guard places.count == 1, let place = places.first, place > 0, let kind = Kind(rawValue: arguments[place])
        else { return nil }
        let end = place + (kind == .push ? 1 : 2)
        guard end < arguments.count else { return nil }
        let parameters = Array(arguments[(place + 1)...end])
        guard parameters.allSatisfy({ !$0.isEmpty && $0.utf8.first != UInt8(ascii: "-") }) else { return nil }
        self.kind = kind
        self.parameters = parameters
        words = Array(arguments[...place] + arguments[(end + 1)...])
    }

    /// The value of an option that is written `--name=value` or `--name value`.
    package func option(_ name: String) -> String? {
        let flag = "--\(name)"
        for (index, word) in words.enumerated() where word.utf8.starts(with: flag.utf8) {
            let rest = word.utf8.dropFirst(flag.utf8.count)
            if rest.isEmpty { return index + 1 < words.count ? words[index + 1] : nil }
            if rest.first == UInt8(ascii: "=") { return String(rest.dropFirst()) }
        }
        return nil
    }
}
