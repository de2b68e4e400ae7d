import BackupModel
import Foundation
import Testing

@testable import HTTP

/// A socket in the file system, and requests by curl, which knows nothing of us.
struct SocketServerTests {
    private static func curl(_ arguments: [String], input: String? = nil) async throws -> String {
        try await apart { try run("/usr/bin/curl", ["-sS", "--max-time", "20"] + arguments, input: input).output }
    }

    @Test
    func aSocketInTheFileSystem() async throws {
        let directory = try scratchDirectory("socket")
        let path = directory + "/agent.sock"
        let server = try await TestServer(.socket(path: path, mode: 0o660))
        #expect(server.port == 0)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o7777 == 0o660)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["agent.sock"])
        let who = try await Self.curl(["--unix-socket", path, "http://agent/who"])
        #expect(who == "local(userID: \(geteuid()))")

        // One that lives is left alone.
        do {
            _ = try await TestServer(.socket(path: path, mode: 0o660))
            Issue.record("a second server took the socket")
        } catch let error as BackupError {
            #expect(error.code == .lockAcquire && error.message.contains(path))
        }
        #expect(try await Self.curl(["--unix-socket", path, "http://agent/hello"]) == "hello GET\n")
        await server.stop()
        #expect(stat(path, &status) != 0)

        // One that a killed server left behind is replaced; anything else is not.
        let stale = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(bind(stale, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0)
            }
        }
        close(stale)
        let next = try await TestServer(.socket(path: path, mode: 0o600))
        #expect(stat(path, &status) == 0 && status.st_mode & 0o7777 == 0o600)
        #expect(try await Self.curl(["--unix-socket", path, "http://agent/hello"]) == "hello GET\n")
        await next.stop()
        try Data("x".utf8).write(to: URL(filePath: path))
        for wrong in [path, directory + "/" + String(repeating: "x", count: 100), directory + "/none/agent.sock"] {
            await #expect(throws: BackupError.self) { try await TestServer(.socket(path: wrong, mode: 0o600)) }
        }
    }

    @Test
    func curlOverTLS() async throws {
        let certificates = try Certificates.shared.get()
        let server = try await TestServer.tls()
        let trust = [
            "--cacert", certificates.authority, "--cert", certificates.client.certificate, "--key",
            certificates.client.key,
        ]
        let base = "https://localhost:\(server.port)"
        #expect(try await Self.curl(trust + [base + "/who"]) == #"certificate(commonName: "client")"#)
        #expect(try await Self.curl(trust + [base + "/a%2Fb/../c?x=%20", "--path-as-is"]) == "")
        #expect(
            try await Self.curl(trust + [base + "/target/a%2Fb/%E2%82%AC?x=%20&y"])
                == #"["target", "a/b", "€"] ["x= ", "y="]"#)
        #expect(try await Self.curl(trust + [base + "/hello", base + "/hello"]) == "hello GET\nhello GET\n")
        let head = try await Self.curl(trust + ["--head", base + "/bytes?n=5000000000"])
        #expect(head.contains("Content-Length: 5000000000\r\n"))
        // A file, which curl announces by Expect, and a pipe, which it sends in chunks.
        let file = try scratchDirectory("upload") + "/file"
        try Data(repeating: 0x61, count: 3_000_000).write(to: URL(filePath: file))
        #expect(try await Self.curl(trust + ["-T", file, base + "/count"]) == "3000000")
        #expect(try await Self.curl(trust + ["-T", "-", base + "/echo"], input: "from a pipe") == "from a pipe")
        #expect(
            try await Self.curl(trust + ["-T", file, "-H", "Expect: 100-continue", base + "/ignore"]) == "ignored\n")
        #expect(
            try await Self.curl(trust + ["-o", file + ".back", "-w", "%{size_download}", base + "/bytes?n=20000000"])
                == "20000000")
        let failed = try await Self.curl(trust + ["-o", "/dev/null", base + "/bytes?n=3000000&short=1"])
        #expect(failed.contains("curl: ("))
        let stranger = certificates.pair("stranger")
        let refused = try await Self.curl([
            "--cacert", certificates.authority, "--cert", stranger.certificate, "--key", stranger.key, base + "/who",
        ])
        #expect(refused.contains("unknown ca"), "\(refused)")
        await server.stop()
    }

    /// A session that is taken up again is no way around the certificate.
    @Test
    func resumedSessions() async throws {
        let certificates = try Certificates.shared.get()
        let server = try await TestServer.tls()
        let session = try scratchDirectory("session") + "/session"
        let common = [
            "s_client", "-connect", "localhost:\(server.port)", "-CAfile", certificates.authority, "-cert",
            certificates.client.certificate, "-key", certificates.client.key, "-ign_eof",
        ]
        let request = "GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        for arguments in [["-sess_out", session], ["-sess_in", session]] {
            let result = try await apart { try run("/usr/bin/openssl", common + arguments, input: request) }
            #expect(result.output.contains(#"certificate(commonName: "client")"#), "\(result.output)")
        }
        await server.stop()
    }
}
