import BackupModel
import HTTP
import Jobs
import Testing

@testable import RepositoryHost

struct RightsTests {
    private let client = ClientIdentity.certificate(commonName: "db")

    @Test(
        "what a path is for",
        arguments: [
            ("", RepositoryPlace.top), ("archive", .top), ("backup", .top), ("permafrost", .top),
            ("archive/main", .stanza("main", .directory)), ("permafrost/main", .stanza("main", .directory)),
            ("archive/main/archive.info", .stanza("main", .info)),
            ("backup/main/backup.info.copy", .stanza("main", .info)),
            ("archive/main/16-1/0000000100000000/000000010000000000000001-x.zst", .stanza("main", .kept)),
            ("archive/main/16-1", .stanza("main", .kept)), ("archive/main/x", .stanza("main", .other)),
            ("backup/main/backup.history/2026/x.manifest.gz", .stanza("main", .kept)),
            ("backup/main/latest", .stanza("main", .latest)), ("backup/main/x", .stanza("main", .other)),
            ("backup/main/20260101-000000F/pg_data/x", .stanza("main", .backup(label: "20260101-000000F"))),
            ("backup/main/20260101-000000F", .stanza("main", .backup(label: "20260101-000000F"))),
            ("permafrost/main/lock", .stanza("main", .lock)), ("permafrost/main/lock.claim", .stanza("main", .own)),
            ("permafrost/main/replaced/backup.info.1", .stanza("main", .kept)),
            ("permafrost/main/verify", .stanza("main", .own)), ("permafrost/main/lock/x", .stanza("main", .own)),
        ])
    func places(_ path: String, _ place: RepositoryPlace) { #expect(RepositoryPlace(path) == place) }

    @Test func `what lies elsewhere has no place`() {
        for path in ["x", "etc/passwd", "Archive/main"] { #expect(RepositoryPlace(path) == nil) }
    }

    @Test(
        "options that cannot be",
        arguments: [
            ([("db", "")], []), ([("", "main")], []), ([("db", "main")], [("db", "write")]),
            ([("db", "main")], [("db", "")]), ([("db", "main")], [("other", "read")]), ([("db", " , ")], []),
        ] as [([(String, String)], [(String, String)])])
    func badOptions(_ auth: [(String, String)], _ allow: [(String, String)]) {
        #expect(throws: BackupError.self) {
            _ = try HostAuthorization(
                auth: auth.map { (key: $0.0, value: $0.1) }, allow: allow.map { (key: $0.0, value: $0.1) })
        }
    }

    @Test func `rights are of a client and a stanza`() throws {
        let authorization = try HostAuthorization(
            auth: [("db", "main, other"), ("db", "third"), ("all", "*"), ("pusher", "main")],
            allow: [("pusher", "add"), ("db", "read,expire")])
        for stanza in ["main", "other", "third"] {
            #expect(try authorization.right(of: client, stanza: stanza) == .expire)
        }
        #expect(throws: BackupError.self) { try authorization.right(of: client, stanza: "fourth") }
        #expect(throws: BackupError.self) { try authorization.right(of: client, stanza: "*") }
        #expect(try authorization.right(of: .certificate(commonName: "all"), stanza: "any") == .all)
        #expect(try authorization.right(of: .certificate(commonName: "pusher"), stanza: "main") == .add)
        for stranger in [ClientIdentity.anonymous, .local(userID: 0), .certificate(commonName: "DB")] {
            #expect(throws: BackupError.self) { try authorization.right(of: stranger, stanza: "main") }
            #expect(throws: BackupError.self) { try authorization.requireKnown(stranger) }
        }
        #expect(!authorization.shows("fourth", to: client) && authorization.shows("other", to: client))
    }

    /// Who may do what where: what may be written by each right, and what removed.
    @Test func `rules`() {
        let places: [RepositoryPlace.StanzaPlace] = [
            .directory, .info, .latest, .kept, .backup(label: "x"), .lock, .own, .other,
        ]
        func rules(_ right: AccessVerb, _ isComplete: Bool) -> [WriteRule] {
            places.map { $0.rule(for: right, isComplete: isComplete) }
        }
        func removals(_ right: AccessVerb, _ isComplete: Bool) -> [Bool] {
            places.map { $0.mayRemove(right, isComplete: isComplete) }
        }
        for isComplete in [false, true] {
            #expect(rules(.read, isComplete).allSatisfy { $0 == .refuse })
            #expect(removals(.read, isComplete).allSatisfy { !$0 })
            #expect(rules(.all, isComplete).allSatisfy { $0 == .replace })
            #expect(removals(.all, isComplete).allSatisfy { $0 })
            #expect(
                rules(.add, isComplete) == [
                    .refuse, .grow, .replace, .create, isComplete ? .create : .replace, .replace, .replace, .refuse,
                ])
            #expect(removals(.add, isComplete) == [false, false, false, false, !isComplete, true, true, false])
            #expect(
                rules(.expire, isComplete) == [
                    .refuse, .replace, .replace, .create, .replace, .replace, .replace, .refuse,
                ])
            #expect(removals(.expire, isComplete) == [false, false, true, true, true, true, true, false])
        }
    }
}
