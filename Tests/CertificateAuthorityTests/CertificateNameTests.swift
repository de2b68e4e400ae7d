import BackupModel
import Testing

@testable import CertificateAuthority

struct CertificateNameTests {
    @Test(
        arguments: [
            ("db1", .dns("db1")), ("DB-1.Example.com", .dns("DB-1.Example.com")), ("db_1", .dns("db_1")),
            ("*.db.example.com", .dns("*.db.example.com")), ("*.db", .dns("*.db")), ("1a", .dns("1a")),
            ("10.example", .dns("10.example")), ("xn--bcher-kva.example", .dns("xn--bcher-kva.example")),
            (String(repeating: "a", count: 63) + ".b", .dns(String(repeating: "a", count: 63) + ".b")),
            ("10.0.0.1", .address([10, 0, 0, 1])), ("255.255.255.255", .address([255, 255, 255, 255])),
            ("::1", .address([UInt8](repeating: 0, count: 15) + [1])),
            ("2001:DB8:0::A", .address([0x20, 1, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [0x0a])),
        ] as [(String, CertificateName)])
    func isRecognised(text: String, name: CertificateName) throws {
        #expect(try CertificateName(text) == name)
    }

    @Test(
        arguments: [
            ("", "is empty"), (".", "empty part"), ("db1.", "empty part"), ("a..b", "empty part"), ("..", "empty part"),
            ("../db1", "empty part"), ("a/b", "no host name has"), ("a b", "no host name has"),
            ("a\nb", "no host name has"), ("a\u{0}b", "no host name has"), ("a=b", "no host name has"),
            ("\u{1b}[2J", "no host name has"), ("bücher", "xn--"), ("-a", "'-'"), ("a-.b", "'-'"), ("a.*", "'*'"),
            ("*", "'*'"), ("a.*.b", "'*'"), ("a*.b", "no host name has"), ("10.0.0.256", "no IP address"),
            ("1", "no IP address"), ("10.0.0.1/8", "no host name has"), ("::g", "no host name has"),
            ("fe80::1%eth0", "no host name has"), ("[::1]", "no host name has"),
            (String(repeating: "a", count: 64), "63 characters"),
            ((0..<64).map { _ in "abc" }.joined(separator: "."), "253 characters"),
        ])
    func isRefused(text: String, fault: String) {
        let error = #expect(throws: BackupError.self) { try CertificateName(text) }
        #expect(error?.code == .parameterInvalid && error?.message.contains(fault) == true, "\(error as Any)")
        #expect(error?.message.unicodeScalars.contains(where: isControl) == false)
    }

    @Test(
        arguments: [
            (["db1", "10.0.0.1", "DB1", "db1", "::1", "0::1", "*.db1"], ["db1", "10.0.0.1", "::1", "*.db1"]),
            (["0:0::1"], ["::1"]), ([], []),
        ] as [([String], [String])])
    func ofOneCertificateNoneComesTwice(words: [String], names: [String]) throws {
        #expect(try CertificateName.list(words).map(\.text) == names)
    }

    @Test(
        arguments: [
            (["*.db1", "db1"], "tls-server-auth"), (["ca"], "authority's own"),
            ([String(repeating: "a", count: 60) + ".example"], "64 characters"), (["db1", ""], "is empty"),
        ])
    func theFirstIsTheCommonName(words: [String], fault: String) {
        let error = #expect(throws: BackupError.self) { try CertificateName.list(words) }
        #expect(error?.code == .parameterInvalid && error?.message.contains(fault) == true, "\(error as Any)")
    }
}

struct ValidityTests {
    /// A life of 90 s, of which 30 are left at 60.
    @Test(
        arguments: [
            (-1, false, false, false), (0, false, false, false), (59, false, false, false), (60, false, false, false),
            (61, true, false, false), (81, true, false, false), (82, true, true, false), (90, true, true, false),
            (91, true, true, true), (1_000_000, true, true, true),
        ] as [(Int64, Bool, Bool, Bool)])
    func whatIsDue(now: Int64, isDue: Bool, isEnding: Bool, isOver: Bool) {
        let validity = Validity(notBefore: 0, notAfter: 90)
        #expect(validity.isDue(at: now) == isDue)
        #expect(validity.isEnding(at: now) == isEnding)
        #expect(validity.isOver(at: now) == isOver)
    }

    /// One that ends before it begins, or at once, can be written.
    @Test(arguments: [(10, 10), (10, 0)] as [(Int64, Int64)])
    func ofNoLength(notBefore: Int64, notAfter: Int64) {
        let validity = Validity(notBefore: notBefore, notAfter: notAfter)
        #expect(validity.isDue(at: 100) && validity.isOver(at: 100) && !validity.isOver(at: 0))
    }

    @Test func isRenewedForTheSameTime() {
        let validity = Validity(from: 1_000_000, days: 90)
        #expect(validity == Validity(notBefore: 999_700, notAfter: 1_000_000 + 90 * 86_400))
        #expect(validity.renewed(at: 2_000_000) == Validity(from: 2_000_000, days: 90))
        let end = Validity(notBefore: 0, notAfter: 1_000_100)
        #expect(validity.within(end) == Validity(notBefore: 999_700, notAfter: 1_000_100))
        #expect(end.within(validity) == end)
    }

    @Test(
        arguments: [
            (0, "1970-01-01 00:00:00 UTC"), (1_795_262_400, "2026-11-21 12:00:00 UTC"), (-1, "1969-12-31 23:59:59 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"), (Int64.max, "second \(Int64.max)"),
        ] as [(Int64, String)])
    func asText(seconds: Int64, text: String) { #expect(Validity.text(seconds) == text) }
}
