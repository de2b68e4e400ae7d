import BackupEngine
import BackupModel
import Foundation
import HTTP
import PostgresAccess
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Testing

@testable import RepositoryHost

/// The service by which an agent lends its server to a backup elsewhere.
struct ServerServiceTests {
    private let id = "0123456789abcdef"

    private func operation(_ agent: AgentUnderTest, _ number: Int, _ json: String, wait: Int = 2000) async throws -> (
        status: Int, text: String
    ) {
        try await agent.ask("PUT", "main/sessions/\(id)/operations/\(number)", json, wait: wait)
    }

    @Test(
        "a session says and does what the server does, whatever is lost on the way",
        arguments: [LoopbackTransport.Loss.none, .request, .answer, .half])
    func session(loss: LoopbackTransport.Loss) async throws {
        let agent = try AgentUnderTest()
        let servers = agent.servers { _, number in number % 3 == 2 ? loss : .none }
        let server = try await servers.open(1)
        #expect(server.facts == agent.server.facts)
        #expect(server.control == agent.server.control)
        #expect(server.place == "db1.test:\(agent.data)")
        #expect(try await server.currentWALSegment() == PretendedServer.start.segment)
        #expect(try await server.startBackup(label: "a \"label\"", fast: true) == PretendedServer.start)
        #expect(try await server.switchWAL() == PretendedServer.start.segment)
        #expect(try await server.databases() == agent.server.databases())
        #expect(try await server.tablespaces() == agent.server.tablespaces())
        #expect(try await server.isInRecovery() == false)
        #expect(try await server.readControl() == agent.server.control)

        #expect(abs(server.clockOffset.components.seconds) == 0)
        let listing = try await server.scan(tablespaces: [:], excludes: ["empty"])
        #expect(abs(listing.start - Int64(time(nil))) < 60 && listing.start <= listing.end)
        let found = listing.found
        let expected = try DataDirectoryScan(
            dataDirectory: agent.data, version: agent.server.control.version,
            catalogVersion: agent.server.control.catalogVersion, isOnline: true, tablespaceNames: [16400: "space"],
            excludes: ["empty"]
        ).run()
        func rows(_ files: ManifestFiles) -> [String] {
            (0..<files.count).map { "\(files.name($0)) \(files.size($0)) \(files.timestamp($0))" }
        }
        #expect(rows(found.files) == rows(expected.files) && found.files.count == 8)
        #expect(found.paths == expected.paths)
        #expect(found.links == expected.links)
        #expect(found.targets == expected.targets)

        let files = try #require(server.files)
        for name in ["PG_VERSION", "conf/a b%.conf", "large", "exactly", "linked.conf", "global/pg_control"] {
            let reader = try #require(try await files.open("pg_data/\(name)"), "\(name)")
            #expect(
                try await reader.rest() == Array(Data(contentsOf: URL(filePath: "\(agent.data)/\(name)"))), "\(name)")
        }
        #expect(try await server.stopBackup() == PretendedServer.stop)
        #expect(agent.server.count("start a \"label\" true") == 1)
        #expect(agent.server.count("stop") == 1)
        #expect(agent.server.count("switch") == 1)
        await server.close()
        try await waitUntil { agent.server.count("close") == 1 }
        #expect(try FileManager.default.contentsOfDirectory(atPath: agent.directory.path + "/spool") == [])
    }

    @Test func `what it is, and who may ask`() async throws {
        let agent = try AgentUnderTest(isInRecovery: true)
        let status = try await agent.servers(as: "reader").status(1)
        #expect(status.isInRecovery && status.systemIdentifier == 7_000_000_000_000_000_001)
        #expect(status.place == "db1.test:\(agent.data)")
        #expect(agent.server.count("close") == 1)
        let denied = BackupError(.access, "").code
        for (client, open) in [("other", true), ("stranger", true), ("reader", false)] {
            let servers = agent.servers(as: client)
            if open {
                let error = await #expect(throws: BackupError.self) { _ = try await servers.status(1) }
                #expect(error?.code == denied, "\(client)")
            }
            let error = await #expect(throws: BackupError.self) { _ = try await servers.open(1) }
            #expect(error?.code == denied, "\(client)")
        }
        #expect(agent.server.count("close") == 1)
    }

    @Test(
        "files that may not be read",
        arguments: [
            "pg_data/base/5/1234", "pg_tblspc/16400/PG_15_202209061/5/7", "pg_data/missing", "pg_data/../outside",
            "pg_data/%2e%2e/outside", "pg_data/conf%2f..%2f..%2foutside", "outside", "pg_data//PG_VERSION", "pg_data",
            "pg_data/postmaster.pid", "pg_data/PG_VERSION%00", "pg_data/pg_tblspc/16400",
        ])
    func refusedFiles(name: String) async throws {
        let agent = try AgentUnderTest()
        try "1".write(toFile: "\(agent.data)/postmaster.pid", atomically: false, encoding: .utf8)
        #expect(try await ended { try await agent.ask("PUT", "main/sessions/\(id)") }.status == 200)
        let path = "main/sessions/\(id)/files"
        #expect(try await agent.ask("GET", "\(path)/pg_data/PG_VERSION").status == 400)
        #expect(try await ended { try await operation(agent, 1, #"{"operation":"list"}"#) }.status == 200)
        #expect(try await agent.ask("GET", "\(path)/pg_data/PG_VERSION") == (200, "15\n"))
        let answer = try await agent.ask("GET", "\(path)/\(name)")
        #expect(answer.status == 403 && !answer.text.contains("secret"), "\(answer)")
    }

    @Test func `what was a file and is a link is not followed; what is gone is gone`() async throws {
        let agent = try AgentUnderTest()
        let server = try await agent.servers().open(1)
        _ = try await server.scan(tablespaces: [:], excludes: [])
        let files = try #require(server.files)
        try FileManager.default.removeItem(atPath: "\(agent.data)/PG_VERSION")
        #expect(try await files.open("pg_data/PG_VERSION") == nil)
        try FileManager.default.createSymbolicLink(
            atPath: "\(agent.data)/PG_VERSION", withDestinationPath: "\(agent.directory.path)/outside")
        await #expect(throws: BackupError.self) { _ = try await files.open("pg_data/PG_VERSION") }
        // A large one that is replaced between two pieces.
        let reader = try #require(try await files.open("pg_data/large"))
        try Data(count: 3 << 20).write(to: URL(filePath: "\(agent.data)/new"))
        #expect(rename("\(agent.data)/new", "\(agent.data)/large") == 0)
        let error = await #expect(throws: BackupError.self) { _ = try await reader.rest() }
        #expect(error?.message.contains("was replaced while it was read") == true)
    }

    @Test func `sessions are of one client, few, and end when they are not used`() async throws {
        let agent = try AgentUnderTest(auth: [("standby", "*"), ("second", "main"), ("reader", "main")])
        #expect(try await ended { try await agent.ask("PUT", "main/sessions/\(id)") }.status == 200)
        #expect(try await ended { try await agent.ask("PUT", "main/sessions/\(id)") }.status == 200)
        let body = #"{"operation":"in-recovery"}"#
        for (client, stanza) in [("second", "main"), ("standby", "third")] {
            let answer = try await agent.ask("PUT", "\(stanza)/sessions/\(id)/operations/1", body, as: client)
            #expect(answer.status == 404 && answer.text.contains("no such session"))
        }
        #expect(try await agent.ask("DELETE", "main/sessions/\(id)", as: "second").status == 204)
        #expect(try await operation(agent, 1, body).status == 200)
        #expect(try await agent.ask("PUT", "main/sessions/\(id)0").status == 200)
        #expect(try await agent.ask("PUT", "main/sessions/\(id)1").status == 503)
        for bad in ["short", "UPPERCASE012345678", "0123456789abcde%2f"] {
            #expect(try await agent.ask("PUT", "main/sessions/\(bad)").status == 400, "\(bad)")
        }
        agent.sessions.endOld()
        #expect(agent.server.count("close") == 0)

        let short = try AgentUnderTest(lifetime: .milliseconds(50))
        #expect(try await short.ask("PUT", "main/sessions/\(id)").status == 200)
        try await Task.sleep(for: .milliseconds(60))
        short.sessions.endOld()
        #expect(try await operation(short, 1, body).status == 404)
        try await waitUntil { short.server.count("close") == 1 }
    }

    @Test func `operations come one after the other, and one that takes long is asked for again`() async throws {
        let agent = try AgentUnderTest(startWaits: true)
        let start = #"{"operation":"start-backup","label":"x","fast":false}"#
        #expect(try await operation(agent, 1, start).status == 404)
        #expect(try await agent.ask("GET", "main/sessions/\(id)").status == 404)
        #expect(try await ended { try await agent.ask("PUT", "main/sessions/\(id)") }.status == 200)
        #expect(try await agent.ask("GET", "main/sessions/\(id)").status == 204)
        #expect(try await operation(agent, 2, start).status == 400)
        #expect(try await operation(agent, 1, start, wait: 0).status == 202)
        #expect(try await operation(agent, 2, #"{"operation":"stop-backup"}"#).status == 400)
        #expect(try await operation(agent, 1, #"{"operation":"stop-backup"}"#).status == 400)
        agent.server.checkpoint()
        let end = try await ended { try await operation(agent, 1, start) }
        #expect(end.status == 200 && end.text.contains("000000010000000000000003"))
        #expect(try await operation(agent, 1, start) == end)
        #expect(agent.server.count("start x false") == 1)
    }

    @Test func `a session that is closed in the middle ends what runs`() async throws {
        let agent = try AgentUnderTest(startWaits: true)
        #expect(try await ended { try await agent.ask("PUT", "main/sessions/\(id)") }.status == 200)
        let start = #"{"operation":"start-backup","label":"y","fast":false}"#
        #expect(try await operation(agent, 1, start, wait: 0).status == 202)
        try await waitUntil { agent.server.count("start y false") == 1 }
        #expect(try await agent.ask("DELETE", "main/sessions/\(id)").status == 204)
        try await waitUntil { agent.server.count("close") == 1 }
    }

    @Test(
        "what is no operation",
        arguments: [
            "", "{}", "[]", #"{"operation":"query","text":"select 1"}"#, #"{"operation":"open"}"#,
            #"{"operation":"start-backup"}"#, #"{"operation":"start-backup","label":"","fast":true}"#,
            #"{"operation":"start-backup","label":"a\nb","fast":true}"#,
            #"{"operation":"start-backup","label":"a","fast":"y"}"#, #"{"operation":"list","excludes":[1]}"#,
            #"{"operation":"start-backup","fast":true,"label":""# + String(repeating: "x", count: 70_000) + #""}"#,
        ])
    func badOperations(body: String) async throws {
        let agent = try AgentUnderTest()
        #expect(try await ended { try await agent.ask("PUT", "main/sessions/\(id)") }.status == 200)
        #expect(try await operation(agent, 1, body).status == 400)
    }

    @Test(
        "lines that are none of a listing",
        arguments: [
            "", "x pg_data/a", "f pg_data/a 1 2 3 u", "f pg_data/../a 1 2 384 u g", "f pg_data/a/ 1 2 384 u g",
            "f base/1 1 2 384 u g", "f pg_data/a -1 2 384 u g", "f pg_data/a 9223372036854775808 2 384 u g",
            "f pg_data/a 1 2 65536 u g", "f pg_data/a%00 1 2 384 u g", "p pg_data", "p /etc 448 u g",
            "t pg_data file /x   ", "t pg_tblspc/1 link /x  one name", "l pg_data/a", "w", "f pg_data/%zz 1 2 384 u g",
        ])
    func badLines(line: String) { #expect(ListingLine.entry(line.utf8) == nil) }

    @Test func `lines`() {
        let entries: [DataDirectoryScan.Entry] = [
            .file(
                ManifestFile(name: "pg_data/a b\nc%", size: 5, timestamp: -1, mode: 0o600, user: nil, group: "g"),
                location: ""),
            .path(ManifestPath(name: "pg_data", mode: 0o700, user: "u", group: nil)),
            .link(ManifestLink(name: "pg_data/l", destination: "../x y", user: "-", group: "g")),
            .target(ManifestTarget(name: "pg_data/l", kind: .link, path: "../x", file: "y")),
            .target(
                ManifestTarget(
                    name: "pg_tblspc/1", kind: .link, path: "/x", tablespaceID: 1, tablespaceName: "ü x")),
            .warning("a 'b'"),
        ]
        for entry in entries {
            let text = ListingLine.text(entry)
            #expect(text.hasSuffix("\n") && ListingLine.entry(text.dropLast().utf8) == entry)
        }
    }
}

/// Asks until there is an end.
private func ended(
    _ ask: () async throws -> (status: Int, text: String)
) async throws -> (status: Int, text: String) {
    while true {
        let answer = try await ask()
        if answer.status != 202 { return answer }
    }
}

/// Asks until it is so, or long enough.
private func waitUntil(_ condition: () -> Bool) async throws {
    for _ in 0..<2000 where !condition() { try await Task.sleep(for: .milliseconds(5)) }
    #expect(condition())
}
