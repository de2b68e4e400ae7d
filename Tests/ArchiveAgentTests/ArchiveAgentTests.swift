import ArchiveShortcut
import Foundation
import Glibc
import Logging
import Testing

@testable import ArchiveAgent

/// The agent's thread with a shell script as its background process.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ArchiveAgentTests {
    @Test("pushes what is there at the start, and what gets ready, by the words and variables of the call")
    func ahead() async throws {
        try await withPlace { place in
            try place.ready(1)
            let agent = try place.agent()
            defer { agent.stop() }
            try await place.waitFor(place.done(1))
            try place.ready(2)
            try place.write("pg/pg_wal/archive_status/00000002.history.ready")
            try await place.waitFor(place.done(2))
            try await place.waitFor("spool/archive/main/out/00000002.history.ok")
            let run = try #require(place.runs().first)
            #expect(
                run.hasPrefix(
                    "--config=\(place.path("conf")) archive-push:async \(place.path("pg/pg_wal")) --stanza=main;"))
            #expect(run.hasSuffix(";A=\(place.path("")),B="))
            var status = stat()
            #expect(stat(place.socket, &status) == 0 && status.st_mode & 0o777 == 0o600)
        }
    }

    @Test("two ask for one file, a third for what is done")
    func askers() async throws {
        try await withPlace { place in
            let agent = try place.agent()
            defer { agent.stop() }
            try place.ready(1)
            async let first = place.ask(1)
            async let second = place.ask(1)
            let answers = await [first, second]
            #expect(answers == [true, true])
            #expect(await place.ask(1))
            // One that is not ready will not be done.
            #expect(await !place.ask(7))
            try place.write(place.done(8), "0\nsomething to say")
            #expect(await !place.ask(8))
        }
    }

    @Test(
        "what it does not serve is left at once",
        arguments: [
            "stopped", "allStopped", "noServer", "otherCluster", "changedConfig", "notPostgres", "foreign", "torn",
        ])
    func left(change: String) async throws {
        try await withPlace { place in
            switch change {
            case "stopped": try place.write("lock/main.stop")
            case "allStopped": try place.write("lock/all.stop")
            case "noServer": try place.remove("pg/postmaster.pid")
            case "otherCluster": try place.write("pg/global/pg_control", "87654321")
            case "changedConfig": try place.write("conf", "something else")
            case "notPostgres": try place.leave { $0.isForAgent = false }
            case "foreign":
                guard geteuid() == 0 else { return }
                chown(place.path("spool/archive/main/archive-push.shortcut"), 65534, 65534)
            default: truncate(place.path("spool/archive/main/archive-push.shortcut"), 60)
            }
            try place.ready(1)
            let agent = try place.agent()
            defer { agent.stop() }
            let start = ContinuousClock.now
            #expect(await !place.ask(1))
            #expect(ContinuousClock.now - start < .seconds(2))
            try await Task.sleep(for: .milliseconds(200))
            #expect(place.runs() == [])
        }
    }

    @Test("a failure is left to the calls, until one of them gets through")
    func failures() async throws {
        try await withPlace { place in
            try place.write("fails")
            let agent = try place.agent()
            defer { agent.stop() }
            try place.ready(1)
            // The look at the new file may have failed before.
            _ = await place.ask(1)
            let start = ContinuousClock.now
            #expect(await !place.ask(1))
            #expect(ContinuousClock.now - start < .milliseconds(900))
            #expect(place.runs().count <= 2)
            try place.remove("fails")
            try place.write(place.done(1))
            try place.ready(2)
            try await place.waitFor(place.done(2), within: .milliseconds(900))
            #expect(await place.ask(2))
            // Or until it is told to try again.
            try place.write("fails")
            try place.ready(3)
            try await waitUntil { place.runs().last?.contains("failed") == true }
            try place.remove("fails")
            agent.tryAgain()
            try await place.waitFor(place.done(3), within: .milliseconds(900))
        }
    }

    @Test("a file that stays ready, as after the clock was set back, is not pushed without end")
    func clock() async throws {
        try await withPlace { place in
            let agent = try place.agent()
            defer { agent.stop() }
            try place.write("later")
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: 3600)], ofItemAtPath: place.path("later"))
            try place.move("later", "pg/pg_wal/archive_status/\(place.name(1)).ready")
            try await waitUntil { !place.runs().isEmpty }
            try await Task.sleep(for: .milliseconds(900))
            #expect(place.runs().count <= 2)
            #expect(await !place.ask(1))
        }
    }

    @Test("beside another process it waits for what that pushes")
    func busy() async throws {
        try await withPlace { place in
            try place.write("busy")
            let agent = try place.agent()
            defer { agent.stop() }
            try place.ready(1)
            async let asked = place.ask(1)
            try await Task.sleep(for: .milliseconds(400))
            try place.write(place.done(1))
            let answer = await asked
            #expect(answer)
            try place.ready(2)
            async let next = place.ask(2)
            try place.remove("busy")
            let last = await next
            #expect(last)
        }
    }

    @Test("stanzas that come later, directories that are replaced, one that is gone")
    func changes() async throws {
        try await withPlace { place in
            try place.remove("spool/archive/main/archive-push.shortcut")
            let agent = try place.agent()
            defer { agent.stop() }
            try place.ready(1)
            #expect(await !place.ask(1))
            try place.leave()
            #expect(await place.ask(1))
            // Another directory of the same name, as after a restore.
            try place.move("pg", "old")
            try place.makeCluster()
            try place.ready(2)
            #expect(await place.ask(2))
            try place.ready(3)
            try await place.waitFor(place.done(3))
            #expect(place.runs().count >= 2)
            for stanza in ["other", "..", "main/../main", "", String(repeating: "x", count: 300)] {
                #expect(await !place.ask(1, stanza: stanza))
            }
            #expect(await !place.ask(name: "../../main.shortcut"))
        }
    }

    @Test("garbage, silence, half a request and crowds cost nobody else anything")
    func clients() async throws {
        try await withPlace { place in
            let agent = try place.agent()
            defer { agent.stop() }
            try place.ready(1)
            try place.write("slow")
            let request = AgentRequest(stanza: "main", fileName: place.name(1)).bytes
            var open: [Int32] = []
            for bytes in [
                Array("GET / HTTP/1.0\r\n\r\n".utf8), [], Array(request.dropLast(4)), request + [1],
                [UInt8](repeating: 0, count: 1 << 16),
            ] {
                let client = place.connected()
                _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                open.append(client)
            }
            // It asks and goes.
            let gone = place.connected()
            _ = send(gone, request, request.count, Int32(MSG_NOSIGNAL))
            close(gone)
            #expect(await place.ask(1))
            // All are cut off in the end.
            for client in open {
                try await waitUntil {
                    var buffer = [UInt8](repeating: 0, count: 16)
                    let count = recv(client, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                    return count == 0 || count < 0 && errno != EAGAIN
                }
                close(client)
            }
            let crowd = (0..<100).map { _ in place.connected() }
            _ = await place.ask(1)
            for client in crowd { close(client) }
            try await waitUntil { await place.ask(1) }
        }
    }

    @Test("one that was killed is replaced, one that lives is not; without a socket it pushes all the same")
    func sockets() async throws {
        try await withPlace { place in
            let first = try place.agent()
            let log = LogLines()
            let second = try place.agent(log)
            #expect(log.lines.contains { $0.contains("another server listens") })
            second.stop()
            try place.ready(1)
            #expect(await place.ask(1))
            first.stop()
            try await waitUntil { access(place.socket, F_OK) != 0 }
            #expect(await !place.ask(1))
            let third = try place.agent()
            defer { third.stop() }
            #expect(await place.ask(1))
        }
    }

    @Test("nobody but the user and root may ask")
    func foreign() async throws {
        guard geteuid() == 0 else { return }
        try await withPlace { place in
            let agent = try place.agent()
            defer { agent.stop() }
            chmod(place.path(""), 0o755)
            chmod(place.socket, 0o666)
            let result = try await place.run(
                "/usr/bin/setpriv",
                [
                    "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c",
                    "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect('\(place.socket)'); print(len(s.recv(1)))",
                ])
            #expect(result == "0\n")
        }
    }
}
