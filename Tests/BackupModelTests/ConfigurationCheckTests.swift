import BackupModel
import Testing

struct ConfigurationCheckTests {
    @Test(arguments: [
        ("--repo1-path=/r --repo2-path=/r info", "local repo1 and repo2 paths are both '/r' but must be different"),
        (
            "--repo3-path=/var/lib/pgbackrest/ --repo1-type=posix info",
            "local repo1 and repo3 paths are both '/var/lib/pgbackrest' but must be different"
        ),
    ])
    func `repositories need different paths`(line: String, message: String) {
        #expect(Input(line: line).failure?.message == message)
        #expect(Input(line: line).failure?.code == .optionInvalidValue)
    }

    @Test(arguments: [
        ("info", [1]), ("--repo1-path=/a info", [1]), ("--repo2-path=/a info", [2]),
        ("--repo4-path=/a --repo2-path=/b info", [2, 4]), ("--repo4-path=/a --repo2-path=/b --repo=4 info", [4]),
        ("--reset-repo2-path info", [1]),
    ])
    func `repositories are those that are configured`(line: String, keys: [Int]) throws {
        let configuration = try parse(line)
        #expect(configuration.repositoryKeys == keys)
        #expect(configuration.string(.repoPath) != nil)
        #expect(configuration.string(.repoPath, keys[0]) == configuration.string(.repoPath))
    }

    @Test func `a number with nothing but unmet options is dropped`() throws {
        let file = "[global]\nrepo2-s3-bucket=b\n"
        let configuration = try parse("info", file: file)
        #expect(configuration.repositoryKeys == [1])
        #expect(configuration.string(.repoPath) == "/var/lib/pgbackrest")
        let two = try parse("info", file: "[global]\nrepo2-s3-bucket=b\nrepo3-path=/r\n")
        #expect(two.repositoryKeys == [3])
    }

    @Test func `PostgreSQL servers are numbered from 1`() throws {
        #expect(try parse("--stanza=m --pg1-path=/a --pg3-path=/b restore").postgresKeys == [1, 3])
        #expect(try parse("--stanza=m --pg2-path=/b archive-push").postgresKeys == [2])
        #expect(try parse("--stanza=m archive-push").postgresKeys == [1])
        let second = try parse("--stanza=m --pg1-path=/a --pg3-path=/b --pg=3 backup")
        #expect(second.postgresKeys == [3])
        #expect(second.string(.pgPath) == "/b")
    }

    @Test func `options of one group do not leak into another number`() throws {
        let configuration = try parse(
            "--stanza=m --repo1-retention-full=2 --repo2-path=/b --repo2-retention-full=7 expire")
        #expect(configuration.integer(.repoRetentionFull, 1) == 2)
        #expect(configuration.integer(.repoRetentionFull, 2) == 7)
        #expect(configuration.string(.repoPath, 1) == "/var/lib/pgbackrest")
        #expect(configuration.string(.repoPath, 3) == nil)
        #expect(configuration.warnings.isEmpty)
    }

    @Test(
        arguments: [
            ("info", "option 'repo-target-time' not valid without option 'repo'"),
            (
                "--repo=1 info",
                "option 'repo-target-time' not valid without option 'repo1-type' in ('azure', 'gcs', 's3')"
            ),
            ("--repo=2 info", nil), ("--repo=2 --stanza=m backup", nil),
        ] as [(String, String?)])
    func `a time of a repository needs its number, and a bucket`(line: String, message: String?) throws {
        let file =
            "[global]\nrepo1-path=/r\nrepo2-type=s3\nrepo2-s3-bucket=b\nrepo2-s3-key-type=auto\n"
            + "repo-target-time=2026-01-01 00:00:00\n[m]\npg1-path=/d\n"
        do throws(BackupError) {
            let configuration = try parse(line, file: file)
            #expect(message == nil)
            #expect((configuration.string(.repoTargetTime) != nil) == (configuration.command == .info))
        } catch {
            #expect(error.code == .optionInvalid && error.message == message)
        }
    }

    @Test func `retention that is unset is a warning per repository`() throws {
        let configuration = try parse(
            "--stanza=m --repo1-retention-full=2 --repo2-path=/b --repo2-retention-full-type=time expire")
        #expect(
            configuration.warnings == [
                "option 'repo2-retention-full' is not set for 'repo2-retention-full-type=time', the repository may run out "
                    + "of space\nHINT: to retain full backups indefinitely (without warning), set option "
                    + "'repo2-retention-full' to the maximum."
            ])
        #expect(try parse("--stanza=m archive-push").warnings.isEmpty)
    }

    @Test(arguments: [
        ("--db-timeout=1h", 3600, 3630), ("--protocol-timeout=10m", 570, 600), ("--protocol-timeout=20s", 10, 20),
        ("", 1800, 1860),
    ])
    func `the protocol waits longer than the database`(words: String, database: Int, other: Int) throws {
        let configuration = try parse("--stanza=m --pg1-path=/d \(words) backup")
        #expect(configuration.duration(.dbTimeout) == .seconds(database))
        #expect(configuration.duration(.protocolTimeout) == .seconds(other))
    }

    @Test func `timeouts that contradict each other are refused`() {
        let failure = Input(line: "--stanza=m --pg1-path=/d --db-timeout=60 --protocol-timeout=60 backup").failure
        #expect(failure?.code == .optionInvalidValue)
        #expect(failure?.message == "'60' is not valid for 'protocol-timeout' option")
    }

    @Test func `no compress is compress type none`() throws {
        let none = try parse("--stanza=m --no-compress archive-push")
        #expect(none.string(.compressType) == "none")
        #expect(none.integer(.compressLevel) == 0)
        let both = try parse("--stanza=m --no-compress --compress-type=lz4 archive-push")
        #expect(both.string(.compressType) == "lz4")
        #expect(both.warnings.count == 1)
        #expect(try parse("--stanza=m --compress archive-push").string(.compressType) == "gz")
    }

    @Test(arguments: ["--repo2-path=/b", "--repo1-path=/a --repo2-path=/b"])
    func `deleting a stanza needs a repository to be named`(words: String) throws {
        let line = "--stanza=m --pg1-path=/d \(words) stanza-delete"
        #expect(Input(line: line).failure?.code == .optionRequired)
        #expect(Input(line: line).failure?.message == "stanza-delete command requires option: repo")
        #expect(try parse("\(line) --repo=2").repositoryKeys == [2])
    }

    @Test(arguments: [
        ("", "", [1], [1, 2, 4]), ("--repo=4", "", [4], [4]), ("--repo=4 --repo=1", "", [1, 4], [1, 4]),
        ("--repo=2 --repo=2", "", [2], [2]), ("--repo=all", "", [1, 2, 4], [1, 2, 4]),
        ("", "2:4", [2, 4], [2, 4]), ("", "all", [1, 2, 4], [1, 2, 4]), ("--repo=1", "all", [1], [1]),
    ])
    func `a backup goes into the first repository or those that are named`(
        words: String, variable: String, selected: [Int], covered: [Int]
    ) throws {
        let configuration = try parse(
            "--stanza=m --pg1-path=/d \(words) backup",
            environment: variable.isEmpty ? [:] : ["PGBACKREST_REPO": variable],
            file: "[global]\nrepo1-path=/a\nrepo2-path=/b\nrepo4-path=/d\n")
        #expect(configuration.repositoryKeys == selected)
        #expect(configuration.coveredRepositoryKeys == covered)
        let files = "[global]\nrepo1-path=/a\nrepo2-path=/b\n"
        #expect(try parse("--stanza=m expire", file: files).repositoryKeys == [1, 2])
        #expect(try parse("--stanza=m --repo=2 expire", file: files).coveredRepositoryKeys == [2])
    }

    @Test func `dependencies set what they must`() throws {
        let offline = try parse("--stanza=m --pg1-path=/d --no-online --force backup")
        #expect(!offline.bool(.archiveCheck))
        #expect(!offline.bool(.archiveCopy))
        #expect(!offline.bool(.archiveModeCheck))
        #expect(offline.bool(.force))
        #expect(!(try parse("--stanza=m --pg1-path=/d --repo1-type=cifs backup").bool(.repoSymlink)))
        #expect(!(try parse("--stanza=m --pg1-path=/d backup").isSet(.checksumPage)))
        #expect(try parse("--stanza=m --pg1-path=/d --no-checksum-page backup").isSet(.checksumPage))
    }
}

struct SupportTests {
    @Test(arguments: [
        ("--repo2-type=sftp", "option 'repo2-type' = 'sftp'"), ("--repo1-type=sftp", "option 'repo1-type' = 'sftp'"),
        ("--pg1-host=h", "option 'pg1-host-type' = 'ssh'"), ("--repo1-host=h", "option 'repo1-host-type' = 'ssh'"),
        ("--pg1-host=h --pg1-host-type=ssh", "option 'pg1-host-type' = 'ssh'"),
        ("--repo1-host=h --repo1-host-type=ssh", "option 'repo1-host-type' = 'ssh'"),
    ])
    func `what this version lacks is named`(word: String, subject: String) {
        let failure = Input(line: "--stanza=m --pg1-path=/d \(word) backup").failure
        #expect(failure?.code == .featureNotSupported)
        #expect(failure?.message == "\(subject) \(unsupported)")
    }

    @Test(arguments: [
        "--no-repo1-bundle", "--repo1-bundle", "--repo1-hardlink", "--type=diff", "--delta", "--repo1-type=posix",
        "--repo1-type=cifs", "--type=full", "--no-delta",
        "--repo1-cipher-type=none",
        "--backup-standby=n", "--no-repo1-hardlink", "--cmd-ssh=ssh", "--no-resume", "--resume", "--io-timeout=5",
        "--protocol-timeout=1h", "--compress-level-network=0", "--exec-id=1-2", "--tcp-keep-alive-idle=9",
    ])
    func `defaults and what has no effect are accepted`(word: String) {
        #expect(Input(line: "--stanza=m --pg1-path=/d \(word) backup").failure == nil)
    }

    @Test func `it is an error from wherever it came`() {
        let line = "--stanza=m --pg1-path=/d backup"
        let message = "option 'repo1-type' = 'sftp' \(unsupported)"
        #expect(Input(line: line, environment: ["PGBACKREST_REPO1_TYPE": "sftp"]).failure?.message == message)
        #expect(Input(line: line, file: "[m]\nrepo1-type=sftp\n").failure?.message == message)
        #expect(Input(line: "--stanza=m info", file: "[m]\npg1-host=h\n").failure == nil)
    }

    @Test(arguments: minimalLines)
    func `commands that are there parse`(line: String) {
        #expect(Input(line: line).failure == nil)
    }

    @Test func `delta of a restore is supported`() throws {
        #expect(try parse("--stanza=m --pg1-path=/d --delta restore").bool(.delta))
    }
}
