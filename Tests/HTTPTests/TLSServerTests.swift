import BackupModel
import Foundation
import Testing

@testable import HTTP

/// Certificates on both sides, with our own client.
struct TLSServerTests {
    private static func transport(
        _ client: String?, authority: String = "ca", _ change: (inout TransportOptions) -> Void = { _ in }
    ) throws(BackupError) -> NetworkTransport {
        guard case .success(let certificates) = Certificates.shared else {
            throw BackupError(.execute, "openssl makes no certificates")
        }
        var options = TransportOptions()
        options.caFile = certificates.path(authority + ".crt")
        if let client {
            options.certificateFile = certificates.pair(client).certificate
            options.keyFile = certificates.pair(client).key
        }
        options.minimumTLS = .v13
        options.timeout = .seconds(60)
        change(&options)
        return try NetworkTransport(options)
    }

    private static func get(
        _ path: String, _ server: TestServer, _ transport: NetworkTransport, host: String = "localhost"
    ) async throws(TransportError) -> String {
        let response = try await transport.send(HTTPRequest("GET", server.origin(host: host), path: path))
        return String(decoding: try await response.body.collect(limit: 1 << 20), as: UTF8.self)
    }

    @Test(arguments: ["localhost", "127.0.0.1"])
    func theNameOfAClient(_ host: String) async throws {
        let server = try await TestServer.tls()
        let transport = try Self.transport("client")
        for _ in 0..<3 {
            #expect(try await Self.get("/who", server, transport, host: host) == #"certificate(commonName: "client")"#)
        }
        #expect(server.log.isEmpty)
        await server.stop()
    }

    /// Who is refused, what the client says of it, what the server does.
    @Test(
        arguments: [
            ("stranger", "ca", "does not know", "is of another authority, 'Test other'"),
            ("expired-client", "ca", "ours has expired", "its certificate 'expired-client' expired at 2"),
            (nil, "ca", "we have shown none", "no certificate"),
            ("for-servers-only", "ca", "does not accept ours", "is for another use"),
        ] as [(String?, String, String, String)])
    func clientsThatAreRefused(_ client: String?, _ authority: String, _ ours: String, _ theirs: String) async throws {
        let server = try await TestServer.tls()
        let transport = try Self.transport(client, authority: authority)
        let start = ContinuousClock.now
        // The refusal arrives after the handshake; often enough it must be understood.
        for _ in 0..<10 {
            do {
                let answer = try await Self.get("/who", server, transport)
                Issue.record("let in: \(answer)")
            } catch {
                #expect(error.kind == .certificate && error.reason.contains(ours), "\(error.kind): \(error)")
            }
        }
        let line = try await server.logged("connection refused from ")
        #expect(line?.contains(theirs) == true, "\(line ?? "nothing")")
        // One line a second.
        #expect(server.log.count <= 1 + Int((ContinuousClock.now - start).components.seconds) + 1, "\(server.log)")
        #expect(server.handler.events.all.isEmpty)
        await server.stop()
    }

    /// The same while a large body is being sent.
    @Test
    func aRefusalInTheMiddleOfABody() async throws {
        let server = try await TestServer.tls()
        let transport = try Self.transport("stranger")
        var errors: [TransportError] = []
        for _ in 0..<10 {
            var request = HTTPRequest("PUT", server.origin(), path: "/count")
            request.body = [UInt8](repeating: 1, count: 4 << 20)
            do throws(TransportError) {
                _ = try await transport.send(request)
                Issue.record("let in")
            } catch {
                errors.append(error)
            }
        }
        #expect(errors.count { $0.kind == .certificate } >= 8, "\(errors.map { "\($0.kind): \($0)" })")
        await server.stop()
    }

    @Test
    func aClientWithoutAName() async throws {
        let server = try await TestServer.tls()
        let response = try await Self.transport("nameless").send(HTTPRequest("GET", server.origin(), path: "/who"))
        #expect(response.status == 403)
        #expect(String(decoding: try await response.body.collect(limit: 1000), as: UTF8.self).contains("common name"))
        #expect(try await server.logged("a certificate without a common name") != nil)
        await server.stop()
    }

    @Test(arguments: [
        ("expired-server", "ca", "localhost", "'expired-server' expired at 2"),
        ("server", "other", "localhost", "is of another authority, 'Test ca'"),
        ("elsewhere", "ca", "localhost", "is for another host name"),
        ("elsewhere", "ca", "127.0.0.1", "is for another host name"),
    ])
    func serversThatAreRefused(_ name: String, _ authority: String, _ host: String, _ reason: String) async throws {
        let certificates = try Certificates.shared.get()
        let server = try await TestServer.tls(certificates.pair(name))
        let transport = try Self.transport("client", authority: authority)
        do {
            let answer = try await Self.get("/who", server, transport, host: host)
            Issue.record("trusted: \(answer)")
        } catch {
            #expect(error.kind == .certificate && error.reason.contains(reason), "\(error.kind): \(error)")
        }
        if name == "expired-server" { #expect(server.log.first?.contains("expired at") == true) }
        await server.stop()
    }

    @Test
    func whatIsNoTLS() async throws {
        let server = try await TestServer.tls()
        let port = server.port
        _ = try await RawConnection.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n", port: port)
        #expect(try await server.logged("HTTP without TLS") != nil)
        try await apart {
            for seed in 0..<20 {
                var random = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1
                let connection = try RawConnection(port: port)
                connection.send(
                    (0..<5000).map { _ in
                        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        return UInt8(random >> 56)
                    })
                _ = connection.receiveAll()
            }
        }
        #expect(try await server.logged("no TLS") != nil || server.log.count > 1)
        #expect(server.log.count < 20)
        let old = try await apart {
            try run(
                "/usr/bin/openssl", ["s_client", "-connect", "localhost:\(port)", "-tls1_2"], input: "Q\n")
        }
        #expect(old.status != 0)
        #expect(try await server.logged("older than TLS 1.3") != nil)
        #expect(try await Self.get("/who", server, try Self.transport("client")).contains("client"))
        await server.stop()
    }

    @Test
    func aHandshakeThatNeverComes() async throws {
        let server = try await TestServer.tls(nil, .impatient)
        #expect(try await RawConnection.exchange("", port: server.port) == "")
        #expect(try await server.logged("no TLS handshake") != nil)
        await server.stop()
    }

    @Test
    func filesOfAClient() throws {
        let certificates = try Certificates.shared.get()
        let directory = try scratchDirectory("client")
        let open = directory + "/open.key"
        try FileManager.default.copyItem(atPath: certificates.client.key, toPath: open)
        chmod(open, 0o644)
        let (certificate, key) = (certificates.client.certificate, certificates.client.key)
        let cases: [(certificate: String?, key: String?, code: ErrorCode, text: String)] = [
            (directory + "/none.crt", key, .fileMissing, "none.crt"),
            (certificate, directory + "/none.key", .fileMissing, "none.key"),
            (certificate, open, .fileRead, "group or other permissions"),
            (certificate, certificates.server.key, .fileInvalid, "does not fit"),
            (key, key, .fileInvalid, "certificate"), (certificate, certificate, .fileRead, "permissions"),
            (certificate, nil, .optionInvalid, "needs its key"), (nil, key, .optionInvalid, "needs its key"),
        ]
        for (certificate, key, code, text) in cases {
            do throws(BackupError) {
                _ = try Self.transport(nil) { options in
                    options.certificateFile = certificate
                    options.keyFile = key
                }
                Issue.record("taken: \(text)")
            } catch {
                #expect(error.code == code && error.message.contains(text), "\(error)")
            }
        }
    }

    /// One client must not take the places of all.
    @Test
    func aClientWithTooManyConnections() async throws {
        var limits = ServerLimits()
        limits.connectionsOfClient = 3
        let server = try await TestServer.tls(nil, limits)
        let transport = try Self.transport("client")
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<3 { group.addTask { try await Self.get("/wait", server, transport) } }
            while server.handler.events.all.count < 3 { try await Task.sleep(for: .milliseconds(5)) }
            #expect(try await Self.get("/who", server, transport).contains("too many connections of this client"))
            // Whoever else comes is let in.
            #expect(try await Self.get("/who", server, try Self.transport("renewed")).contains("renewed"))
            server.handler.events.add("release")
            while let answer = try await group.next() { #expect(answer == "waited\n") }
        }
        #expect(try await server.logged("too many connections of this client") != nil)
        await server.stop()
    }

    /// The handler learns of it, though it reads nothing.
    @Test
    func aClientThatLeaves() async throws {
        let server = try await TestServer.tls()
        let transport = try Self.transport("client")
        let request = Task { try? await Self.get("/wait", server, transport) }
        #expect(try await server.handler.events.happened("GET /wait"))
        request.cancel()
        #expect(try await server.handler.events.happened("cancelled"))
        await server.stop()
    }

    /// By whoever renews them, without a word to the server.
    @Test
    func replacedCertificates() async throws {
        let certificates = try Certificates.shared.get()
        let directory = try scratchDirectory("replaced")
        let pair = Certificates.Pair(certificate: directory + "/server.crt", key: directory + "/server.key")
        func install(certificate: String, key: String) throws {
            for (from, to) in [
                (certificates.pair(certificate).certificate, pair.certificate), (certificates.pair(key).key, pair.key),
            ] {
                // Under another name first, as all do that replace files.
                try Data(contentsOf: URL(filePath: from)).write(to: URL(filePath: to + ".new"))
                chmod(to + ".new", 0o600)
                rename(to + ".new", to)
            }
        }
        try install(certificate: "server", key: "server")
        let server = try await TestServer.tls(pair)
        let end = server.server.certificateEnd
        #expect(end != nil)
        #expect(try !server.server.renewIfChanged())
        try install(certificate: "renewed", key: "server")
        #expect(try !server.server.renewIfChanged())
        // The key comes between two looks: the pair is not read before it stays the same.
        try install(certificate: "renewed", key: "renewed")
        #expect(try !server.server.renewIfChanged())
        #expect(try server.server.renewIfChanged())
        #expect(try !server.server.renewIfChanged())
        let transport = try Self.transport("client")
        #expect(try await Self.get("/who", server, transport).contains("client"))

        try install(certificate: "server", key: "client")
        #expect(try !server.server.renewIfChanged())
        let failure = #expect(throws: BackupError.self) { try server.server.renewIfChanged() }
        #expect(failure?.message.contains("does not fit") == true)
        // It is told once, and tried again when there is something else.
        #expect(try !server.server.renewIfChanged())
        #expect(try !server.server.renewIfChanged())
        try install(certificate: "server", key: "server")
        #expect(try !server.server.renewIfChanged())
        #expect(try server.server.renewIfChanged())
        await server.stop()
    }

    /// New certificates for new connections; what runs goes on.
    @Test
    func renewedCertificates() async throws {
        let certificates = try Certificates.shared.get()
        let directory = try scratchDirectory("renewal")
        let pair = Certificates.Pair(certificate: directory + "/server.crt", key: directory + "/server.key")
        func install(_ name: String) throws {
            for (from, to) in [
                (certificates.pair(name).certificate, pair.certificate), (certificates.pair(name).key, pair.key),
            ] {
                try Data(contentsOf: URL(filePath: from)).write(to: URL(filePath: to))
                chmod(to, 0o600)
            }
        }
        func shown() async throws -> String {
            let port = server.port
            return try await apart {
                try run(
                    "/usr/bin/openssl",
                    [
                        "s_client", "-connect", "localhost:\(port)", "-cert", certificates.client.certificate, "-key",
                        certificates.client.key,
                    ], input: ""
                ).output
            }
        }
        try install("server")
        let server = try await TestServer.tls(pair)
        let transport = try Self.transport("client")
        #expect(try await shown().contains("subject=CN = server"))
        async let running = Self.get("/wait", server, transport)
        #expect(try await server.handler.events.happened("GET /wait"))

        try install("renewed")
        try server.server.reload()
        #expect(try await shown().contains("subject=CN = renewed"))

        // Files that are wrong change nothing.
        let wrong: [(String, () throws -> Void)] = [
            (
                "does not fit",
                {
                    try install("server"); try? FileManager.default.removeItem(atPath: pair.key)
                    try FileManager.default.copyItem(atPath: certificates.client.key, toPath: pair.key)
                }
            ),
            ("no such", { try? FileManager.default.removeItem(atPath: pair.key) }),
            (
                "group or other permissions",
                {
                    try install("server"); chmod(pair.key, 0o644)
                }
            ),
            (
                "private key",
                {
                    try install("server"); try Data("x".utf8).write(to: URL(filePath: pair.key)); chmod(pair.key, 0o600)
                }
            ),
            (
                "certificate",
                {
                    try install("server"); try Data("x".utf8).write(to: URL(filePath: pair.certificate))
                }
            ),
        ]
        for (reason, damage) in wrong {
            try damage()
            do throws(BackupError) {
                try server.server.reload()
                Issue.record("read: \(reason)")
            } catch {
                #expect(
                    error.description.lowercased().contains(reason) && error.message.contains(directory), "\(error)")
            }
            #expect(try await shown().contains("subject=CN = renewed"))
        }
        server.handler.events.add("release")
        #expect(try await running == "waited\n")
        await server.stop()
    }

    /// In both directions. What is printed of memory is the server's and the client's, and that of tests beside this one.
    @Test(.serialized, arguments: [true, false])
    func aLargeBody(secure: Bool) async throws {
        let server = secure ? try await TestServer.tls() : try await TestServer.plain()
        let host = secure ? "localhost" : "127.0.0.1"
        let transport = try Self.transport("client")
        let megabytes = 200
        var request = HTTPRequest("PUT", server.origin(secure: secure, host: host), path: "/count")
        // Made before memory is looked at.
        request.body = [UInt8](repeating: 7, count: megabytes << 20)
        let before = residentMemory()
        let watch = Task.detached {
            var peak = 0
            while !Task.isCancelled {
                peak = max(peak, residentMemory())
                try? await Task.sleep(for: .milliseconds(20))
            }
            return peak
        }
        var start = ContinuousClock.now
        let answer = try await transport.send(request)
        #expect(String(decoding: try await answer.body.collect(limit: 100), as: UTF8.self) == "\(megabytes << 20)")
        let up = ContinuousClock.now - start

        start = .now
        var download = HTTPRequest("GET", server.origin(secure: secure, host: host), path: "/bytes")
        download.query = [("n", "\(megabytes << 20)")]
        let response = try await transport.send(download)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        var total = 0
        while true {
            let count = try await response.body.read(into: buffer)
            if count == 0 { break }
            total += count
        }
        let down = ContinuousClock.now - start
        #expect(total == megabytes << 20)
        watch.cancel()
        let grown = await watch.value - before
        let name = secure ? "TLS" : "plain"
        print("\(name), \(megabytes) MiB: up \(up), down \(down), \(grown) MiB of memory at most")
        await server.stop()
    }
}
