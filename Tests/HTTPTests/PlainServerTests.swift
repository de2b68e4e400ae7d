import Foundation
import Testing

@testable import HTTP

/// What the server makes of what arrives, without TLS in between.
struct PlainServerTests {
    private static func get(_ path: String, _ lines: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: h\r\n\(lines)\r\n"
    }

    @Test
    func oneConnectionManyRequests() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        try await apart {
            let connection = try RawConnection(port: port)
            for method in ["GET", "POST", "BREW"] {
                connection.send("\(method) /hello HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(connection.receive(until: "hello \(method)\n").hasPrefix("HTTP/1.1 200 OK\r\n"))
            }
            connection.send("GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            let last = connection.receiveAll()
            #expect(last.contains("Connection: close\r\n") && last.hasSuffix("hello GET\n"))
        }
        await server.stop()
    }

    /// Sent without waiting for answers: answered in their order, bodies apart from heads.
    @Test
    func pipelinedRequests() async throws {
        let server = try await TestServer.plain()
        var text = ""
        for number in 0..<300 {
            text += "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n\(10000 + number)"
            text +=
                "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n<\(number % 10)\r\n1\r\n>\r\n0\r\n\r\n"
        }
        let answer = try await RawConnection.exchange(
            text + Self.get("/hello", "Connection: close\r\n"), port: server.port)
        let bodies = answer.components(separatedBy: "\r\n\r\n").dropFirst().map { $0.prefix { $0 != "H" } }
        #expect(bodies.count == 601)
        #expect(zip(bodies, 0..<600).allSatisfy { $0 == ($1 % 2 == 0 ? "\(10000 + $1 / 2)" : "<\($1 / 2 % 10)>") })
        await server.stop()
    }

    @Test(arguments: [
        ("GET /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400"), ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"), ("GET /hello\n\n", "400"), ("\0\0\0\0", "400"),
        ("GET /hello HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", "417"),
    ])
    func refused(_ text: String, _ status: String) async throws {
        let server = try await TestServer.plain()
        let answer = try await RawConnection.exchange(text, port: server.port)
        #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && answer.contains("Connection: close\r\n"))
        let line = try #require(try await server.logged("request refused from 127.0.0.1:"))
        #expect(!line.contains("\0") && server.handler.events.all.isEmpty)
        await server.stop()
    }

    @Test
    func headersWithoutEnd() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        let (sent, answer) = try await apart {
            let connection = try RawConnection(port: port)
            connection.send("GET / HTTP/1.1\r\nHost: h\r\nX: ")
            let piece = [UInt8](repeating: 0x61, count: 1 << 20)
            var sent = 0
            while sent < 1024, connection.send(piece) { sent += 1 }
            return (sent, connection.receiveAll())
        }
        #expect(sent < 64, "\(sent) MiB were taken")
        // The answer is lost when so much more was on its way; the connection is closed in any case.
        #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 431 "))
        await server.stop()
    }

    @Test
    func aHeadThatIsTooLong() async throws {
        let server = try await TestServer.plain()
        let answer = try await RawConnection.exchange(
            Self.get("/hello", "X: " + String(repeating: "a", count: 70 << 10) + "\r\n"), port: server.port)
        #expect(answer.hasPrefix("HTTP/1.1 431 "))
        let long = try await RawConnection.exchange(
            Self.get("/hello", "Connection: close\r\nX: " + String(repeating: "a", count: 60 << 10) + "\r\n"),
            port: server.port)
        #expect(long.hasPrefix("HTTP/1.1 200 "))
        await server.stop()
    }

    @Test
    func slowPeers() async throws {
        let server = try await TestServer.plain(.impatient)
        let port = server.port
        // Says nothing; says half a head; sends half a body; says nothing after an answer.
        async let silent = RawConnection.exchange("", port: port)
        async let half = RawConnection.exchange("GET /hello HTTP/1.1\r\nHost: h\r\n", port: port)
        async let body = RawConnection.exchange(
            "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345", port: port)
        async let idle = RawConnection.exchange(Self.get("/hello"), port: port)
        #expect(try await silent.isEmpty)
        #expect(try await half.hasPrefix("HTTP/1.1 408 "))
        #expect(try await body.hasPrefix("HTTP/1.1 408 "))
        #expect(try await idle.hasSuffix("hello GET\n"))
        #expect(server.handler.events.all.contains { $0.hasPrefix("body failed: timeout") })
        await server.stop()
    }

    /// Slow, but never silent: no limit hits it.
    @Test
    func aSlowBodyThatComes() async throws {
        let server = try await TestServer.plain(.impatient)
        let port = server.port
        let answer = try await apart {
            let connection = try RawConnection(port: port)
            connection.send("PUT /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 10\r\n\r\n")
            for _ in 0..<10 {
                usleep(100_000)
                connection.send("x")
            }
            return connection.receiveAll()
        }
        #expect(answer.hasSuffix("\r\n\r\nxxxxxxxxxx"))
        await server.stop()
    }

    @Test
    func aPeerThatDoesNotRead() async throws {
        let server = try await TestServer.plain(.impatient)
        let port = server.port
        let connection = try await apart {
            let connection = try RawConnection(port: port, receiveBuffer: 4096)
            connection.send("GET /bytes?n=1000000000 HTTP/1.1\r\nHost: h\r\n\r\n")
            return connection
        }
        #expect(try await server.handler.events.happened("write failed"))
        let written = server.handler.events.all.compactMap { $0.hasPrefix("wrote ") ? Int($0.dropFirst(6)) : nil }
        #expect(written.allSatisfy { $0 < 16 << 20 }, "\(written)")
        #expect(try await server.logged("connection cut from 127.0.0.1:")?.contains("nothing was read") == true)
        connection.end()
        await server.stop()
    }

    @Test
    func aHandlerThatDoesNotRead() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        let (connection, taken) = try await apart {
            let connection = try RawConnection(port: port, sendBuffer: 64 << 10)
            connection.send("PUT /wait HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")
            return (connection, connection.sendUntilFull(limit: 1_000_000_000))
        }
        // What the server buffers, and the system's buffer of the socket, which grows to 6 MiB by default.
        #expect(taken < 16 << 20, "\(taken) bytes were taken")
        #expect(!server.handler.events.all.contains("cancelled"))
        connection.reset()
        #expect(try await server.handler.events.happened("cancelled"))
        await server.stop()
    }

    @Test
    func aPeerThatLeaves() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        let connection = try await apart {
            let connection = try RawConnection(port: port)
            connection.send(Self.get("/wait"))
            return connection
        }
        #expect(try await server.handler.events.happened("GET /wait"))
        connection.end()
        #expect(try await server.handler.events.happened("cancelled"))
        await server.stop()
    }

    @Test
    func halfABodyAndGone() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        try await apart {
            let connection = try RawConnection(port: port)
            connection.send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345")
            usleep(20000)
        }
        #expect(try await server.handler.events.happened("body failed: broken"))
        try await apart {
            let connection = try RawConnection(port: port)
            connection.send("PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nxyz\r\n")
            #expect(connection.receiveAll().hasPrefix("HTTP/1.1 400 "))
        }
        #expect(try await server.handler.events.happened("chunks that are none"))
        await server.stop()
    }

    @Test
    func expectations() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        try await apart {
            // Not before the handler wants the body.
            let head = "HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            let connection = try RawConnection(port: port)
            connection.send("PUT /echo \(head)")
            #expect(connection.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            connection.send("12345")
            #expect(connection.receive(until: "12345").hasPrefix("HTTP/1.1 200 OK\r\n"))
            // The body comes without waiting.
            connection.send("PUT /echo \(head)67890")
            let answer = connection.receive(until: "67890")
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(answer)")
            // Not wanted: then nobody knows whether it comes.
            connection.send("PUT /ignore \(head)")
            let ignored = connection.receiveAll()
            #expect(ignored.hasPrefix("HTTP/1.1 200 OK\r\n") && ignored.contains("Connection: close\r\n"))
        }
        await server.stop()
    }

    @Test
    func bodiesThatNobodyReads() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        try await apart {
            let connection = try RawConnection(port: port)
            for _ in 0..<3 {
                connection.send("PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
                connection.send([UInt8](repeating: 0x61, count: 100_000))
                #expect(!connection.receive(until: "ignored\n").contains("Connection: close"))
            }
            // A long one ends the connection, but the answer arrives, though the peer goes on sending.
            connection.send("PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
            connection.send([UInt8](repeating: 0x61, count: 1_000_000))
            let answer = connection.receiveAll()
            #expect(answer.contains("Connection: close\r\n") && answer.hasSuffix("ignored\n"))
        }
        await server.stop()
    }

    @Test
    func answers() async throws {
        let server = try await TestServer.plain()
        func ask(_ method: String, _ path: String, _ version: String = "1.1") async throws -> String {
            try await RawConnection.exchange(
                "\(method) \(path) HTTP/\(version)\r\nHost: h\r\nConnection: close\r\n\r\n", port: server.port)
        }
        let head = try await ask("HEAD", "/hello")
        #expect(head.contains("Content-Length: 11\r\n") && head.hasSuffix("\r\n\r\n"))
        let long = try await ask("HEAD", "/bytes?n=123456789")
        #expect(long.contains("Content-Length: 123456789\r\n") && long.hasSuffix("\r\n\r\n"))
        let nothing = try await ask("GET", "/nothing")
        #expect(nothing == "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        #expect(try await ask("GET", "/bytes?n=3").hasSuffix("\r\n\r\naaa"))
        #expect(try await ask("GET", "/bytes?n=3&chunked=1").hasSuffix("\r\n\r\n3\r\naaa\r\n0\r\n\r\n"))
        #expect(try await ask("GET", "/bytes?n=0").contains("Content-Length: 0\r\n"))
        #expect(try await ask("GET", "/hello", "1.0").hasSuffix("hello GET\n"))
        #expect(try await ask("GET", "/bytes?n=3", "1.0").hasSuffix("\r\n\r\naaa"))
        #expect(try await ask("GET", "/bytes?n=3&chunked=1", "1.0").hasPrefix("HTTP/1.1 505 "))
        await server.stop()
    }

    /// Nobody can take what came for all of it.
    @Test(arguments: ["short", "long", "fail"], ["", "chunked"])
    func answersThatFail(_ how: String, _ framing: String) async throws {
        guard !(framing == "chunked" && how != "fail") else { return }
        let server = try await TestServer.plain()
        let answer = try await RawConnection.exchange(
            Self.get("/bytes?n=3000000&\(how)=1&\(framing)=1", "Connection: close\r\n"), port: server.port)
        let body = answer.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "\r\n\r\n")
        if framing == "chunked" {
            #expect(!body.hasSuffix("0\r\n\r\n"))
        } else if how == "fail" {
            #expect(try await server.logged("an answer could not be made: the disk is gone") != nil)
        } else {
            #expect(body.utf8.count < (how == "short" ? 3_000_001 : 2_999_999))
        }
        #expect(try await server.logged("connection cut from 127.0.0.1:") != nil)
        await server.stop()
    }

    @Test
    func theEndOfAServer() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        let (idle, running) = try await apart {
            let idle = try RawConnection(port: port)
            idle.send(Self.get("/hello"))
            #expect(idle.receive(until: "GET\n").hasSuffix("hello GET\n"))
            let running = try RawConnection(port: port)
            running.send(Self.get("/wait"))
            return (idle, running)
        }
        #expect(try await server.handler.events.happened("GET /wait"))
        let start = ContinuousClock.now
        async let stopped: Void = server.server.stop(graceful: .seconds(120))
        #expect(try await apart { idle.receiveAll() } == "")
        await #expect(throws: Failure.self) { try await apart { try RawConnection(port: port) } }
        server.handler.events.add("release")
        let answer = try await apart { running.receiveAll() }
        #expect(answer.hasSuffix("waited\n") && answer.contains("Connection: close\r\n"))
        await stopped
        #expect(ContinuousClock.now - start < .seconds(60))
        #expect(server.handler.events.all.contains("released"))
    }

    @Test
    func theEndOfAServerThatIsBusyForTooLong() async throws {
        let server = try await TestServer.plain()
        let port = server.port
        let running = try await apart {
            let running = try RawConnection(port: port)
            running.send(Self.get("/wait"))
            return running
        }
        #expect(try await server.handler.events.happened("GET /wait"))
        await server.server.stop(graceful: .milliseconds(100))
        #expect(try await apart { running.receiveAll() } == "")
        #expect(try await server.handler.events.happened("cancelled"))
    }

    @Test
    func manyConnections() async throws {
        var limits = ServerLimits()
        limits.connections = 50
        let server = try await TestServer.plain(limits)
        let port = server.port
        // Those that have shown that they speak HTTP stay, however many others come.
        let proven = try await apart {
            try (0..<20).map { _ in
                let connection = try RawConnection(port: port)
                connection.send(Self.get("/hello"))
                #expect(connection.receive(until: "GET\n").hasSuffix("hello GET\n"))
                return connection
            }
        }
        let opened = try await apart {
            // Both ends are files of this process.
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let count = min(10_000, Int(clamping: limit.rlim_cur) - 2000)
            var others: [RawConnection] = []
            for _ in 0..<count { others.append(try RawConnection(port: port)) }
            return others.count
        }
        print("connections opened: \(opened)")
        #expect(opened >= 500)
        try await apart {
            for connection in proven {
                connection.send(Self.get("/hello"))
                #expect(connection.receive(until: "GET\n").hasSuffix("hello GET\n"))
            }
            let late = try RawConnection(port: port)
            late.send(Self.get("/hello"))
            #expect(late.receive(until: "GET\n").hasSuffix("hello GET\n"))
        }
        #expect(server.log.count { $0.contains("too many connections") } < 30)
        #expect(try await server.logged("too many connections") != nil)
        // All of them in use: the next are refused.
        let full = try await apart {
            try (0..<40).map { _ in
                let connection = try RawConnection(port: port)
                connection.send(Self.get("/hello"))
                return (connection, connection.receive(until: "GET\n").hasSuffix("hello GET\n"))
            }
        }
        // One of before may be on its way out still.
        #expect((29...30).contains(full.count { $0.1 }))
        _ = (proven, full)
        await server.stop()
    }

    @Test
    func whereTheHandlerRuns() async throws {
        for executor in [OneThread(), nil] {
            let server = try await TestServer(.plain(address: "127.0.0.1", port: 0), executor: executor)
            let answer = try await RawConnection.exchange(
                Self.get("/thread", "Connection: close\r\n"), port: server.port)
            #expect(answer.hasSuffix("\r\n\r\n\(executor != nil)"))
            await server.stop()
        }
    }

    @Test
    func whereItListens() async throws {
        for address in ["127.0.0.1", "localhost", "*", "::1", "0.0.0.0"] {
            let server: TestServer
            do {
                server = try await TestServer(.plain(address: address, port: 0))
            } catch  where address == "::1" {
                continue
            }
            if address != "::1" {
                let answer = try await RawConnection.exchange(
                    Self.get("/hello", "Connection: close\r\n"), port: server.port)
                #expect(answer.hasSuffix("hello GET\n"), "\(address)")
            }
            let second = HTTPServer(
                ServerOptions(.plain(address: address, port: server.port)), handler: server.handler)
            await #expect(throws: (any Error).self, "\(address)") { try await second.start() }
            await server.stop()
        }
        let nowhere = HTTPServer(ServerOptions(.plain(address: "no.such.invalid", port: 0)), handler: TestHandler())
        await #expect(throws: (any Error).self) { try await nowhere.start() }
    }
}
