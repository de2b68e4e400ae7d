import Foundation
import HTTP
import Telemetry
import Testing

@testable import BackupModel
@testable import Jobs

struct JobRequestTests {
    private func request(_ text: String) throws(BackupError) -> JobRequest { try JobRequest(Array(text.utf8)) }

    @Test(arguments: [
        (#"{"command":"check","stanza":"main"}"#, ["--stanza=main", "check"]),
        (
            #"{"command":"backup","stanza":"main","options":{"type":"full","start-fast":true,"repo":1}}"#,
            ["--stanza=main", "--repo=1", "--start-fast=y", "--type=full", "backup"]
        ),
        (
            #"{"command":"backup","stanza":"a.b","options":{"repo":["1","2"],"annotation":["x=1","y=two words"]}}"#,
            ["--stanza=a.b", "--annotation=x=1", "--annotation=y=two words", "--repo=1", "--repo=2", "backup"]
        ),
        (
            #"{"command":"backup","stanza":"main","options":{"expire-auto":false,"backup-standby":true}}"#,
            ["--stanza=main", "--backup-standby=y", "--expire-auto=n", "backup"]
        ),
        (
            #"{"command":"restore","stanza":"größe","options":{"delta":"y","target":"2026-01-01 12:00:00+00","type":"time"}}"#,
            ["--stanza=größe", "--delta=y", "--target=2026-01-01 12:00:00+00", "--type=time", "restore"]
        ),
        // One word of the command line, whatever is in it.
        (
            #"{"command":"restore","stanza":"main","options":{"set":"--config=/etc/x","db-include":"a;b $(c)"}}"#,
            ["--stanza=main", "--db-include=a;b $(c)", "--set=--config=/etc/x", "restore"]
        ),
        (
            #" { "key" : "k" , "log-level" : "detail", "stanza":"s", "command":"info","options":{} } "#,
            ["--stanza=s", "info"]
        ),
    ])
    func `what is allowed becomes words that the program takes`(_ text: String, _ words: [String]) throws {
        let request = try request(text)
        #expect(request.words == words)
        #expect(try JobRequest(request.json) == request)
        #expect(try JobRequest(Array("\(request.json)".utf8)) == request)
        let parsed = try ParsedCommandLine(request.words)
        #expect(parsed.command == request.command.command && parsed.parameters.isEmpty)
        #expect(parsed.options.count == request.options.count + 1)
    }

    @Test(arguments: [
        ("", ErrorCode.jsonFormat), ("[]", .jsonFormat), ("{", .jsonFormat), ("{}", .jsonFormat), ("null", .jsonFormat),
        (#"{"command":"backup","stanza":"main"} x"#, .jsonFormat),
        (#"{"command":"backup"}"#, .jsonFormat), (#"{"stanza":"main"}"#, .jsonFormat),
        (#"{"command":1,"stanza":"main"}"#, .jsonFormat), (#"{"command":"backup","stanza":["main"]}"#, .jsonFormat),
        (#"{"command":"backup","stanza":"main","options":[]}"#, .jsonFormat),
        (#"{"command":"backup","stanza":"main","config":"/etc/x"}"#, .jsonFormat),
        (#"{"command":"backup","stanza":"main","options":{"type":null}}"#, .jsonFormat),
        (#"{"command":"backup","stanza":"main","options":{"type":{"a":"b"}}}"#, .jsonFormat),
        (#"{"command":"backup","stanza":"main","options":{"annotation":["a=b",true]}}"#, .jsonFormat),
        // Commands.
        (#"{"command":"repo-rm","stanza":"main"}"#, .commandInvalid),
        (#"{"command":"stanza-delete","stanza":"main"}"#, .commandInvalid),
        (#"{"command":"backup --config=/x","stanza":"main"}"#, .commandInvalid),
        (#"{"command":"archive-push:async","stanza":"main"}"#, .commandInvalid),
        (#"{"command":"","stanza":"main"}"#, .commandInvalid),
        // Names of a stanza.
        (#"{"command":"backup","stanza":""}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"../main"}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":".."}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"a/b"}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"-x"}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"a\u0000b"}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"a\nb"}"#, .optionInvalidValue),
        // Options.
        (#"{"command":"backup","stanza":"main","options":{"stanza":"other"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"config":"/tmp/x"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"cmd":"/bin/sh"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"repo1-path":"/tmp"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"pg1-path":"/tmp"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"repo1-cipher-pass":"x"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"log-path":"/tmp"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"archive-check":false}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"no-start-fast":true}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"typ":"full"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"type=full --config":"x"}}"#, .optionInvalid),
        (#"{"command":"backup","stanza":"main","options":{"set":"x"}}"#, .optionInvalid),
        (#"{"command":"restore","stanza":"main","options":{"recovery-option":"restore_command=rm"}}"#, .optionInvalid),
        (#"{"command":"restore","stanza":"main","options":{"link-map":"pg_wal=/tmp"}}"#, .optionInvalid),
        (#"{"command":"restore","stanza":"main","options":{"tablespace-map-all":"/tmp"}}"#, .optionInvalid),
        (#"{"command":"stanza-create","stanza":"main","options":{"force":true}}"#, .optionInvalid),
        // Values.
        (#"{"command":"backup","stanza":"main","options":{"type":"huge"}}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","options":{"type":true}}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","options":{"type":["full","diff"]}}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","options":{"type":[]}}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","options":{"start-fast":"yes"}}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","options":{"start-fast":1}}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","options":{"annotation":"a=\u0000"}}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","options":{"annotation":""}}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","log-level":"loud"}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","key":""}"#, .optionInvalidValue),
        (#"{"command":"backup","stanza":"main","key":"a\nb"}"#, .optionInvalidValue),
    ])
    func `all else is refused in words`(_ text: String, _ code: ErrorCode) {
        do throws(BackupError) {
            _ = try request(text)
            Issue.record("\(text) was taken")
        } catch {
            #expect(error.code == code, "\(text): \(error)")
            #expect(!error.message.isEmpty && !error.message.unicodeScalars.contains { $0.value < 0x20 })
        }
    }

    @Test func `long requests are refused`() {
        let value = String(repeating: "x", count: 5000)
        #expect(throws: BackupError.self) {
            try request(#"{"command":"restore","stanza":"main","options":{"target":"\#(value)"}}"#)
        }
        let spaces = String(repeating: " ", count: JobRequest.sizeLimit)
        #expect(throws: BackupError.self) { try request(#"{"command":"check","stanza":"main"}\#(spaces)"#) }
        let deep = String(repeating: "[", count: 20_000)
        #expect(throws: BackupError.self) {
            try request(#"{"command":"check","stanza":"main","options":{"type":\#(deep)"#)
        }
    }

    /// What a client may say must name nothing of the host: who adds an option here has to pass this.
    @Test(arguments: JobCommand.all)
    func `allowed options are the command's, and harmless`(_ command: JobCommand) throws {
        #expect(Set(command.options).count == command.options.count)
        for name in command.options {
            let definition = try #require(OptionTable.definition(name))
            #expect(definition.isValid(for: command.command), "\(name)")
            #expect(definition.group == nil && definition.type != .path, "\(name)")
            #expect(definition.flags.isDisjoint(with: [.secure, .internalUse]), "\(name)")
            #expect(!definition.isInternal(for: command.command), "\(name)")
        }
    }

    @Test func `the page of the API says what is allowed`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let page = try String(contentsOf: root.appending(path: "docs/job-api.md"), encoding: .utf8)
        for command in JobCommand.all {
            let options = command.options.map { "`\($0.rawValue)`" }.joined(separator: ", ")
            let row =
                "| `\(command.command.rawValue)` | \(command.verb.rawValue) | \(options.isEmpty ? "none" : options) |"
            #expect(page.contains(row + "\n"), "docs/job-api.md lacks: \(row)")
        }
    }

    @Test func `what runs text, leads elsewhere or makes bad backups is in no list`() {
        let forbidden: Set<OptionName> = [
            .archiveCheck, .archiveModeCheck, .cipherPass, .cmd, .cmdSsh, .config, .configIncludePath, .configPath,
            .exclude, .execId, .linkAll, .linkMap, .lock, .logPath, .online, .pg, .pgPath, .recoveryOption, .remoteType,
            .stanza, .tablespaceMap, .tablespaceMapAll,
        ]
        for command in JobCommand.all { #expect(forbidden.isDisjoint(with: command.options)) }
    }
}

struct JobDelegationTests {
    private func delegated(_ words: String...) throws -> JobRequest {
        let configuration = try Configuration.load(
            programPath: "permafrost", arguments: ["--no-config", "--stanza=main"] + words,
            environment: ["PERMAFROST_PG1_PATH": "/data", "PERMAFROST_PROCESS_MAX": "4"])
        return try JobRequest(delegating: configuration, key: "k")
    }

    @Test func `what the command line says goes with the job, and nothing else`() throws {
        let request = try delegated(
            "--type=full", "--no-resume", "--start-fast", "--annotation=a=b", "--annotation=c=d e",
            "--log-level-console=detail", "--log-format=json", "backup")
        #expect(
            request.words == [
                "--stanza=main", "--annotation=a=b", "--annotation=c=d e", "--resume=n", "--start-fast=y",
                "--type=full", "backup",
            ])
        #expect(request.logLevel == .detail && request.key == "k")
        #expect(try delegated("--delta", "restore").words == ["--stanza=main", "--delta=y", "restore"])
    }

    @Test func `job COMMAND is the command, without what says where it runs`() throws {
        let request = try delegated(
            "--repo1-host=h", "--repo1-host-type=tls", "--repo1-host-cert-file=/c", "--repo1-host-key-file=/k",
            "--repo=1", "--io-timeout=9", "--job-key=mine", "job", "verify", "--set=latest", "--verbose")
        #expect(request.words == ["--stanza=main", "--repo=1", "--set=latest", "--verbose=y", "verify"])
    }

    @Test(arguments: [
        ["--pg1-path=/other", "backup"], ["--link-map=pg_wal=/x", "restore"], ["--reset-delta", "restore"],
        ["--no-archive-check", "backup"], ["repo-ls"], ["job", "repo-ls"], ["job", "backup", "--pg1-path=/other"],
    ])
    func `what a job cannot have is not dropped`(_ words: [String]) throws {
        let configuration = try Configuration.load(
            programPath: "permafrost", arguments: ["--no-config", "--stanza=main"] + words,
            environment: ["PERMAFROST_PG1_PATH": "/data"])
        #expect(throws: BackupError.self) { try JobRequest(delegating: configuration, key: nil) }
    }
}

struct JobIDTests {
    @Test func `new ones are valid, different, and sort by time`() async throws {
        let first = JobID.new()
        let many = (0..<1000).map { _ in JobID.new() }
        #expect(Set(many).count == many.count)
        #expect(many.allSatisfy { JobID($0.text) == $0 })
        try await Task.sleep(for: .milliseconds(5))
        #expect(first < .new())
    }

    @Test(arguments: [
        "", ".", "..", "../20261121-181000-123-0123456789abcdef0123", "20261121-181000-123-0123456789abcdef012",
        "20261121-181000-123-0123456789ABCDEF0123", "20261121-181000-123-0123456789abcdef0123/",
        "20261121-181000-123-0123456789abcde/0123", "2026112１-181000-123-0123456789abcdef0123", "lock",
        "20261121-181000-123-0123456789abcdef0123-", "20261121-181000--123-0123456789abcdef012",
        "20261121-181000-123-0123456789abcdef\u{0}123",
    ])
    func `others are none`(_ text: String) { #expect(JobID(text) == nil) }
}

struct JobLogFactsTests {
    private func facts(_ lines: [String]) -> JobLogFacts {
        var facts = JobLogFacts()
        for line in lines { Array(line.utf8).withUnsafeBytes { facts.take($0) } }
        return facts
    }

    private func line(_ level: String, _ message: String, _ more: String = "") -> String {
        #"{"ts":"2026-11-21T18:00:00.000Z","level":"\#(level)","logger":"backup","msg":"\#(message)"\#(more)}"#
    }

    @Test func `of a backup`() {
        let facts = facts([
            line("info", "backup command begin 0.1.0: …"), line("detail", "backup file /pg/base/1"),
            line("info", "new backup label = 20261121-180000F"), line("info", "full backup size = 29MB"),
            line("info", "backup command end: completed successfully (1234ms)", #","code":0"#),
        ])
        #expect(facts == JobLogFacts(label: "20261121-180000F", exitCode: 0))
    }

    @Test func `of a restore`() {
        let facts = facts([
            line(
                "info", "restored backup set 20261121-180000F in place",
                #","restored":{"set":"20261121-180000F","timeline":2}"#),
            line("info", "restore command end: completed successfully (1234ms)", #","code":0"#),
        ])
        #expect(
            facts == JobLogFacts(restored: ["set": "20261121-180000F", "timeline": 2], exitCode: 0))
    }

    @Test func `of a failure`() {
        let facts = facts([
            line("error", "an earlier one", #","code":41"#),
            line("error", #"unable to open '/x'\nHINT: run as postgres\nor not"#, #","code":42"#),
            line("info", "backup command end: aborted with exception [042]", #","code":42"#),
        ])
        #expect(facts.exitCode == 42)
        let error = facts.error(.unknown, otherwise: "")
        #expect(error.code == .fileRead && error.message == "unable to open '/x'")
        #expect(error.hint == "run as postgres\nor not")
    }

    @Test func `of a crash`() {
        let facts = facts(["", "Fatal error: Index out of range", "", #"{"level":"error""#])
        #expect(facts.exitCode == nil && facts.label == nil)
        let error = facts.error(.execute, otherwise: "backup was killed by signal 4")
        #expect(error.code == .execute)
        #expect(error.message == "backup was killed by signal 4: Fatal error: Index out of range")
    }

    @Test func `of a file whose lines are long and whose last is not whole`() throws {
        let scratch = try JobScratch()
        let long = String(repeating: "x", count: 3 << 20)
        let text =
            [long, line("info", "new backup label = 20261121-180000F"), line("detail", long)].joined(separator: "\n")
            + "\n" + line("info", "backup command end: completed successfully", #","code":0"#)
        try scratch.write("log", text)
        let facts = JobLogFacts.read(scratch.path + "/log")
        #expect(facts.label == "20261121-180000F" && facts.exitCode == 0)
        #expect(JobLogFacts.read(scratch.path + "/none") == JobLogFacts())
    }
}
