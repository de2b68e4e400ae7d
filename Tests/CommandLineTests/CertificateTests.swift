import Foundation
import TestSupport
import Testing

/// `tls` as its users call it.
@Suite(.keepsScratchOnFailure, .requires(.permafrost), .timeLimit(.minutes(2)))
struct CertificateTests {
    @Test func certificatesAreMadeAndRenewed() async throws {
        try await withScratch { scratch in
            let directory = scratch.subpath("tls")
            let tls = ["--tls-path=\(directory)"]
            let made = try await run(["tls"] + tls + ["init", "Example CA"])
            made.succeeded()
            #expect(made.stdout.hasPrefix("authority 'Example CA', valid until 20"), "\(made)")
            let issued = try await run(tls + ["tls", "issue", "db1.example.com", "10.0.0.1"])
            issued.succeeded()
            #expect(issued.stdout.contains("tls-server-cert-file=\(directory)/db1.example.com.crt"), "\(issued)")
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == [
                    "ca.crt", "ca.key", "db1.example.com.crt", "db1.example.com.key",
                ])
            for purpose in ["sslserver", "sslclient"] {
                try await ProcessRunner.run(
                    "openssl",
                    [
                        "verify", "-x509_strict", "-purpose", purpose, "-verify_ip", "10.0.0.1", "-CAfile",
                        "\(directory)/ca.crt", "\(directory)/db1.example.com.crt",
                    ], asUser: ProcessRunner.serverUser
                ).expecting(0)
            }
            let idle = try await run(tls + ["tls", "renew"])
            idle.succeeded()
            #expect(idle.stdout.hasPrefix("1 certificate needs no renewal before 20"), "\(idle)")
            let renewed = try await run(tls + ["tls", "renew", "--force", "--tls-days=30"])
            renewed.succeeded()
            #expect(
                renewed.stdout.hasPrefix("renewed '\(directory)/db1.example.com.crt' for db1.example.com, 10.0.0.1"))
            // What will soon end is a warning, apart from what was done.
            let cut = try await run(tls + ["tls", "issue", "db2", "--tls-days=36500"])
            #expect(cut.status == 0 && cut.stderr.hasPrefix("WARN: the certificate of 'db2' ends with"), "\(cut)")
        }
    }

    @Test func whatIsWrongIsSaid() async throws {
        try await withScratch { scratch in
            let tls = ["--tls-path=\(scratch.subpath("tls"))", "tls"]
            try await run(tls + ["init"]).succeeded()
            try await run(tls + ["init"]).failed(
                93, "the authority 'Permafrost CA' is there already", hint: "renew ca", place: .standardError)
            try await run(["tls"]).failed(43, "tls requires what to do", hint: "init", place: .standardError)
            try await run(["tls", "frob"]).failed(96, "tls cannot 'frob'", hint: "renew", place: .standardError)
            try await run(tls + ["issue", "a/b"]).failed(
                96, "name 'a/b' has characters", hint: "IP address", place: .standardError)
            try await run(["--stanza=main", "tls", "renew"]).failed(
                31, "option 'stanza' not valid for command 'tls'", place: .standardError)
            try await run(["--tls-path=x", "tls", "renew"]).failed(32, "'x' must begin with /", place: .standardError)
            try await run(tls + ["renew", "--tls-days=0"]).failed(
                32, "out of range for 'tls-days'", hint: "1 to 36500", place: .standardError)
            try await run(["--tls-path=/nonexistent", "tls", "renew"]).failed(
                55, "'/nonexistent/ca.crt' is missing", hint: "permafrost tls init", place: .standardError)
        }
    }

    @Test func neitherConfigurationNorUserMatter() async throws {
        try await withScratch { scratch in
            let broken = try scratch.write("[global\n", to: "broken.conf")
            let environment = [
                "PERMAFROST_CONFIG": broken, "PERMAFROST_TLS_PATH": scratch.subpath("tls"), "PERMAFROST_TLS_DAYS": "5",
            ]
            try await run(["tls", "init", "--tls-days=50"], environment: environment).succeeded()
            // Root too, where the tests may be it.
            let issued = try await run(["tls", "issue", "db1"], environment: environment, asUser: nil)
            issued.succeeded()
            for (days, status) in [(4, 0), (6, 1)] as [(Int, Int32)] {
                try await ProcessRunner.run(
                    "openssl",
                    ["x509", "-in", scratch.subpath("tls/db1.crt"), "-noout", "-checkend", "\(days * 86_400)"]
                ).expecting(status)
            }
            // Nothing is logged.
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted() == ["broken.conf", "tls"])
        }
    }

    @Test func helpTellsOfAllThree() async throws {
        let help = try await run(["help", "tls"])
        help.succeeded()
        for part in ["init [NAME] | issue NAME... | renew [NAME...]", "--tls-path", "--tls-days", "--force"] {
            #expect(help.stdout.contains(part), "\(help)")
        }
        #expect(!help.stdout.contains("--stanza") && !help.stdout.contains("--log-"), "\(help)")
    }

    private func run(
        _ arguments: [String], environment: [String: String] = [:], asUser: String? = ProcessRunner.serverUser
    ) async throws -> ProcessResult {
        try await ProcessRunner.run(
            PermafrostPrograms.locate().launcher, arguments, environment: environment, asUser: asUser)
    }
}
