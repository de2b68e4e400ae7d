import BackupModel
import Testing

struct HelpTests {
    static let everything: [String] = {
        var texts: [String] = []
        for command in Command.allCases {
            if let text = try? Help.text([command.rawValue]) { texts.append(text) }
            for option in OptionTable.definitions where option.isValid(for: command) {
                if let text = try? Help.text([command.rawValue, option.name.rawValue]) { texts.append(text) }
            }
        }
        return texts
    }()

    @Test func `nothing is wider than 80 columns`() throws {
        #expect(Self.everything.count > 1000)
        let general = try Help.text()
        for text in Self.everything + [general] {
            for line in text.split(separator: "\n") {
                #expect(line.count <= 80, "\(line)")
                #expect(!line.hasSuffix(" "), "\(line)")
            }
        }
    }

    @Test func `all commands are listed`() throws {
        let text = try Help.text(programPath: "/usr/bin/pgbackrest")
        for command in Command.allCases { #expect(text.contains("\n    \(command.rawValue) ")) }
        #expect(text.contains("    pgbackrest [options] COMMAND"))
    }

    @Test(arguments: [
        (["backup", "compress-type"], ["default:       gz", "none, bz2, gz, lz4, zst", "PERMAFROST_COMPRESS_TYPE"]),
        (["backup", "--compress-type"], ["permafrost backup --compress-type"]),
        (["backup", "repo2-path"], ["--repo1-path=/backup/permafrost", "1 to 256", "/var/lib/pgbackrest"]),
        (["backup", "type"], ["default:       incr", "allowed:       full, diff, incr"]),
        (["backup", "repo-cipher-pass"], ["refused", "repo1-cipher-type=aes-256-cbc"]),
        (
            ["backup", "compress-level"],
            ["6 for gz", "-7 to 22 for\n               zst", "needs:         compress-type="]
        ),
        (["backup", "start-fast"], ["default:       n", "example:       --start-fast"]),
        (["backup", "expire-auto"], ["example:       --no-expire-auto"]),
        (["backup", "compress-level-network"], ["no effect in this version"]),
        (["backup", "repo1-type"], ["not supported: sftp"]),
        (
            ["backup"],
            [
                "Command Options:", "Repository Options:", "--compress-type", "[default=gz]",
                "permafrost [options] backup",
            ]
        ),
        (["archive-push"], ["archive-push WAL-PATH"]), (["server-ping"], ["server-ping [HOST]"]),
    ])
    func `help tells what is asked for`(parameters: [String], parts: [String]) throws {
        let text = try Help.text(parameters)
        for part in parts { #expect(text.contains(part), "\(text)") }
    }

    @Test(arguments: [
        (["bogus"], ErrorCode.commandInvalid), (["backup", "bogus"], .optionInvalid),
        (["info", "type", "x"], .parameterInvalid),
        (["info", "start-fast"], .optionInvalid), (["backup", ""], .optionInvalid),
    ])
    func `help does not know all`(parameters: [String], code: ErrorCode) {
        #expect {
            try Help.text(parameters)
        } throws: {
            ($0 as? BackupError)?.code == code
        }
    }

    @Test(arguments: [
        ("", []), ("help", []), ("-h", []), ("--help", []), ("help backup", ["backup"]), ("backup -h", ["backup"]),
        ("--stanza=x backup --help", ["backup"]), ("help backup type", ["backup", "type"]),
        ("--help archive-push x", ["archive-push"]),
    ])
    func `help is asked for in several ways`(line: String, parameters: [String]) throws {
        let configuration = try parse(line)
        #expect(configuration.command == .help)
        #expect(configuration.parameters == parameters)
    }

    @Test func `the version is a text or a number`() throws {
        #expect(Help.version() == "Permafrost \(ProgramVersion.number)")
        #expect(Help.version(output: "num") == "1000")
        #expect(Help.version(programPath: "/x/pgbackrest") == "pgBackRest 2.59.1 (Permafrost \(ProgramVersion.number))")
        #expect(Help.version(output: "num", programPath: "pgbackrest") == "2059001")
        #expect(Help.version(programPath: "/pgbackrest/permafrost") == "Permafrost \(ProgramVersion.number)")
        #expect(try parse("version --output=num").string(.output) == "num")
    }
}
