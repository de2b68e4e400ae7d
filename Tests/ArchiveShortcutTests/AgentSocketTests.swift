import ArchiveShortcut
import Foundation
import Glibc
import Testing

@Suite struct AgentRequestTests {
    private static let request = AgentRequest(stanza: "main", fileName: "000000010000000000000001")

    @Test func isReadAsItWasWrittenHoweverItArrives() {
        let bytes = Self.request.bytes
        for count in 0..<bytes.count { #expect(AgentRequest.read(Array(bytes[..<count])) == .part, "\(count) bytes") }
        #expect(AgentRequest.read(bytes) == .whole(Self.request))
    }

    @Test(
        "what is none",
        arguments: [
            Array("GET / HTTP/1.1\r\n".utf8), [0], [0xff], request.bytes + [0], request.bytes + [65],
            Array("permafrost agent 2 archive-push\0main\0x\0".utf8),
            Array("permafrost agent 1 archive-push\0\0x\0".utf8),
            Array("permafrost agent 1 archive-push\0main\0\0".utf8),
            Array("permafrost agent 1 archive-push\0ma".utf8) + [0xff] + Array("in\0x\0".utf8),
            Array("permafrost agent 1 archive-push\0".utf8) + [UInt8](repeating: 65, count: AgentRequest.limit),
        ])
    func none(bytes: [UInt8]) {
        #expect(AgentRequest.read(bytes) == .none)
    }
}

/// The launcher's end, against agents that do what they should not.
@Suite struct AgentSocketTests {
    private static let request = AgentRequest(stanza: "main", fileName: "000000010000000000000001")

    @Test(
        "only an agent that says so has done it",
        arguments: [
            ("wd", true), ("d", true), ("wl", false), ("l", false), ("w", false), ("", false), ("x", false),
            ("ww", false), ("HTTP/1.1 400 Bad Request", false),
        ])
    func said(text: String, isDone: Bool) throws {
        let agent = try FakeAgent { text }
        defer { agent.remove() }
        #expect(AgentSocket(path: agent.path).ask(Self.request, timeout: 2000) == isDone)
    }

    @Test("one that is silent is not waited for", arguments: [("", 1000), ("w", 200)])
    func silent(text: String, milliseconds: Int) throws {
        let agent = try FakeAgent(hangsUp: false) { text }
        defer { agent.remove() }
        let start = ContinuousClock.now
        #expect(!AgentSocket(path: agent.path).ask(Self.request, timeout: 200))
        let time = ContinuousClock.now - start
        #expect(time >= .milliseconds(milliseconds) && time < .milliseconds(milliseconds + 2000), "\(time)")
    }

    @Test("no agent", arguments: ["", "/nonexistent/agent.sock", "/etc/passwd", String(repeating: "x", count: 200)])
    func absent(path: String) {
        #expect(!AgentSocket(path: path).ask(Self.request, timeout: 1000))
    }

    @Test("one that takes no more is not waited for")
    func full() throws {
        let agent = try FakeAgent(backlog: 0, answers: 0) { "d" }
        defer { agent.remove() }
        let others = (0..<4).map { _ in connectTo(agent.path) }
        defer { for other in others { close(other) } }
        let start = ContinuousClock.now
        #expect(!AgentSocket(path: agent.path).ask(Self.request, timeout: 1000))
        #expect(ContinuousClock.now - start < .milliseconds(800))
    }

    @Test("one of another user is not asked")
    func foreign() throws {
        guard geteuid() == 0 else { return }
        // To a user who is neither the agent's nor root: what root's agent is, too, is trusted.
        let directory = "/tmp/pf-foreign-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        chmod(directory, 0o777)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let server = Process()
        server.executableURL = URL(filePath: "/usr/bin/setpriv")
        server.arguments = [
            "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c",
            """
            import os, socket
            s = socket.socket(socket.AF_UNIX); s.bind('\(directory)/s'); s.listen(); os.rename('\(directory)/s', '\(directory)/a')
            while True:
                c, _ = s.accept(); c.recv(4096); c.send(b'd'); c.close()
            """,
        ]
        try server.run()
        defer { server.terminate() }
        for _ in 0..<200 where access("\(directory)/a", F_OK) != 0 { usleep(20_000) }
        #expect(AgentSocket(path: "\(directory)/a", user: 65534).ask(Self.request, timeout: 1000))
        #expect(!AgentSocket(path: "\(directory)/a", user: 0).ask(Self.request, timeout: 1000))
    }
}

/// What the launcher makes of an agent's word.
@Suite struct AgentAnswerTests {
    private func place(_ agent: FakeAgent) throws -> Place {
        let place = try Place()
        try FileManager.default.removeItem(atPath: "\(place.root)/\(place.done)")
        try place.leave {
            $0.agentSocket = agent.path; $0.timeout = 2000
        }
        return place
    }

    @Test func itIsNotBelievedWhenTheSpoolSaysNothing() throws {
        let agent = try FakeAgent { "wd" }
        defer { agent.remove() }
        let place = try place(agent)
        defer { place.remove() }
        #expect(place.answer(place.push) == nil)
    }

    @Test func anAgentThatPushesIsWaitedFor() throws {
        let done = SharedText()
        let agent = try FakeAgent {
            _ = FileManager.default.createFile(atPath: done.value, contents: nil)
            return "wd"
        }
        defer { agent.remove() }
        let place = try place(agent)
        defer { place.remove() }
        done.value = "\(place.root)/\(place.done)"
        // Of a stopped stanza, of a file with a warning, elsewhere, and when it is not for it: nobody is asked.
        try place.write("lock/main.stop", "")
        #expect(place.answer(place.push) == nil)
        try FileManager.default.removeItem(atPath: "\(place.root)/lock/main.stop")
        try place.write(place.done, "0\nwarning")
        #expect(place.answer(place.push) == nil)
        try FileManager.default.removeItem(atPath: "\(place.root)/\(place.done)")
        try place.leave {
            $0.agentSocket = agent.path; $0.isForAgent = false
        }
        #expect(place.answer(place.push) == nil)
        try place.leave { $0.agentSocket = agent.path }
        var elsewhere = place.push
        elsewhere[4] = "\(place.root)/e/\(place.segment)"
        try FileManager.default.createDirectory(
            atPath: "\(place.root)/e/archive_status", withIntermediateDirectories: true)
        try place.write("e/archive_status/\(place.segment).ready", "")
        #expect(place.answer(elsewhere) == nil)
        #expect(agent.requests == 0)
        #expect(place.answer(place.push) == 0)
        #expect(agent.requests == 1)
        #expect(place.answer(place.push) == 0)
        #expect(agent.requests == 1)
    }
}

/// What a test and its agent's thread share.
final class SharedText: @unchecked Sendable {  // the lock guards the value
    private let lock = NSLock()
    private var text = ""
    var value: String {
        get { lock.withLock { text } }
        set { lock.withLock { text = newValue } }
    }
}

/// Says something to whoever asks.
final class FakeAgent: @unchecked Sendable {  // the lock guards what changes
    let path: String
    private let listener: Int32
    private let lock = NSLock()
    private var count = 0
    var requests: Int { lock.withLock { count } }

    init(
        backlog: Int32 = 8, answers: Int = .max, hangsUp: Bool = true, _ text: @escaping @Sendable () -> String
    ) throws {
        path = "/tmp/pf-agent-\(UUID().uuidString.prefix(8)).sock"
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        withAddress(path) { #expect(bind(listener, $0, $1) == 0) }
        chmod(path, 0o666)
        listen(listener, backlog)
        Thread.detachNewThread { [self] in
            for _ in 0..<answers {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                var buffer = [UInt8](repeating: 0, count: 4096)
                _ = read(client, &buffer, buffer.count)
                lock.withLock { count += 1 }
                let bytes = Array(text().utf8)
                _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                if hangsUp { close(client) }
            }
        }
    }

    func remove() {
        // It stays open: its thread may be about to accept, and the number would be another's.
        shutdown(listener, Int32(SHUT_RDWR))
        unlink(path)
    }
}

func connectTo(_ path: String) -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    withAddress(path) { _ = connect(descriptor, $0, $1) }
    return descriptor
}

private func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Void) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}
