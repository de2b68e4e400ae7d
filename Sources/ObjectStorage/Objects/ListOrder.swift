import HTTP
package import RepositoryStorage

/// Makes the pages of a service those of the contract: by name.
///
/// Services sort keys, and a directory comes where `name/` would: after `name-x` and `name.x`, which the contract has
/// after `name`. So the end of a page is held back as far as a directory that belongs before it may still come.
package struct ListOrder: Sendable, Equatable {
    /// The service's own token for its next page; nil after the last.
    package var token: String?
    /// Entries of the pages so far that belong behind what may still come.
    package var held: [ObjectInfo]

    /// - Parameter token: what ``next`` of the page before was.
    package init?(_ token: String?) {
        guard let token else {
            self.init(token: nil, held: [])
            return
        }
        var lines = token.split(separator: "\n", omittingEmptySubsequences: false)[...]
        guard let first = lines.popFirst(), let own = PercentEncoding.decode(String(first)) else { return nil }
        var held: [ObjectInfo] = []
        for line in lines {
            let words = line.split(separator: " ")
            guard words.count == 4 || words.count == 5, let size = UInt64(words[1]), let modified = Int64(words[2]),
                let name = PercentEncoding.decode(String(words[3]))
            else { return nil }
            var entry = ObjectInfo(
                name: name, kind: words[0] == "d" ? .directory : .object, size: size, modified: modified)
            if words.count == 5 {
                guard let version = PercentEncoding.decode(String(words[4])) else { return nil }
                entry.version = version
            }
            held.append(entry)
        }
        self.init(token: own, held: held)
    }

    private init(token: String?, held: [ObjectInfo]) {
        self.token = token
        self.held = held
    }

    /// Takes a page of the service in.
    /// - Parameters:
    ///   - entries: of the page, objects and directories in any order.
    ///   - next: the service's token; nil when it was the last page.
    /// - Returns: what may be given out: nothing, and then another page is to be asked for, or entries by name.
    package mutating func take(_ entries: [ObjectInfo], next: String?) -> ListPage {
        var all = held + entries
        all.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        token = next
        held = []
        guard next != nil else { return ListPage(entries: all, next: nil) }
        // In the order of keys, as the service has them, the last decides.
        if let last = all.max(by: { Self.key($0).lexicographicallyPrecedes(Self.key($1)) }),
            let stem = Self.stem(of: last)
        {
            let start = all.firstIndex { $0.name.utf8.starts(with: stem) } ?? all.count
            held = Array(all[start...])
            all.removeSubrange(start...)
        }
        return ListPage(entries: all, next: text)
    }

    /// Names that begin so may belong behind a directory of that name which is yet to come; nil when there is none.
    private static func stem(of last: ObjectInfo) -> Substring.UTF8View? {
        let name = last.name.utf8
        guard let special = name.firstIndex(where: { $0 < UInt8(ascii: "/") }) else { return nil }
        return name[..<special]
    }

    private static func key(_ entry: ObjectInfo) -> [UInt8] {
        entry.kind == .directory ? Array(entry.name.utf8) + [UInt8(ascii: "/")] : Array(entry.name.utf8)
    }

    private var text: String {
        ([PercentEncoding.encode(token ?? "")]
            + held.map {
                "\($0.kind == .directory ? "d" : "o") \($0.size) \($0.modified) \(PercentEncoding.encode($0.name))"
                    + ($0.version.map { " " + PercentEncoding.encode($0) } ?? "")
            }).joined(separator: "\n")
    }
}
