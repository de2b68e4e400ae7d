import ObjectStorage
import RepositoryStorage
import Testing

struct ListOrderTests {
    private func entry(_ name: String) -> ObjectInfo {
        let isDirectory = name.hasSuffix("/")
        return ObjectInfo(
            name: isDirectory ? String(name.dropLast()) : name, kind: isDirectory ? .directory : .object,
            size: isDirectory ? 0 : UInt64(name.utf8.count), modified: isDirectory ? 0 : 5)
    }

    /// Any set of names, in the service's order and in pages of any size, comes out by name.
    @Test(arguments: 1...12)
    func pages(_ size: Int) throws {
        let keys = [
            "a", "a ", "a b", "a-", "a-1", "a-1/", "a-1.x", "a.", "a.b", "a.b/", "a/", "a0", "aa", "b!/", "b", "b/",
            "b\n", "sub-x", "sub.y", "sub/", "sub0", "ü", "ü-", "ü/", "x%20y", "x y",
        ].sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        var names: [String] = []
        var token: String?
        var pages = 0
        repeat {
            var order = try #require(ListOrder(token))
            var page = ListPage(entries: [], next: nil)
            repeat {
                let start = order.token.flatMap { Int($0) } ?? 0
                let end = min(start + size, keys.count)
                page = order.take(keys[start..<end].map(entry), next: end < keys.count ? String(end) : nil)
            } while page.entries.isEmpty && page.next != nil
            for found in page.entries where found.kind == .object {
                #expect(found.size == UInt64(found.name.utf8.count) && found.modified == 5)
            }
            names += page.entries.map(\.name)
            token = page.next
            pages += 1
        } while token != nil && pages < 100
        let expected = keys.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(names == expected)
    }

    @Test(arguments: ["%", "t\nx", "t\no a b c", "t\no 1 2 %"])
    func badTokens(_ token: String) { #expect(ListOrder(token) == nil) }
}
