import PostgresFormats
import Testing

@Suite struct DataDirectoryRulesTests {
    static let versions = ControlFixture.all.map { PostgresVersion(number: $0.number) }
    static let tablespace = "pg_tblspc/16400/PG_15_202209061"

    @Test(arguments: versions)
    func keepsDirectoriesOfTheRunningServerEmpty(version: PostgresVersion) {
        for directory in [
            "pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans",
        ] {
            for online in [true, false] {
                #expect(rules(directory, version, online).keepsOnlyDirectory)
                #expect(!rules(directory, version, online).isExcluded)
                #expect(rules("\(directory)/0000", version, online).isExcluded)
                #expect(rules("\(directory)/slot/state", version, online).isExcluded)
                #expect(!rules("base/\(directory)", version, online).keepsOnlyDirectory)
                #expect(!rules("\(directory)2/0000", version, online).isExcluded)
            }
        }
        for directory in [
            "", "base", "global", "pg_xact", "pg_clog", "pg_multixact", "pg_stat", "pg_logical", "pg_twophase",
            "pg_commit_ts", "pg_tblspc", "pg_wal", "pg_xlog", "log", "archive_status",
        ] {
            #expect(!rules(directory, version, true).keepsOnlyDirectory, "\(directory)")
        }
    }

    @Test(arguments: versions)
    func leavesWALOutWhenOnline(version: PostgresVersion) {
        let wal = version.number < 100_000 ? "pg_xlog" : "pg_wal"
        let other = version.number < 100_000 ? "pg_wal" : "pg_xlog"
        for name in ["000000010000000000000001", "00000002.history", "000000010000000000000001.partial", "xlogtemp.12"]
        {
            #expect(rules("\(wal)/\(name)", version, true).isExcluded)
            #expect(!rules("\(wal)/\(name)", version, false).isExcluded)
            #expect(!rules("\(other)/\(name)", version, true).isExcluded)
        }
        #expect(rules("\(wal)/archive_status", version, true) == Answer(keepsOnlyDirectory: true, isExcluded: false))
        #expect(rules("\(wal)/archive_status", version, false) == Answer(keepsOnlyDirectory: false, isExcluded: false))
        #expect(rules("\(wal)/archive_status/000000010000000000000001.done", version, true).isExcluded)
        #expect(!rules("\(wal)/archive_status/000000010000000000000001.done", version, false).isExcluded)
        #expect(rules("\(wal)/summaries", version, true) == Answer(keepsOnlyDirectory: false, isExcluded: false))
        #expect(rules(wal, version, true) == Answer(keepsOnlyDirectory: false, isExcluded: false))
    }

    @Test(
        arguments: [
            ("recovery.signal", 120_000, .max), ("standby.signal", 120_000, .max), ("recovery.conf", 0, 120_000),
            ("recovery.done", 0, 120_000), ("backup_manifest", 130_000, .max), ("backup_manifest.tmp", 130_000, .max),
            ("postgresql.auto.conf.tmp", 0, .max), ("backup_label", 0, .max), ("backup_label.old", 0, .max),
            ("postmaster.opts", 0, .max), ("postmaster.pid", 0, .max),
            ("postgresql.auto.conf", .max, .max), ("postgresql.conf", .max, .max), ("PG_VERSION", .max, .max),
            ("tablespace_map", .max, .max), ("tablespace_map.old", .max, .max), ("backup_label.old2", .max, .max),
            ("current_logfiles", .max, .max), ("recovery.signal2", .max, .max),
        ] as [(String, Int, Int)])
    func leavesRootFilesOutByVersion(name: String, first: Int, end: Int) {
        for version in Self.versions {
            for online in [true, false] {
                let expected = version.number >= first && version.number < end
                #expect(rules(name, version, online).isExcluded == expected, "\(version)")
                #expect(!rules("conf.d/\(name)", version, online).isExcluded, "only in the root")
            }
        }
    }

    @Test(arguments: ["global", "base/1", "base/16384", "\(tablespace)/16384", "pg_tblspc/1/PG_9.6_201608131/5"])
    func leavesCachesAndTemporaryRelationsOut(directory: String) {
        for name in [
            "pg_internal.init", "pg_internal.init.1", "pg_internal.init.12345", "t3_16384", "t12_16384_fsm", "t1_2_vm",
            "t1_2.1", "t1_2_fsm.12", "t1_2_vm.3",
        ] {
            #expect(rules("\(directory)/\(name)").isExcluded, "\(name)")
            #expect(!rules("pg_stat/\(name)").isExcluded, "\(name)")
            #expect(!rules("base/\(name)").isExcluded, "\(name)")
            #expect(!rules("\(directory)/deeper/\(name)").isExcluded, "\(name)")
        }
        for name in [
            "16384", "16384_fsm", "16384.1", "16384_init", "PG_VERSION", "pg_filenode.map", "pg_internal.init.",
            "pg_internal.init.x", "pg_internal.init.1x", "pg_internal.initial", "t_1", "t1_", "t1", "t1_2_init",
            "t1_2.",
            "t1_2.x", "t1_2_fsm_vm", "t1_2_fsmx", "tx_2", "x1_2", "t1_2 ",
        ] {
            #expect(!rules("\(directory)/\(name)").isExcluded, "\(name)")
        }
    }

    @Test(arguments: [
        "pgsql_tmp", "base/pgsql_tmp", "base/pgsql_tmp/pgsql_tmp123.0", "base/5/pgsql_tmp1", "pgsql_tmpfile",
        "\(tablespace)/pgsql_tmp/pgsql_tmp1.0", "global/pg_control.pgbackrest.tmp", "base/5/16384.pgbackrest.tmp",
        "pg_hba.conf.pgbackrest.tmp",
    ])
    func leavesTemporaryFilesOutEverywhere(path: String) {
        #expect(rules(path).isExcluded)
        #expect(rules(path, online: false).isExcluded)
    }

    @Test(arguments: [
        "base/5/16384", "global/pg_control", "base/xpgsql_tmp", "base/pgsql_tm", "pg_xact/0000",
        "pg_multixact/offsets/0000",
        "pg_logical/replorigin_checkpoint", "pg_tblspc", "pg_tblspc/16400", tablespace, "\(tablespace)/5/16384",
        "base/5",
        "global/pg_control.pgbackrest.tmp2", "global/pg_control.tmp", "pg_notify2", "",
    ])
    func keepsTheRest(path: String) {
        #expect(!rules(path).isExcluded)
        #expect(!rules(path, online: false).isExcluded)
    }

    @Test(arguments: [
        ("base/5/16384", true), ("base/5/16384.1", true), ("base/5/16384_fsm", true), ("base/5/16384_init", true),
        ("global/1262", true), ("\(tablespace)/5/16384", true), ("pg_tblspc/1/PG_9.6_201608131/5/2", true),
        ("base/5/unknown", true), ("base/5/pg_control", true),
        ("base/5/PG_VERSION", false), ("base/5/pg_filenode.map", false), ("global/pg_filenode.map", false),
        ("global/pg_control", false), ("\(tablespace)/5/PG_VERSION", false), ("PG_VERSION", false), ("16384", false),
        ("base/16384", false), ("base/x/16384", false), ("base/5/sub/16384", false), ("base//16384", false),
        ("pg_tblspc/16400/5/16384", false), ("pg_tblspc/x/PG_15_202209061/5/1", false), ("\(tablespace)/x/1", false),
        ("\(tablespace)/16384", false), ("pg_tblspc/1/PG_15_202209061/5/6/1", false), ("pg_xact/0000", false),
        ("base/5/", false), ("global/", false), ("", false), ("globalx/1", false),
    ])
    func checksPagesOfRelations(path: String, expected: Bool) {
        #expect(DataDirectoryRules.hasPages(path) == expected)
    }

    @Test(arguments: [
        ("base/5/16384", true), ("global/1262", true), ("pg_xact/0000", true), ("pg_multixact/members/0000", true),
        ("\(tablespace)/5/16384", true), ("global/pg_control", false), ("pg_clog/0000", false), ("pg_wal/x", false),
        ("PG_VERSION", false), ("base", false), ("postgresql.conf", false), ("basement/1", false),
        ("pg_logical/snapshots/1", false),
    ])
    func takesFromTheStandbyWhatReplayRepairs(path: String, expected: Bool) {
        #expect(DataDirectoryRules.isCopiedFromStandby(path, version: PostgresVersion(number: 150_000)) == expected)
    }

    @Test func namesTheCommitLogByVersion() {
        let old = PostgresVersion(number: 90600)
        #expect(DataDirectoryRules.isCopiedFromStandby("pg_clog/0000", version: old))
        #expect(!DataDirectoryRules.isCopiedFromStandby("pg_xact/0000", version: old))
    }

    @Test(
        arguments: [
            ("16384", 0), ("16384.1", 1), ("16384.12", 12), ("16384_fsm.3", 3), ("16384_vm", 0),
            ("pg_internal.init", 0),
            ("16384.", 0), ("16384.-1", 0), ("16384.4294967295", .max), ("16384.4294967296", 0), ("", 0),
            ("16384.1.2", 2),
        ] as [(String, UInt32)])
    func countsSegments(name: String, segment: UInt32) {
        #expect(DataDirectoryRules.relationSegment(ofFile: name) == segment)
        #expect(DataDirectoryRules.relationSegment(ofFile: "base/5/\(name)".dropFirst(7)) == segment)
    }

    @Test(
        arguments: [
            ("1", 8192, 0), ("1.1", 8192, 131_072), ("1.2", 8192, 262_144), ("1.1", 1024, 1 << 20),
            ("1.1", 32768, 32768),
            ("1.4294967295", 8192, 0xFFFE_0000),
        ] as [(String, UInt32, UInt32)])
    func countsBlocks(name: String, pageSize: UInt32, block: UInt32) {
        #expect(DataDirectoryRules.firstBlock(ofFile: name, pageSize: pageSize) == block)
    }

    @Test func leavesUnloggedRelationsOutButTheirInitFork() {
        let names = [
            "100", "100_init", "100_fsm", "100_vm", "100.1", "100_fsm.1", "1000", "1000_fsm", "10", "200", "200_init.1",
            "300_init", "100_other", "100x", "t1_100", "PG_VERSION", "_init", "x_init", "x", "",
        ]
        #expect(
            DataDirectoryRules.unloggedFiles(in: names)
                == ["100", "100_fsm", "100_vm", "100.1", "100_fsm.1"])
        #expect(DataDirectoryRules.unloggedFiles(in: ["1", "1_fsm"]) == [])
        #expect(DataDirectoryRules.unloggedFiles(in: []) == [])
    }

    struct Answer: Equatable {
        var keepsOnlyDirectory: Bool
        var isExcluded: Bool
    }

    private func rules(
        _ path: String, _ version: PostgresVersion = PostgresVersion(number: 150_000), _ online: Bool = true
    ) -> Answer {
        Answer(
            keepsOnlyDirectory: DataDirectoryRules.keepsOnlyDirectory(path, version: version, online: online),
            isExcluded: DataDirectoryRules.isExcluded(path, version: version, online: online))
    }

    private func rules(_ path: String, online: Bool) -> Answer {
        rules(path, PostgresVersion(number: 150_000), online)
    }
}
