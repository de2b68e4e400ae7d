import Foundation
import TestSupport
import Testing

/// What is wrong with a command line, the environment or a configuration file is told before anything is done:
/// on standard error, with nothing on standard output.
@Suite(.keepsScratchOnFailure, .requires(.permafrost), .timeLimit(.minutes(10)))
struct OptionFaultTests {
    struct Fault: Sendable, CustomTestStringConvertible {
        var arguments: [String]
        var code: Int32
        var says: String
        var hint: String?

        init(_ arguments: String, _ code: Int32, _ says: String, hint: String? = nil) {
            self.arguments = arguments.split(separator: " ").map(String.init)
            self.code = code
            self.says = says
            self.hint = hint
        }

        var testDescription: String { arguments.joined(separator: " ") }
    }

    static let faults = [
        // Commands.
        Fault("--stanza=main", 30, "no command found", hint: "'help' lists the commands"),
        Fault("bakcup", 48, "invalid command 'bakcup'"),
        Fault("chekc", 48, "invalid command 'chekc'"),
        Fault("server", 37, "server command requires option: tls-server-"),
        Fault("agent", 37, "agent command requires option: tls-server-"),
        Fault("server-ping one two", 96, "server-ping takes one parameter at most: 'two'"),
        Fault("job", 43, "job command requires parameter: a command to run, or one of list"),
        Fault("job frob", 96, "'frob' is no command for a job"),
        Fault("job backup now --stanza=main", 96, "command 'backup' does not allow parameters in a job: 'now'"),
        Fault("job list --type=full", 31, "option 'type' not valid for command 'job'"),
        Fault("job show", 43, "job show takes one parameter"),
        Fault("job cancel one two", 96, "job cancel takes one parameter: a job", hint: "'job list' shows them"),
        Fault("job follow --detach one", 31, "option 'detach' not valid for 'job follow'"),
        Fault("help bakcup", 48, "invalid command 'bakcup'"),
        Fault("help backup frob", 31, "option 'frob'"),
        Fault("help backup target", 31, "option 'target' is not valid for command 'backup'"),
        Fault("help backup type more", 96, "help takes one option"),
        // Parameters.
        Fault("backup --stanza=main now", 96, "command 'backup' does not allow parameters: 'now'"),
        Fault("info main", 96, "command 'info' does not allow parameters: 'main'"),
        Fault("version now", 96, "'now'"),
        // Options that there are not, or not here.
        Fault("backup --stanza=main --frob", 31, "invalid option '--frob'"),
        Fault("backup --stanza=main --frob=1", 31, "invalid option '--frob'"),
        Fault("backup -x", 31, "option '-x' must begin with --"),
        Fault("backup --stanza=main --set=x", 31, "option 'set' not valid for command 'backup'"),
        Fault("backup --stanza=main --repo999-path=/x", 31, "repo999-path"),
        Fault("info --output", 31, "option '--output' requires an argument"),
        // Values.
        Fault("backup --stanza=main --process-max=0", 32, "'0' is out of range for 'process-max'", hint: "1 to 999"),
        Fault("backup --stanza=main --process-max=many", 32, "'many' is not valid for 'process-max'"),
        Fault("backup --stanza=main --compress-type=rar", 32, "'rar' is not allowed", hint: "'gz', 'lz4', 'zst'"),
        Fault(
            "backup --stanza=main --compress-type=zst --compress-level=99", 32, "'99' is out of range",
            hint: "-7 to 22"),
        Fault("backup --stanza=main --start-fast=maybe", 32, "'--start-fast' argument must be 'y' or 'n'"),
        Fault("backup --stanza=main --archive-timeout=soon", 32, "'soon' is not valid for 'archive-timeout'"),
        Fault("backup --stanza=main --buffer-size=3", 32, "'3' is not allowed for 'buffer-size'"),
        Fault("backup --stanza=main --pg1-path=data", 32, "'data' must begin with / for 'pg1-path'"),
        Fault("backup --stanza=main --pg1-path=/a//b", 32, "'/a//b' cannot contain // for 'pg1-path'"),
        Fault("backup --stanza=a/b --pg1-path=/x", 32, "'a/b' is not valid for 'stanza'"),
        Fault("backup --stanza= --pg1-path=/x", 32, "'stanza'"),
        Fault("backup --stanza=main --pg1-path=/x --repo=7", 32, "key '7' is not valid for 'repo'"),
        Fault("info --output=xml", 32, "'xml' is not allowed for 'output'", hint: "'json'"),
        Fault("restore --stanza=main --pg1-path=/x --type=soon", 32, "'soon' is not allowed for 'type'"),
        Fault("restore --stanza=main --pg1-path=/x --type=xid --target=abc", 32, "'abc'", hint: "transaction"),
        Fault("restore --stanza=main --pg1-path=/x --recovery-option=a", 31, "key/value 'a'", hint: "key=value"),
        // Options that need each other, or exclude each other.
        Fault("backup --stanza=main --online --no-online", 31, "option 'online' cannot be set and negated"),
        Fault("backup --stanza=main --type=full --type=incr", 31, "option 'type' cannot be set multiple times"),
        Fault("backup --stanza=main --reset-compress-type --compress-type=gz", 31, "cannot be set and reset"),
        Fault("restore --stanza=main --pg1-path=/x --target=5", 31, "'target' not valid without option 'type'"),
        Fault("restore --stanza=main --pg1-path=/x --type=name", 37, "restore command requires option: target"),
        Fault(
            "info --repo1-path=/x --repo2-path=/x", 32, "repo1 and repo2 paths are both '/x' but must be different"),
        Fault(
            "backup --stanza=main --pg1-path=/x --db-timeout=100 --protocol-timeout=50", 32, "'protocol-timeout'",
            hint: "greater than 'db-timeout'"),
        // What is missing.
        Fault("backup", 37, "backup command requires option: stanza"),
        Fault("backup --stanza=other", 37, "requires option: pg1-path", hint: "section of this stanza"),
        // What would show to everyone who lists processes: the value is not repeated.
        Fault("info --repo1-cipher-pass=sekret", 31, "'repo1-cipher-pass' is not allowed on the command-line"),
        Fault("info --repo1-s3-key-secret=sekret", 31, "is not allowed on the command-line", hint: "environment"),
        // What pgBackRest can do and we cannot yet, by name.
        Fault("info --repo1-type=s3", 37, "requires option: repo1-s3-bucket"),
        Fault("info --repo1-type=azure", 37, "requires option: repo1-azure-account"),
        Fault("info --repo1-type=sftp", 67, "'repo1-type' = 'sftp' is known but not supported", hint: "by SFTP"),
        Fault("info --cmd-ssh=/usr/bin/ssh", 67, "'cmd-ssh' is known but not supported", hint: "SSH"),
        Fault(
            "info --repo-target-time=now", 31, "'repo-target-time' not valid without option 'repo'", hint: "--repo=1"),
        Fault(
            "info --repo=1 --repo1-path=/x --repo-target-time=2026-01-01", 31,
            "'repo-target-time' not valid without option 'repo1-type' in ('azure', 'gcs', 's3')", hint: "directory"),
        Fault(
            "backup --stanza=main --pg1-path=/x --pg1-host=elsewhere", 67,
            "'pg1-host-type' = 'ssh' is known but not supported",
            hint: "pg1-host-type=tls"),
        Fault("info --repo1-host=elsewhere", 67, "'repo1-host-type' = 'ssh' is known but not supported"),
        // Files.
        Fault("info --config=/nonexistent/x.conf", 55, "missing file '/nonexistent/x.conf'", hint: "'--config'"),
        Fault("info --config-include-path=/nonexistent", 73, "missing path '/nonexistent'"),
        Fault("info --config=/etc/shadow", 41, "unable to open configuration file '/etc/shadow': Permission denied"),
    ]

    @Test("a wrong command line is refused", arguments: faults)
    func commandLine(fault: Fault) async throws {
        let arguments = fault.arguments.contains { $0.hasPrefix("--config") } ? [] : ["--no-config"]
        let isStandalone = ["help", "version"].contains(fault.arguments.first)
        let result = try await run((isStandalone ? [] : arguments) + fault.arguments)
        result.failed(fault.code, fault.says, hint: fault.hint, place: .standardError)
    }

    @Test(
        "a garbled configuration file is refused, by line and without showing it",
        arguments: [
            ("repo1-path=/x\n", 29, "line 1: key/value outside of a section"),
            ("[global]\nrepo1-cipher-pass:sekret\n", 29, "line 2: missing '=' in key/value"),
            ("[global\nrepo1-path=/x\n", 29, "line 1: a section should be '[name]'"),
            ("[global]\n=sekret\n", 29, "line 2: key is empty"),
            ("[global]\nrepo1-path=\n", 32, "section 'global', key 'repo1-path' must have a value"),
            ("[global]\nrepo1-path=/x\nrepo1-path=/y\n", 31, "option 'repo1-path' cannot be set multiple times"),
            ("[global]\nstart-fast=yes\n[main]\npg1-path=/x\n", 32, "boolean option 'start-fast' must be 'y' or 'n'"),
            ("[global]\nprocess-max=sekret\n[main]\npg1-path=/x\n", 32, "is not valid for 'process-max'"),
        ] as [(String, Int32, String)])
    func configurationFile(text: String, code: Int32, says: String) async throws {
        try await withScratch { scratch in
            let file = try scratch.write(text, to: "bad.conf")
            let result = try await run(["--config=\(file)", "--stanza=main", "backup"])
            if says.contains("line") { #expect(result.stderr.contains("'\(file)'")) }
            if text.contains("process-max") {
                // Not an option for secrets: its value may be told.
                #expect(result.status == code && result.stderr.contains(says), "\(result)")
            } else {
                result.failed(code, says, place: .standardError)
            }
        }
    }

    @Test func aConfigurationFileOfOtherBytesIsRefused() async throws {
        try await withScratch { scratch in
            let file = try scratch.write("", to: "bad.conf")
            try Data([0x5B, 0xFF, 0x00, 0x5D]).write(to: URL(filePath: file))
            let result = try await run(["--config=\(file)", "info"])
            result.failed(29, "'\(file)': it is not UTF-8 text", place: .standardError)
        }
    }

    @Test(
        "a wrong environment is refused, ours by its own name",
        arguments: [
            ("PGBACKREST_REPO1_PATH", "", 32, "environment variable 'PGBACKREST_REPO1_PATH' must have a value"),
            ("PERMAFROST_REPO1_PATH", "", 32, "environment variable 'PERMAFROST_REPO1_PATH' must have a value"),
            ("PERMAFROST_START_FAST", "yes", 32, "'PERMAFROST_START_FAST' must be 'y' or 'n'"),
            ("PERMAFROST_PROCESS_MAX", "0", 32, "'0' is out of range for 'process-max'"),
            ("PERMAFROST_REPO1_TYPE", "sftp", 67, "'repo1-type' = 'sftp' is known but not supported"),
        ] as [(String, String, Int32, String)])
    func environment(name: String, value: String, code: Int32, says: String) async throws {
        let result = try await run(
            ["--no-config", "--stanza=main", "--pg1-path=/x", "backup"], environment: [name: value])
        result.failed(code, says, place: .standardError)
    }

    @Test func whatTheEnvironmentMisspellsIsAWarning() async throws {
        try await withScratch { scratch in
            let directory = try scratch.makeDirectory("repo")
            let result = try await run(
                ["--no-config", "--log-path=\(scratch.path)", "--repo1-path=\(directory)", "info"],
                environment: ["PERMAFROST_REPO1_PAHT": "sekret"])
            #expect(result.status == 0 && result.stdout.contains("invalid option 'PERMAFROST_REPO1_PAHT'"), "\(result)")
            #expect(!result.stdout.contains("sekret"))
        }
    }

    @Test("an error that has no log yet is JSON where that was asked", arguments: ["argument", "environment"])
    func jsonBeforeTheLog(way: String) async throws {
        let isArgument = way == "argument"
        let result = try await run(
            ["--no-config", "--stanza=main"] + (isArgument ? ["--log-format=json"] : []) + ["backup", "--frob"],
            environment: isArgument ? [:] : ["PERMAFROST_LOG_FORMAT": "json"])
        #expect(result.status == 31 && result.stdout.isEmpty)
        let line = try #require(
            JSONSerialization.jsonObject(with: Data(result.stderr.utf8)) as? [String: Any], "\(result)")
        #expect(line["level"] as? String == "error")
        #expect("\(line["code"] ?? "")" == "31")
        #expect((line["msg"] as? String)?.hasPrefix("invalid option '--frob'") == true)
    }

    @Test("root is refused unless it insists", .enabled(if: ProcessRunner.serverUser != nil, "not run by root"))
    func root() async throws {
        try await withScratch { scratch in
            let directory = try scratch.makeDirectory("repo")
            let arguments = ["--no-config", "--log-path=\(scratch.path)", "--repo1-path=\(directory)"]
            let refused = try await run(arguments + ["info"], asUser: nil)
            refused.failed(
                31, "the info command must not be run by root", hint: "--allow-root", place: .standardError)
            #expect(try await run(arguments + ["--allow-root", "info"], asUser: nil).status == 0)
        }
    }

    private func run(
        _ arguments: [String], environment: [String: String] = [:], asUser: String? = ProcessRunner.serverUser
    ) async throws -> ProcessResult {
        try await ProcessRunner.run(
            PermafrostPrograms.locate().launcher, arguments, environment: environment, asUser: asUser)
    }
}
