import BackupModel
import Testing

struct PrecedenceTests {
    static let sections = """
        [main:backup]
        process-max=3
        [main]
        pg1-path=/data
        process-max=4
        [global:backup]
        process-max=5
        [global]
        process-max=6
        """

    struct Step: CustomTestStringConvertible {
        let name: String
        let word: String
        let environment: [String: String]
        let file: String
        let value: Int
        let source: Configuration.Source
        var testDescription: String { name }
    }

    static let steps: [Step] = {
        let both = ["PERMAFROST_PROCESS_MAX": "7", "PGBACKREST_PROCESS_MAX": "8"]
        func without(_ count: Int) -> String {
            let lines = sections.split(separator: "\n").map(String.init)
            var left = count
            return lines.map { line in
                guard line.hasPrefix("process-max"), left > 0 else { return line }
                left -= 1
                return "# \(line)"
            }.joined(separator: "\n")
        }
        return [
            Step(
                name: "line", word: "--process-max=9", environment: both, file: sections, value: 9, source: .commandLine
            ),
            Step(name: "our environment", word: "", environment: both, file: sections, value: 7, source: .environment),
            Step(
                name: "pgBackRest's environment", word: "", environment: ["PGBACKREST_PROCESS_MAX": "8"],
                file: sections, value: 8, source: .environment),
            Step(name: "[stanza:command]", word: "", environment: [:], file: without(0), value: 3, source: .file),
            Step(name: "[stanza]", word: "", environment: [:], file: without(1), value: 4, source: .file),
            Step(name: "[global:command]", word: "", environment: [:], file: without(2), value: 5, source: .file),
            Step(name: "[global]", word: "", environment: [:], file: without(3), value: 6, source: .file),
            Step(name: "default", word: "", environment: [:], file: without(4), value: 1, source: .defaultValue),
            Step(
                name: "reset", word: "--reset-process-max", environment: both, file: sections, value: 1,
                source: .defaultValue),
        ]
    }()

    @Test(arguments: steps)
    func `the first that says something wins`(step: Step) throws {
        let configuration = try parse(
            "--stanza=main \(step.word) backup", environment: step.environment, file: step.file)
        #expect(configuration.integer(.processMax) == step.value)
        #expect(configuration.source(.processMax) == step.source)
        #expect(configuration.isSet(.processMax) == (step.source != .defaultValue))
    }

    @Test func `a bool that is negated on the line stays so`() throws {
        let file = "[global]\ndelta=y\n[main]\npg1-path=/d\n"
        #expect(try parse("--stanza=main restore", file: file).bool(.delta))
        #expect(!(try parse("--stanza=main --no-delta restore", file: file).bool(.delta)))
        #expect(!(try parse("--stanza=main --reset-delta restore", file: file).bool(.delta)))
        #expect(!(try parse("--stanza=main restore", environment: ["PERMAFROST_DELTA": "n"], file: file).bool(.delta)))
    }

    @Test func `sections of other stanzas and commands do not count`() throws {
        let file =
            "[other]\npg1-path=/x\n[main:restore]\nprocess-max=7\n[main]\npg1-path=/d\n[global:expire]\nlog-level-console=off\n"
        let configuration = try parse("--stanza=main backup", file: file)
        #expect(configuration.string(.pgPath) == "/d")
        #expect(configuration.integer(.processMax) == 1)
        #expect(configuration.string(.logLevelConsole) == "warn")
    }

    @Test func `the stanza may come from the environment`() throws {
        let configuration = try parse(
            "backup", environment: ["PGBACKREST_STANZA": "main"], file: "[main]\npg1-path=/d\n")
        #expect(configuration.string(.stanza) == "main")
        #expect(try configuration.requiredStanza() == "main")
        #expect(configuration.string(.pgPath) == "/d")
        #expect(throws: BackupError.self) { try parse("info").requiredStanza() }
    }
}

struct EnvironmentTests {
    @Test(arguments: [
        (["PGBACKREST_PROCESS_MAX": ""], "environment variable 'PGBACKREST_PROCESS_MAX' must have a value"),
        (["PERMAFROST_START_FAST": "yes"], "environment boolean option 'PERMAFROST_START_FAST' must be 'y' or 'n'"),
        (["PERMAFROST_PROCESS_MAX": "0"], "'0' is out of range for 'process-max' option"),
    ])
    func `bad values`(environment: [String: String], message: String) {
        let failure = Input(line: "--stanza=m --pg1-path=/d backup", environment: environment).failure
        #expect(failure?.message == message)
        #expect(failure?.code == .optionInvalidValue)
    }

    @Test(arguments: [
        ("PGBACKREST_BOGUS", "environment contains invalid option 'PGBACKREST_BOGUS'"),
        ("PERMAFROST_NO_ONLINE", "environment contains invalid negate option 'PERMAFROST_NO_ONLINE'"),
        ("PERMAFROST_RESET_DELTA", "environment contains invalid reset option 'PERMAFROST_RESET_DELTA'"),
    ])
    func `bad names are warnings`(variable: String, warning: String) throws {
        #expect(try parse("info", environment: [variable: "y"]).warnings == [warning])
    }

    @Test func `what is for other commands is ignored, even when it is empty`() throws {
        let configuration = try parse("info", environment: ["PGBACKREST_START_FAST": "", "HOME": "/root"])
        #expect(configuration.warnings.isEmpty)
    }

    @Test func `lists and hashes are split by colons`() throws {
        let backup = try parse(
            "--stanza=m --pg1-path=/d backup",
            environment: ["PERMAFROST_EXCLUDE": "a:b", "PERMAFROST_ANNOTATION": "k=v:l=w"])
        #expect(backup.list(.exclude) == ["a", "b"])
        #expect(backup.pairs(.annotation).map(\.value) == ["v", "w"])
    }

    @Test func `groups have numbers`() throws {
        let configuration = try parse(
            "--stanza=m archive-push", environment: ["PGBACKREST_REPO3_PATH": "/r3", "PERMAFROST_REPO1_PATH": "/r1"])
        #expect(configuration.repositoryKeys == [1, 3])
        #expect(configuration.string(.repoPath, 3) == "/r3")
        #expect(configuration.string(.repoPath) == "/r1")
    }

    @Test func `help and version do not look at the environment or at files`() throws {
        let environment = ["PGBACKREST_PROCESS_MAX": ""]
        for line in ["help", "version", "", "-h", "backup --help", "--version"] {
            let configuration = try Configuration.parse(
                programPath: "p", arguments: line.split(separator: " ").map(String.init), environment: environment
            ) { (_) throws(BackupError) in throw BackupError(.fileMissing, "asked for files") }
            #expect(configuration.command == (line.contains("version") ? .version : .help))
        }
    }
}
