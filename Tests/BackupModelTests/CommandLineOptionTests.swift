import BackupModel
import Testing

struct CommandLineOptionTests {
    struct Bad: CustomTestStringConvertible {
        let line: String
        let code: ErrorCode
        let message: String
        var testDescription: String { line }

        init(_ line: String, _ code: ErrorCode, _ message: String) {
            self.line = line
            self.code = code
            self.message = message
        }
    }

    static let bad = [
        Bad("--stanza=m", .commandRequired, "no command found"),
        Bad("--stanza backup", .commandRequired, "no command found"),
        Bad("backupp", .commandInvalid, "invalid command 'backupp'"),
        Bad("archive-push:local", .commandInvalid, "invalid command 'archive-push:local'"),
        Bad("backup:async", .commandInvalid, "invalid command 'backup:async'"),
        Bad("-x backup", .optionInvalid, "option '-x' must begin with --"),
        Bad("--bogus=1 backup", .optionInvalid, "invalid option '--bogus'"),
        Bad("--sta=x backup", .optionInvalid, "invalid option '--sta'"),
        Bad("--repo1-ret=5 backup", .optionInvalid, "invalid option '--repo1-ret'"),
        Bad("-- backup", .optionInvalid, "invalid option '--'"),
        Bad("---x backup", .optionInvalid, "option '-x' cannot begin with a dash"),
        Bad("--1-x backup", .optionInvalid, "option '1-x' cannot begin with a number"),
        Bad("--repo0-path=/x backup", .optionInvalid, "option 'repo0-path' key must be between 1 and 256"),
        Bad("--repo257-path=/x backup", .optionInvalid, "option 'repo257-path' key must be between 1 and 256"),
        Bad(
            "--repo99999999999999999999-path=/x backup", .optionInvalid,
            "option 'repo99999999999999999999-path' key must be between 1 and 256"),
        Bad("--pg-path=/x backup", .optionInvalid, "option 'pg-path' requires an index"),
        Bad("--process1-max=1 backup", .optionInvalid, "option 'process1-max' cannot have an index"),
        Bad("--hardlink1-x backup", .optionInvalid, "invalid option '--hardlink1-x'"),
        Bad("--retention1-full=1 expire", .optionInvalid, "deprecated option 'retention1-full' cannot have an index"),
        Bad(
            "--\(String(repeating: "a", count: 65)) backup", .optionInvalid,
            "option '\(String(repeating: "a", count: 65))' exceeds maximum size of 64"),
        Bad("--no-force restore", .optionInvalid, "option 'no-force' cannot be negated"),
        Bad("--no-stanza restore", .optionInvalid, "option 'no-stanza' cannot be negated"),
        Bad("--reset-force restore", .optionInvalid, "option 'reset-force' cannot be reset"),
        Bad("--no-online=y backup", .optionInvalid, "option 'no-online' does not allow an argument"),
        Bad("--online=maybe backup", .optionInvalidValue, "boolean option '--online' argument must be 'y' or 'n'"),
        Bad("backup --stanza", .optionInvalid, "option '--stanza' requires an argument"),
        Bad("--stanza=a --stanza=b backup", .optionInvalid, "option 'stanza' cannot be set multiple times"),
        Bad("--no-online --no-online backup", .optionInvalid, "option 'online' is negated multiple times"),
        Bad("--no-online --online backup", .optionInvalid, "option 'online' cannot be set and negated"),
        Bad("--reset-delta --reset-delta restore", .optionInvalid, "option 'delta' is reset multiple times"),
        Bad("--reset-delta --no-delta restore", .optionInvalid, "option 'delta' cannot be negated and reset"),
        Bad("--reset-delta --delta restore", .optionInvalid, "option 'delta' cannot be set and reset"),
        Bad("--start-fast --start-fast backup", .optionInvalid, "option 'start-fast' cannot be set multiple times"),
        Bad(
            "--repo1-cipher-pass=s backup", .optionInvalid,
            "option 'repo1-cipher-pass' is not allowed on the command-line"),
        Bad("--pg1-path=/d info", .optionInvalid, "option 'pg1-path' not valid for command 'info'"),
        Bad("--dry-run info", .optionInvalid, "option 'dry-run' not valid for command 'info'"),
        Bad("--repo=1 --stanza=m stanza-create", .optionInvalid, "option 'repo' not valid for command 'stanza-create'"),
        Bad(
            "--log-level-console=off version", .optionInvalid,
            "option 'log-level-console' not valid for command 'version'"),
        Bad("--stanza=m backup now", .parameterInvalid, "command 'backup' does not allow parameters: 'now'"),
        Bad("backup", .optionRequired, "backup command requires option: stanza"),
        Bad("--stanza=m backup", .optionRequired, "backup command requires option: pg1-path"),
        Bad("--stanza=m --pg2-path=/d backup", .optionRequired, "backup command requires option: pg1-path"),
        Bad("--stanza=m check", .optionRequired, "check command requires option: pg1-path"),
        Bad(
            "--stanza=m --pg1-path=/d --type=time restore", .optionRequired, "restore command requires option: target"),
        Bad("--stanza=m --pg1-path=d backup", .optionInvalidValue, "'d' must begin with / for 'pg1-path' option"),
        Bad(
            "--stanza=m --pg1-path=/d//e backup", .optionInvalidValue, "'/d//e' cannot contain // for 'pg1-path' option"
        ),
        Bad("--stanza= backup", .optionInvalidValue, "'' must be >= 1 character for 'stanza' option"),
        Bad("--stanza=../x backup", .optionInvalidValue, "'../x' is not valid for 'stanza' option"),
        Bad("--stanza=.. backup", .optionInvalidValue, "'..' is not valid for 'stanza' option"),
        Bad(
            "--stanza=m --pg1-path=/d --type=foo backup", .optionInvalidValue, "'foo' is not allowed for 'type' option"),
        Bad("--output=yaml info", .optionInvalidValue, "'yaml' is not allowed for 'output' option"),
        Bad("--buffer-size=3 info", .optionInvalidValue, "'3' is not allowed for 'buffer-size' option"),
        Bad("--buffer-size=1x info", .optionInvalidValue, "'1x' is not valid for 'buffer-size' option"),
        Bad(
            "--stanza=m --process-max=1000 archive-push", .optionInvalidValue,
            "'1000' is out of range for 'process-max' option"),
        Bad(
            "--stanza=m --process-max=0 archive-push", .optionInvalidValue,
            "'0' is out of range for 'process-max' option"),
        Bad(
            "--stanza=m --process-max=1x archive-push", .optionInvalidValue,
            "'1x' is not valid for 'process-max' option"),
        Bad("--stanza=m --process-max= archive-push", .optionInvalidValue, "'' is not valid for 'process-max' option"),
        Bad(
            "--stanza=m --archive-timeout=99ms archive-push", .optionInvalidValue,
            "'99ms' is out of range for 'archive-timeout' option"),
        Bad(
            "--stanza=m --compress-type=lz4 --compress-level=13 archive-push", .optionInvalidValue,
            "'13' is out of range for 'compress-level' option when 'compress-type' option = 'lz4'"),
        Bad(
            "--stanza=m --compress-level=1 --compress-type=none archive-push", .optionInvalid,
            "option 'compress-level' not valid without option 'compress-type' in ('bz2', 'gz', 'lz4', 'zst')"),
        Bad(
            "--stanza=m --pg1-path=/d --target=x restore", .optionInvalid,
            "option 'target' not valid without option 'type' in ('lsn', 'name', 'time', 'xid')"),
        Bad(
            "--stanza=m --pg1-path=/d --force backup", .optionInvalid,
            "option 'force' not valid without option 'no-online'"),
        Bad("--set=x info", .optionInvalid, "option 'set' not valid without option 'stanza'"),
        Bad(
            "--repo1-s3-bucket=b info", .optionInvalid,
            "option 'repo1-s3-bucket' not valid without option 'repo1-type' = 's3'"),
        Bad(
            "--stanza=m --pg1-path=/d --recovery-option=a restore", .optionInvalid,
            "key/value 'a' not valid for 'recovery-option' option"),
        Bad("--repo=2 info", .optionInvalidValue, "key '2' is not valid for 'repo' option"),
        Bad("--repo=300 info", .optionInvalidValue, "'300' is out of range for 'repo' option"),
        Bad("--repo=1x info", .optionInvalidValue, "'1x' is not valid for 'repo' option"),
        Bad("--repo= info", .optionInvalidValue, "'' is not valid for 'repo' option"),
        Bad("--repo=all info", .optionInvalidValue, "'all' is not valid for 'repo' option"),
        Bad("--repo=1 --repo=1 info", .optionInvalid, "option 'repo' cannot be set multiple times"),
        Bad(
            "--stanza=m --pg1-path=/d --repo=1 --repo=3 backup", .optionInvalidValue,
            "key '3' is not valid for 'repo' option"),
        Bad(
            "--stanza=m --pg1-path=/d --repo=1 --repo=all backup", .optionInvalidValue,
            "'all' must be the only value of the 'repo' option"),
        Bad(
            "--stanza=m --pg1-path=/d --repo=none backup", .optionInvalidValue, "'none' is not valid for 'repo' option"),
    ]

    @Test(arguments: bad)
    func `what is wrong is told with pgBackRest's code`(bad: Bad) {
        let failure = Input(line: bad.line).failure
        #expect(failure?.code == bad.code)
        #expect(failure?.message == bad.message)
    }

    @Test(arguments: [
        ("--stanz=m info", "m"), ("--stanza m info", "m"), ("info --stanza=m", "m"), ("--stanza=a=b info", "a=b"),
    ])
    func `a value may follow in two ways, a name may be cut short`(line: String, stanza: String) throws {
        #expect(try parse(line).string(.stanza) == stanza)
    }

    @Test(arguments: [
        ("--online", true), ("--online=y", true), ("--no-online", false), ("--online=n", false), ("--onl=n", false),
        ("--no-onl", false), ("--log-timestamp=y", true),
    ])
    func `bools are written in four ways`(word: String, value: Bool) throws {
        let configuration = try parse("--stanza=m --pg1-path=/d \(word) backup")
        #expect(configuration.bool(.online) == value)
        #expect(configuration.isSet(.online) == word.contains("onl"))
    }

    @Test func `bool-like enumerations are bools as well`() throws {
        #expect(try parse("--stanza=m --pg1-path=/d --no-backup-standby backup").string(.backupStandby) == "n")
        #expect(try parse("--stanza=m --pg1-path=/d --backup-standby backup").string(.backupStandby) == "y")
    }

    @Test(arguments: [
        ("--sta=x info", "it could be 'stanza', 'start-timeout', 'start-fast'"),
        ("--repo2-retention-f=1 expire", "it could be 'repo2-retention-full-type', 'repo2-retention-full'"),
        ("--compres-type=gz backup", "did you mean 'compress-type'?"), ("bakup", "did you mean 'backup'?"),
        ("--pg-path=/x backup", "add the required index, e.g. pg1-path"),
        ("--output=yaml info", "allowed values are 'text', 'json'"),
        ("--stanza=m --process-max=0 archive-push", "allowed range is 1 to 999 inclusive"),
    ])
    func `a hint says what to write`(line: String, hint: String) {
        #expect(Input(line: line).failure?.hint == hint)
    }

    @Test func `a secret in a mistyped option is not repeated`() {
        #expect(Input(line: "--repo1-cipher-pas=hush backup").failure?.description.contains("hush") == false)
        #expect(Input(line: "--repo1-cypher-pass=hush backup").failure?.description.contains("hush") == false)
    }

    @Test(arguments: [
        ("--db-path=/d", OptionName.pgPath, 1, "/d"), ("--db1-path=/d", .pgPath, 1, "/d"),
        ("--pg1-path=/d --db-port=5", .pgPort, 1, "5"),
        ("--pg1-path=/d --retention-full=4", .repoRetentionFull, 1, "4"),
        ("--pg1-path=/d --repo-path=/r", .repoPath, 1, "/r"), ("--pg1-path=/d --repo256-path=/r", .repoPath, 256, "/r"),
        ("--pg1-path=/d/", .pgPath, 1, "/d"), ("--pg1-path=/", .pgPath, 1, "/"),
    ])
    func `old names and trailing slashes are taken`(
        words: String, option: OptionName, index: Int, value: String
    ) throws {
        #expect(try parse("--stanza=m \(words) backup").string(option, index) == value)
    }

    @Test func `lists and hashes are repeated`() throws {
        let backup = try parse("--stanza=m --pg1-path=/d --exclude=a --exclude=b/ backup")
        #expect(backup.list(.exclude) == ["a", "b/"])
        let restore = try parse(
            "--stanza=m --pg1-path=/d --recovery-option=b=1=2 --recovery-option=a= --recovery-option=b=3 restore")
        #expect(restore.pairs(.recoveryOption).map(\.key) == ["b", "a"])
        #expect(restore.pairs(.recoveryOption).map(\.value) == ["3", ""])
        #expect(restore.warnings == ["key 'b' value '1=2' is overwritten with '3' for 'recovery-option' option"])
    }

    @Test(arguments: [
        ("512b", UInt64(512)), ("16384", 16384), ("2k", 2048), ("2KB", 2048), ("2KiB", 2048), ("3m", 3 << 20),
        ("3GiB", 3 << 30), ("1tb", 1 << 40),
    ])
    func `sizes have binary suffixes`(text: String, bytes: UInt64) throws {
        let configuration = try parse("--stanza=m --pg1-path=/d --manifest-save-threshold=\(text) backup")
        #expect(configuration.size(.manifestSaveThreshold) == bytes)
    }

    @Test(arguments: ["", "b", "k", "-1", "1.5m", "1 k", "1kk", "1ib", "99999999999999999999", "9000p", "0x10", "٣"])
    func `malformed sizes are refused`(text: String) {
        let failure = #expect(throws: BackupError.self) {
            try Configuration.parse(arguments: [
                "--stanza=m", "--pg1-path=/d", "--manifest-save-threshold=\(text)", "backup",
            ])
        }
        #expect(failure?.message == "'\(text)' is not valid for 'manifest-save-threshold' option")
        #expect(failure?.code == .optionInvalidValue)
    }

    @Test(arguments: [
        ("90", Duration.seconds(90)), ("100ms", .milliseconds(100)), ("90S", .seconds(90)), ("2m", .seconds(120)),
        ("1h", .seconds(3600)), ("1d", .seconds(86400)),
    ])
    func `times have suffixes`(text: String, duration: Duration) throws {
        let configuration = try parse("--stanza=m --archive-timeout=\(text) archive-push")
        #expect(configuration.duration(.archiveTimeout) == duration)
    }

    @Test(arguments: ["s", "ms", "1.5s", "1y", "", "9223372036854775807w"])
    func `malformed times are refused`(text: String) {
        let failure = Input(line: "--stanza=m --archive-timeout=\(text) archive-push").failure
        #expect(failure?.message == "'\(text)' is not valid for 'archive-timeout' option")
    }

    @Test func `what follows job is a command with options of its own`() throws {
        let configuration = try parse(
            "--stanza=m job backup --type=full --no-delta --repo=2 --repo2-host=h --repo2-host-type=tls "
                + "--repo2-host-cert-file=/c --repo2-host-key-file=/k --annotation=a=b --annotation=c=d --detach")
        #expect(configuration.command == .job && configuration.parameters == ["backup"])
        #expect(configuration.bool(.detach) && configuration.string(.repoHost, 2) == "h")
        let job = try #require(configuration.job)
        #expect(job.command == .backup)
        let given = job.options.filter { !$0.displayName.contains("host") }.map { "\($0.displayName)=\($0.values)" }
        #expect(
            given == [
                #"annotation=["a=b", "c=d"]"#, #"delta=["n"]"#, #"repo=["2"]"#, #"stanza=["m"]"#, #"type=["full"]"#,
            ])
        #expect(try parse("--stanza=m job list").job == nil)
        #expect(Input(line: "job list --type=full").failure?.message == "option 'type' not valid for command 'job'")
        #expect(
            Input(line: "job backup --target=x").failure?.message == "option 'target' not valid for command 'job'")
        #expect(Input(line: "job backup twice").failure?.code == .parameterInvalid)
    }
}
