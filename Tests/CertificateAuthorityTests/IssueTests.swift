import BackupModel
import Foundation
import TestSupport
import Testing

@testable import CertificateAuthority

/// What is made, read and judged by OpenSSL.
@Suite(.timeLimit(.minutes(2))) struct IssueTests {
    @Test func theAuthorityIsOneToOpenSSL() async throws {
        let place = Place()
        try place.run("init")
        #expect(place.takeSaid().contains("'Permafrost CA', valid until 2036-11-18 12:00:00 UTC"))
        #expect(place.takeWarned().isEmpty)
        #expect(place.files() == ["ca.crt", "ca.key"])
        #expect(try place.mode("ca.crt") == 0o644 && place.mode("ca.key") == 0o600)
        let text = try await place.field("ca.crt", "-text")
        for part in [
            "Version: 3", "Subject: CN = Permafrost CA", "Issuer: CN = Permafrost CA", "prime256v1",
            "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
            "Signature Algorithm: ecdsa-with-SHA256",
            "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign", "X509v3 Subject Key Identifier",
            "Not Before: Nov 21 11:55:00 2026 GMT", "Not After : Nov 18 12:00:00 2036 GMT",
        ] {
            #expect(text.contains(part), "'\(part)' is missing: \(text)")
        }
        _ = try await place.openssl("verify -x509_strict -check_ss_sig -attime \(noon) -CAfile ca.crt ca.crt")
            .expecting(0)
        _ = try await place.openssl("pkey -in ca.key -noout -check").expecting(0)
    }

    @Test func aCertificateIsForServerAndClient() async throws {
        let place = Place()
        try place.run("init")
        _ = place.takeSaid()
        try place.run("issue db1.example.com db1 10.0.0.1 2001:db8::1 *.db1.example.com")
        let said = place.takeSaid()
        for part in [
            "db1.example.com, db1, 10.0.0.1, 2001:db8::1, *.db1.example.com, valid until 2027-02-19 12:00:00 UTC",
            "tls-server-ca-file=\(place.path)/ca.crt", "tls-server-cert-file=\(place.path)/db1.example.com.crt",
            "tls-server-key-file=\(place.path)/db1.example.com.key", "tls-server-auth=db1.example.com=",
        ] {
            #expect(said.contains(part), "\(said)")
        }
        #expect(place.takeWarned().isEmpty)
        #expect(try place.mode("db1.example.com.crt") == 0o644 && place.mode("db1.example.com.key") == 0o600)
        let text = try await place.field("db1.example.com.crt", "-text")
        for part in [
            "Subject: CN = db1.example.com", "X509v3 Basic Constraints: critical\n                CA:FALSE",
            "X509v3 Key Usage: critical\n                Digital Signature\n",
            "TLS Web Server Authentication, TLS Web Client Authentication",
            "DNS:db1.example.com, DNS:db1, IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1, "
                + "DNS:*.db1.example.com",
            "X509v3 Authority Key Identifier",
        ] {
            #expect(text.contains(part), "'\(part)' is missing: \(text)")
        }
        for name in [
            "-verify_hostname db1.example.com", "-verify_hostname DB1", "-verify_hostname x.db1.example.com",
            "-verify_ip 10.0.0.1", "-verify_ip 2001:db8:0::1",
        ] {
            #expect(try await place.verify("db1.example.com.crt", options: name) == [], "\(name)")
        }
        for name in ["-verify_hostname db2", "-verify_ip 10.0.0.2", "-verify_hostname x.y.db1.example.com"] {
            #expect(try await place.verify("db1.example.com.crt", options: name).count == 2, "\(name)")
        }
        #expect(try await place.verify("db1.example.com.crt", at: noon + 91 * day).count == 2)
        let keys = [
            try await place.openssl("pkey -in db1.example.com.key -pubout").expecting(0).stdout,
            try await place.field("db1.example.com.crt", "-pubkey"),
        ]
        #expect(keys[0] == keys[1])
    }

    @Test func timeIsBoundedByTheAuthority() async throws {
        let place = Place()
        try place.run("init Short", days: 10)
        try place.run("issue db1", days: 9)
        #expect(place.takeWarned().isEmpty)
        try place.run("issue db2", days: 30)
        #expect(place.takeWarned().contains("'db2' ends with that of the authority, on 2026-12-01 12:00:00 UTC"))
        #expect(try await place.field("db2.crt", "-enddate").contains("Dec  1 12:00:00 2026"))
        // After 2049 times are written in another form.
        try place.run("renew ca", days: 36_500, force: true)
        try place.run("issue db3", days: 20_000)
        #expect(try await place.verify("db3.crt", at: noon + 19_999 * day) == [])
    }

    static let refusals: [(line: String, code: ErrorCode, says: String)] = [
        ("", .parameterRequired, "what to do"), ("make", .parameterInvalid, "cannot 'make'"),
        ("init a b", .parameterInvalid, "one name at most"),
        ("init \(String(repeating: "x", count: 65))", .parameterInvalid, "name of an authority"),
        ("init a\u{7}b", .parameterInvalid, "'a?b' is not valid"),
        ("init", .fileExists, "'Permafrost CA' is there already"), ("issue", .parameterRequired, "requires a name"),
        ("issue ../x", .parameterInvalid, "'../x'"), ("issue ca", .parameterInvalid, "authority's own"),
        ("issue db1", .fileExists, "db1.crt' is there already, valid until 2027-02-19"),
        ("issue other", .fileExists, "issued by 'Another'"), ("issue lost", .fileExists, "lost.crt' is there already"),
        ("issue garbage", .fileInvalid, "no certificate in PEM form"),
        ("issue badkey", .fileInvalid, "no private key in PEM form"),
        ("renew none", .fileMissing, "there is no certificate"), ("renew ../x", .parameterInvalid, "'../x'"),
        ("renew other", .fileInvalid, "not issued by this authority, but by 'Another'"),
        ("renew garbage", .fileInvalid, "no certificate in PEM form"),
    ]

    /// One place for all, where nothing changes.
    @Test func whatIsRefusedIsSaidAndChangesNothing() async throws {
        let other = Place()
        try other.run("init Another")
        try other.run("issue other")
        let place = Place()
        try place.run("init")
        try place.run("issue db1")
        try place.run("issue lost")
        try FileManager.default.removeItem(atPath: "\(place.path)/lost.key")
        for name in ["other.crt", "other.key"] {
            try FileManager.default.copyItem(atPath: "\(other.path)/\(name)", toPath: "\(place.path)/\(name)")
        }
        try place.write("no certificate", to: "garbage.crt")
        try place.write("no key", to: "badkey.key")
        let before = place.files().map { place.bytes($0) }
        for (line, code, says) in Self.refusals {
            let error = place.failure(line)
            #expect(error?.code == code && error?.message.contains(says) == true, "\(line): \(error as Any)")
            #expect(error?.hint != nil, "\(line)")
        }
        let error = place.failure("issue lost", force: true)
        #expect(error?.code == .fileExists && error?.message.contains("without its key") == true, "\(error as Any)")
        #expect(place.files().map { place.bytes($0) } == before)
    }

    @Test func forceReplacesAndKeepsTheKey() async throws {
        let place = Place()
        try place.run("init")
        try place.run("issue db1")
        let key = place.bytes("db1.key")
        try place.run("issue db1 db1.example.com", force: true)
        #expect(place.bytes("db1.key") == key)
        #expect(try await place.verify("db1.crt", options: "-verify_hostname db1.example.com") == [])
        // One that is over is replaced without.
        try place.run("issue db1", at: noon + 90 * day + 1)
        #expect(place.bytes("db1.key") == key)
        #expect(try await place.verify("db1.crt", at: noon + 100 * day) == [])
        // What cannot be read is replaced too.
        try place.write("garbage", to: "db1.crt")
        try place.run("issue db1", force: true)
        #expect(try await place.verify("db1.crt") == [])
    }

    @Test(arguments: [
        "ecparam -name secp384r1 -genkey -out ca.key", "genrsa -out ca.key 2048",
        "genrsa -traditional -out ca.key 2048",
        "ecparam -name prime256v1 -genkey -out ca.key",
    ])
    func anAuthorityOfOpenSSLSigns(make: String) async throws {
        let place = Place()
        try FileManager.default.createDirectory(atPath: place.path, withIntermediateDirectories: true)
        _ = try await place.openssl(make).expecting(0)
        _ = try await place.openssl("req -x509 -new -key ca.key -subj /O=Example/CN=Ours -days 9000 -out ca.crt")
            .expecting(0)
        let now = Int64(Date().timeIntervalSince1970)
        try place.run("issue db1", at: now)
        // It does not say what its key may be used for, which is not strict.
        #expect(try await place.verify("db1.crt", at: now, isStrict: false) == [])
        try place.run("renew ca", at: now, force: true)
        #expect(try await place.verify("db1.crt", at: now) == [])
        #expect(try await place.field("ca.crt", "-subject").contains("O = Example, CN = Ours"))
    }

    @Test(arguments: ["genrsa -out db1.key 2048", "ecparam -name secp384r1 -genkey -noout -out db1.key"])
    func aKeyThatIsThereIsUsed(make: String) async throws {
        let place = Place()
        try place.run("init")
        _ = try await place.openssl(make).expecting(0)
        let key = place.bytes("db1.key")
        try place.run("issue db1")
        #expect(place.bytes("db1.key") == key)
        #expect(try await place.verify("db1.crt") == [])
    }

    /// `openssl s_server` and `s_client` in TLS 1.3, each asking for the certificate of the other.
    @Test(arguments: [("repo", "db1", true), ("repo", "stranger", false)])
    func bothSidesShakeHands(server: String, client: String, succeeds: Bool) async throws {
        let now = Int64(Date().timeIntervalSince1970)
        let place = Place()
        try place.run("init", at: now)
        try place.run("issue repo repo.example.com 127.0.0.1", at: now)
        try place.run("issue db1", at: now)
        let other = Place()
        try other.run("init", at: now)
        try other.run("issue stranger", at: now)
        let clientFiles = client == "stranger" ? other.path : place.path
        let script = """
            set -u
            cd \(place.path)
            openssl s_server -accept 127.0.0.1:0 -naccept 1 -tls1_3 -Verify 1 -verify_return_error -CAfile ca.crt \
                -cert \(server).crt -key \(server).key -www > server.log 2>&1 &
            server=$!
            trap 'kill $server 2> /dev/null; wait' EXIT
            for _ in $(seq 200); do port=$(sed -n 's/^ACCEPT 127.0.0.1://p' server.log); [ -n "$port" ] && break; sleep 0.05; done
            printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect 127.0.0.1:$port -tls1_3 -CAfile ca.crt \
                -cert \(clientFiles)/\(client).crt -key \(clientFiles)/\(client).key -verify_return_error \
                -verify_hostname repo.example.com -ign_eof
            wait $server
            echo '--- server'; cat server.log
            """
        let result = try await ProcessRunner.run("bash", ["-c", script])
        let all = result.stdout + result.stderr
        #expect(all.contains("Verify return code: 0 (ok)"), "\(result)")
        #expect(all.contains("Verified peername: repo.example.com"), "\(result)")
        #expect(all.contains("TLSv1.3"), "\(result)")
        #expect(all.contains("HTTP/1.0 200 ok") == succeeds, "\(result)")
        #expect(all.contains("verify error") != succeeds, "\(result)")
    }
}
