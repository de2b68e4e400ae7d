import BackupModel
import Testing

struct FileOptionTests {
    static let line = "--stanza=main --pg1-path=/d backup"

    @Test(arguments: [
        ("process-max=2", ErrorCode.format, "line 1: key/value outside of a section"),
        ("[global\nprocess-max=2", .format, "line 1: a section should be '[name]'"),
        ("\n[]\n", .format, "line 2: a section should be '[name]'"),
        ("[global]\n# x\nprocess-max", .format, "line 3: missing '=' in key/value"),
        ("[global]\n=2", .format, "line 2: key is empty"),
        ("[global]\nprocess-max=", .optionInvalidValue, "section 'global', key 'process-max' must have a value"),
        ("[global]\nprocess-max=2\nprocess-max=3", .optionInvalid, "option 'process-max' cannot be set multiple times"),
        ("[global]\nstart-fast=yes", .optionInvalidValue, "boolean option 'start-fast' must be 'y' or 'n'"),
        ("[global]\nprocess-max=1000", .optionInvalidValue, "'1000' is out of range for 'process-max' option"),
        (
            "[global]\nrepo1-path=/a\nrepo-path=/b", .optionInvalid,
            "configuration file '/etc/test.conf' contains duplicate options ('repo-path', 'repo1-path') in section '[global]'"
        ),
        ("[main]\npg-path=/d", .optionInvalid, "option 'pg-path' requires an index"),
    ])
    func `bad files`(file: String, code: ErrorCode, message: String) {
        let failure = Input(line: Self.line, file: file).failure
        #expect(failure?.code == code)
        #expect(failure?.message.hasSuffix(message) == true, "\(failure?.message ?? "no error")")
    }

    @Test func `a line that cannot be read is not shown, it may hold a secret`() {
        let failure = Input(line: Self.line, file: "[global]\nrepo1-cipher-pass hush").failure
        #expect(failure?.description.contains("hush") == false)
        #expect(failure?.description.contains("/etc/test.conf") == true)
    }

    @Test(arguments: [
        ("[global]\nbogus=1", "invalid option 'bogus'"), ("[global]\nno-start-fast=y", "negate option 'no-start-fast'"),
        ("[global]\nreset-start-fast=y", "reset option 'reset-start-fast'"),
        ("[global]\ntype=full", "command-line only option 'type'"),
        ("[global]\nstanza=x", "command-line only option 'stanza'"),
        ("[global]\npg1-path=/x", "stanza-only option 'pg1-path' in global section 'global'"),
        ("[global:backup]\npg1-path=/x", "stanza-only option 'pg1-path' in global section 'global:backup'"),
        ("[main:backup]\narchive-mode=off", "option 'archive-mode' invalid for section 'main:backup'"),
        ("[global]\nstart-f=y", "invalid option 'start-f'"),
    ])
    func `what is misplaced is a warning`(file: String, warning: String) throws {
        let configuration = try parse("\(Self.line) --repo1-retention-full=1", file: file)
        #expect(configuration.warnings == ["configuration file '/etc/test.conf' contains \(warning)"])
        #expect(configuration.string(.pgPath) == "/d")
    }

    @Test func `comments, blanks and line ends`() throws {
        let file =
            "# top\r\n\r\n  [global]  \r\n  process-max =  4  \r\n#process-max=5\r\n\texclude= a b \nexclude=c=d\n"
        let configuration = try parse(Self.line, file: file)
        #expect(configuration.integer(.processMax) == 4)
        #expect(configuration.list(.exclude) == ["a b", "c=d"])
    }

    @Test func `hash options have a key in their value`() throws {
        let file = "[main]\npg1-path=/d\nrecovery-option=primary_conninfo=host=a port=1\ntablespace-map=ts=/t\n"
        let configuration = try parse("--stanza=main restore", file: file)
        #expect(configuration.pairs(.recoveryOption).first?.key == "primary_conninfo")
        #expect(configuration.pairs(.recoveryOption).first?.value == "host=a port=1")
        #expect(configuration.pairs(.tablespaceMap).first?.value == "/t")
    }

    @Test func `files are one, and a section may be in several`() throws {
        let files = [
            ConfigFile(path: "/a", text: "[global]\nexclude=a"),
            ConfigFile(path: "/b", text: "[global]\nexclude=b\n[two]\n"),
        ]
        let configuration = try Configuration.parse(
            arguments: Self.line.split(separator: " ").map(String.init), files: files)
        #expect(configuration.list(.exclude) == ["a", "b"])
    }

    @Test func `an unmet dependency in a file is ignored`() throws {
        let file = "[global]\nspool-path=/s\ncompress-type=none\ncompress-level=3\nrepo1-s3-bucket=b\n"
        let configuration = try parse("--stanza=main archive-push", file: file)
        #expect(configuration.string(.spoolPath) == nil)
        #expect(configuration.integer(.compressLevel) == 0)
        #expect(configuration.string(.repoS3Bucket) == nil)
        #expect(!configuration.isSet(.repoS3Bucket))
    }

    @Test func `stanzas are found in the files, and looked at one by one`() throws {
        let file =
            "[global]\nprocess-max=2\n[b]\npg1-path=/b\n[a:backup]\nstart-fast=y\n[a]\npg1-path=/a\n[global:check]\n"
        let configuration = try parse("check --repo1-path=/r", file: file)
        #expect(configuration.stanzasInFiles == ["b", "a"])
        #expect(configuration.string(.pgPath) == nil)
        let one = try configuration.forStanza("a")
        #expect(one.string(.pgPath) == "/a")
        #expect(one.string(.stanza) == "a")
        #expect(one.string(.repoPath) == "/r")
        #expect(one.command == .check)
    }
}
