import BackupModel
import Testing

struct ConfigurationArgumentTests {
    @Test func `all that was given is listed by name`() throws {
        let configuration = try Configuration.parse(
            arguments: [
                "backup", "--stanza=m", "--exclude=b c", "--exclude=a", "--no-start-fast", "--reset-process-max",
                "--annotation=k=v", "--repo2-path=/r2/", "--repo10-path=/r10",
            ],
            environment: ["PERMAFROST_REPO1_RETENTION_FULL": "2"],
            files: [ConfigFile(path: "/c", text: "[m]\npg1-path=/d\nprocess-max=4\narchive-copy=y\n")])
        #expect(
            configuration.arguments() == [
                "--annotation=k=v", "--archive-copy", "--exclude=\"b c\"", "--exclude=a", "--pg1-path=/d",
                "--reset-process-max", "--repo2-path=/r2", "--repo10-path=/r10", "--repo1-retention-full=2",
                "--stanza=m", "--no-start-fast",
            ])
    }

    @Test func `without values nothing is listed`() throws {
        #expect(try parse("info").arguments() == [])
        #expect(try parse("--no-config info").arguments() == ["--no-config"])
    }

    @Test func `restore passes on what its command line said`() throws {
        let configuration = try Configuration.parse(
            arguments: [
                "restore", "--stanza=m", "--repo1-path=/a b", "--log-level-console=info", "--log-path=/l",
                "--process-max=8",
                "--type=immediate", "--delta", "--no-neutral-umask", "--cmd=/x", "--config=/c%d.conf", "--exec-id=1",
                "--lock-path=/$(x)",
            ],
            environment: ["PERMAFROST_IO_TIMEOUT": "9"],
            files: [ConfigFile(path: "/c", text: "[m]\npg1-path=/d\nbuffer-size=64k\n")])
        #expect(
            configuration.arguments(for: .archiveGet) == [
                "--config=/c%%d.conf", "--lock-path=\"/\\$(x)\"", "--log-path=/l", "--no-neutral-umask",
                "--repo1-path=\"/a b\"", "--stanza=m",
            ])
    }

    @Test func `the program is what it was called`() throws {
        let configuration = try Configuration.parse(
            programPath: "/usr/bin/pgbackrest", arguments: ["--stanza=m", "--pg1-path=/d", "restore"])
        #expect(configuration.programPath == "/usr/bin/pgbackrest")
        #expect(configuration.string(.cmd) == "/usr/bin/pgbackrest")
        #expect(configuration.string(.lockPath) == "/tmp/pgbackrest")
    }

    @Test func `a run has one name`() throws {
        var configuration = try parse("info")
        configuration.setExecId("1-a")
        configuration.setExecId("2-b")
        #expect(configuration.arguments() == ["--exec-id=1-a"])
        var named = try parse("--exec-id=0-c info")
        named.setExecId("1-a")
        #expect(named.string(.execId) == "0-c")
    }

    @Test func `parameters follow the command`() throws {
        let configuration = try parse(
            "--stanza=m archive-get 000000010000000000000001 --pg1-path /d pg_wal/RECOVERYXLOG")
        #expect(configuration.parameters == ["000000010000000000000001", "pg_wal/RECOVERYXLOG"])
        #expect(configuration.command == .archiveGet)
    }
}
