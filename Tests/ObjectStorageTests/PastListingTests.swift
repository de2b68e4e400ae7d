import ObjectStorage
import Testing

/// Which version of an object was there.
struct PastListingTests {
    /// Versions in the order of a listing: `a10` came at second 10, `a10.5` half a second later, `a10!` is the newest of
    /// all, `-` after it means that the object was deleted then, `/20` that it ended at second 20.
    private static func versions(_ text: String) -> [ObjectVersion] {
        text.split(separator: " ").map { word in
            let match = word.wholeMatch(of: /([^0-9]+)([0-9.]+)(!?)(-?)(?:\/([0-9.]+))?/)
            guard let (_, key, created, latest, deletion, ended) = match?.output, let seconds = Double(created) else {
                return ObjectVersion("?", id: nil, created: 0)
            }
            return ObjectVersion(
                String(key), id: "\(key)@\(created)", size: 7, created: Int64(seconds * 1_000_000),
                ended: ended.flatMap { Double($0) }.map { Int64($0 * 1_000_000) }, isLatest: !latest.isEmpty,
                isDeletion: !deletion.isEmpty)
        }
    }

    /// Two pages, of which the first ends with its last version, must give what one gives.
    private static func found(_ texts: [String], isNewestFirst: Bool, at time: Int64) throws -> [String] {
        var token: String?
        var result: [String] = []
        for (number, text) in texts.enumerated() {
            // As between two calls, of two processes even.
            var listing = try #require(PastListing(token, at: time))
            var page = VersionPage(isNewestFirst: isNewestFirst)
            page.versions = versions(text)
            if number < texts.count - 1 {
                page.next = "page \(number)\n%"
                page.last = page.versions.last?.key
            }
            #expect(listing.token == (number == 0 ? nil : "page \(number - 1)\n%"))
            let (found, next) = listing.take(page)
            result += found.map { $0.id ?? "" }
            #expect((next == nil) == (page.next == nil))
            token = next
        }
        return result
    }

    struct Row: Sendable, CustomTestStringConvertible {
        var versions: String
        var time: Int64
        var found: [String]
        var isNewestFirst = true
        var testDescription: String { "\(versions) at \(time)\(isNewestFirst ? "" : ", oldest first")" }
    }
    static let rows = [
        Row(versions: "a30! a20 a10", time: 9, found: []),
        Row(versions: "a30! a20 a10", time: 10, found: ["a@10"]),
        Row(versions: "a30! a20 a10", time: 29, found: ["a@20"]),
        Row(versions: "a30! a20 a10", time: 30, found: ["a@30"]),
        Row(versions: "a10 a20 a30!", time: 29, found: ["a@20"], isNewestFirst: false),
        Row(versions: "a10 a20 a30!", time: 99, found: ["a@30"], isNewestFirst: false),
        // What happened within the second has happened.
        Row(versions: "a10.9! a10.2 a5", time: 10, found: ["a@10.9"]),
        Row(versions: "a10.9! a10.2 a5", time: 9, found: ["a@5"]),
        // Deleted, and written again.
        Row(versions: "a30! a20- a10", time: 15, found: ["a@10"]),
        Row(versions: "a30! a20- a10", time: 25, found: []),
        Row(versions: "a30! a20- a10", time: 35, found: ["a@30"]),
        Row(versions: "a20!- a10", time: 20, found: []),
        Row(versions: "a20!- a10", time: 19, found: ["a@10"]),
        Row(versions: "a20-", time: 99, found: []),
        // Of the same time: the order of the listing decides, or which is the newest of all.
        Row(versions: "a10- a10", time: 10, found: []),
        Row(versions: "a10 a10-", time: 10, found: ["a@10"]),
        Row(versions: "a10 a10.0", time: 10, found: ["a@10.0"], isNewestFirst: false),
        Row(versions: "a10 a10.0", time: 10, found: ["a@10"]),
        Row(versions: "a10 a10.0!", time: 10, found: ["a@10.0"]),
        // An upload in parts that began before another write and ended after it.
        Row(versions: "a10! a20", time: 25, found: ["a@10"]),
        // Deletions behind all versions of a page.
        Row(versions: "a10 a20!-", time: 25, found: []),
        // Each version says when it ended.
        Row(versions: "a10/20 a20/30", time: 9, found: [], isNewestFirst: false),
        Row(versions: "a10/20 a20/30", time: 19, found: ["a@10"], isNewestFirst: false),
        Row(versions: "a10/20 a20/30", time: 20, found: ["a@20"], isNewestFirst: false),
        Row(versions: "a10/20 a20/30", time: 30, found: [], isNewestFirst: false),
        Row(versions: "a10/15 a20/30", time: 17, found: [], isNewestFirst: false),
        Row(versions: "a10.1/10.9", time: 10, found: [], isNewestFirst: false),
        // Several, one a prefix of the other; two that Swift takes for the same text.
        Row(versions: "a30 a10 a.copy30 a.copy10 b99", time: 20, found: ["a@10", "a.copy@10"]),
        Row(versions: "e\u{301}10 \u{e9}10", time: 20, found: ["e\u{301}@10", "\u{e9}@10"]),
        Row(versions: "a30- a10 b30! b20- b10", time: 15, found: ["a@10", "b@10"]),
        Row(versions: "", time: 15, found: []),
    ]

    @Test("which version was there, wherever a page ends", arguments: rows)
    func chosen(_ row: Row) throws {
        let words = row.versions.split(separator: " ").map(String.init)
        for cut in 0...words.count {
            let pages = [words[..<cut], words[cut...]].map { $0.joined(separator: " ") }
            for pages in [pages, words, pages + [""]] {
                #expect(
                    try Self.found(pages, isNewestFirst: row.isNewestFirst, at: row.time).map { Array($0.utf8) }
                        == row.found.map { Array($0.utf8) }, "pages \(pages)")
            }
        }
    }

    @Test("what is carried to the next page comes back as it was, and nothing else is taken for it")
    func tokens() throws {
        let version = ObjectVersion(
            "a b/\n\u{e9}%", id: "x y=\n", size: 1 << 63, created: 12_345_678, ended: 99_000_000, isLatest: true)
        for held in [version, ObjectVersion("a", id: nil, created: 0, isDeletion: true), nil] {
            var listing = try #require(PastListing(nil, at: 1000))
            var page = VersionPage(isNewestFirst: true)
            page.versions = held.map { [$0] } ?? []
            page.next = "to ken\n"
            page.last = held?.key
            let next = listing.take(page).next
            #expect(listing.held == held)
            #expect(PastListing(next, at: 1000) == listing)
        }
        for wrong in ["a\nb", "a\na =i 7 x - .", "a\na i 7 8 - .", "a\na =i 7 8 x .", "a\nb\nc", "%zz"] {
            #expect(PastListing(wrong, at: 1) == nil, "\(wrong)")
        }
    }

    @Test("pages of S3's versions")
    func s3() throws {
        let body = """
            <?xml version="1.0"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Name>b</Name><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>
            <NextKeyMarker>r/b+c%2F%C3%A9</NextKeyMarker><NextVersionIdMarker>v3</NextVersionIdMarker>
            <Version><Key>r/a</Key><VersionId>null</VersionId><IsLatest>false</IsLatest><Size>5</Size>
            <LastModified>2026-01-02T03:04:05.678Z</LastModified><Owner><ID>x</ID></Owner></Version>
            <Version><Key>r/b+c%2F%C3%A9</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest><Size>0</Size>
            <LastModified>2026-01-02T03:04:06Z</LastModified></Version>
            <DeleteMarker><Key>r/a</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest>
            <LastModified>2026-01-02T03:04:07.000Z</LastModified></DeleteMarker>
            <CommonPrefixes><Prefix>r/d%20e/</Prefix></CommonPrefixes></ListVersionsResult>
            """
        let page = try VersionPage(s3: Array(body.utf8))
        let time: Int64 = 1_767_323_045_000_000
        #expect(
            page.versions == [
                ObjectVersion("r/a", id: "null", size: 5, created: time + 678_000),
                ObjectVersion("r/a", id: "v2", created: time + 2_000_000, isLatest: true, isDeletion: true),
                ObjectVersion("r/b c/\u{e9}", id: "v3", created: time + 1_000_000, isLatest: true),
            ])
        #expect(page.prefixes == ["r/d e/"] && page.isNewestFirst)
        #expect(page.last == "r/b c/\u{e9}" && page.next == "r%2Fb%20c%2F%C3%A9\nv3")
        let version = "<Version><Key>a</Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Version>"
        #expect(try VersionPage(s3: Self.answer(version)).versions.count == 1)
        for wrong in [
            version.replacing("<Size>1</Size>", with: ""), version.replacing("<Size>1<", with: "<Size>-1<"),
            version.replacing("2026-01-02T", with: "yesterday "), version.replacing("<Key>a</Key>", with: ""),
            "<IsTruncated>true</IsTruncated>", "<Version>", "<!DOCTYPE x>",
            "<EncodingType>url</EncodingType>" + version.replacing(">a<", with: ">%zz<"),
        ] {
            #expect(throws: (any Error).self, "\(wrong)") { try VersionPage(s3: Self.answer(wrong)) }
        }
        #expect(throws: (any Error).self) { try VersionPage(s3: Array("<ListBucketResult></ListBucketResult>".utf8)) }
    }

    private static func answer(_ content: String) -> [UInt8] {
        Array("<ListVersionsResult>\(content)</ListVersionsResult>".utf8)
    }

    @Test("pages of Google's versions")
    func gcs() throws {
        let item = #"{"name":"r/a","size":"5","generation":"17","timeCreated":"2026-01-02T03:04:05.678Z"}"#
        let ended = item.replacing(#"{"name""#, with: #"{"timeDeleted":"2026-01-02T03:04:06.000Z","name""#)
        let body = #"{"items":[\#(ended),\#(item)],"prefixes":["r/d/"],"nextPageToken":"p"}"#
        let page = try VersionPage(gcs: Array(body.utf8))
        var version = ObjectVersion("r/a", id: "17", size: 5, created: 1_767_323_045_678_000)
        #expect(page.versions.last == version)
        version.ended = 1_767_323_046_000_000
        #expect(page.versions.first == version)
        #expect(page.prefixes == ["r/d/"] && page.next == "p" && page.last == "r/d/" && !page.isNewestFirst)
        #expect(try VersionPage(gcs: Array("{}".utf8)) == VersionPage(isNewestFirst: false))
        for wrong in [
            "", "[]", #"{"items":[{}]}"#, #"{"prefixes":[{}]}"#,
            #"{"items":[\#(item.replacing("generation", with: "etag"))]}"#,
            #"{"items":[\#(item.replacing("2026", with: "now"))]}"#,
            #"{"items":[\#(ended.replacing("06.000", with: "66.000"))]}"#,
        ] {
            #expect(throws: (any Error).self, "\(wrong)") { try VersionPage(gcs: Array(wrong.utf8)) }
        }
    }

    @Test("pages of Azure's versions")
    func azure() throws {
        let modified = "<Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT</Last-Modified>"
        let properties = "<Properties>\(modified)<Content-Length>5</Content-Length></Properties>"
        let blobs = """
            <Blob><Name>a</Name><VersionId>v1</VersionId>\(properties)</Blob>
            <Blob><Name>a</Name><VersionId>v2</VersionId><IsCurrentVersion>true</IsCurrentVersion>\(properties)</Blob>
            <Blob><Name>b</Name>\(properties)</Blob><BlobPrefix><Name>d/</Name></BlobPrefix>
            """
        func answer(_ blobs: String, next: String = "") -> [UInt8] {
            let text =
                "<EnumerationResults><Blobs>\(blobs)</Blobs><NextMarker>\(next)</NextMarker></EnumerationResults>"
            return Array(text.utf8)
        }
        let page = try VersionPage(azure: answer(blobs, next: "m"))
        let time: Int64 = 1_767_323_045_000_000
        #expect(
            page.versions == [
                ObjectVersion("a", id: "v1", size: 5, created: time),
                ObjectVersion("a", id: "v2", size: 5, created: time, isLatest: true),
                ObjectVersion("b", id: nil, size: 5, created: time),
            ])
        #expect(page.prefixes == ["d/"] && page.next == "m" && page.last == "d/" && !page.isNewestFirst)
        #expect(try VersionPage(azure: answer(blobs)).last == nil)
        for wrong in [
            "<Blob><Name>a</Name></Blob>", "<Blob><Name>a</Name>\(properties.replacing(modified, with: ""))</Blob>",
            "<Blob><Name>a</Name>\(properties.replacing("2026", with: "x"))</Blob>", "<Blob>",
        ] {
            #expect(throws: (any Error).self, "\(wrong)") { try VersionPage(azure: answer(wrong)) }
        }
        #expect(throws: (any Error).self) { try VersionPage(azure: Array("<Error></Error>".utf8)) }
    }
}
