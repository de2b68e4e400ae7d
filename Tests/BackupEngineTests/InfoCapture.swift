/// Files of repositories that pgBackRest 2.45 (PostgreSQL 15, two repositories) and 2.55 (PostgreSQL 17, bundles, block
/// incremental) wrote, and what `pgbackrest 2.55 info` said of them in UTC. Sizes of a whole number of units are
/// written as 2.59 does: `32MB`, where 2.55 has `32.0MB`.
// swift-format-ignore
enum InfoCapture {
    static let archiveInfo = #"""
        [backrest]
        backrest-format=5
        backrest-version="2.45"

        [db]
        db-id=1
        db-system-id=7710484370799478613
        db-version="15"

        [db:history]
        1={"db-id":7710484370799478613,"db-version":"15"}

        [backrest]
        backrest-checksum="1396d2a80415d961f3a978aaa55cdb5928d34560"
        """#
    static let backupInfo1 = #"""
        [backrest]
        backrest-format=5
        backrest-version="2.45"

        [backup:current]
        20261121-045721F={"backrest-format":5,"backrest-version":"2.45","backup-annotation":{"key":"value","source":"demo"},"backup-archive-start":"000000010000000000000002","backup-archive-stop":"000000010000000000000002","backup-error":false,"backup-info-repo-size":4644564,"backup-info-repo-size-delta":4644564,"backup-info-size":32135520,"backup-info-size-delta":32135520,"backup-lsn-start":"0/2000028","backup-lsn-stop":"0/2000408","backup-timestamp-start":1795237041,"backup-timestamp-stop":1795237050,"backup-type":"full","db-id":1,"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}
        20261121-045721F_20261121-045752D={"backrest-format":5,"backrest-version":"2.45","backup-archive-start":"000000010000000000000006","backup-archive-stop":"000000010000000000000006","backup-error":false,"backup-info-repo-size":5192473,"backup-info-repo-size-delta":1151452,"backup-info-size":33528160,"backup-info-size-delta":3432740,"backup-lsn-start":"0/6000028","backup-lsn-stop":"0/6000100","backup-prior":"20261121-045721F","backup-reference":["20261121-045721F"],"backup-timestamp-start":1795237072,"backup-timestamp-stop":1795237074,"backup-type":"diff","db-id":1,"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}
        20261121-045721F_20261121-045756I={"backrest-format":5,"backrest-version":"2.45","backup-archive-start":"00000001000000000000000A","backup-archive-stop":"00000001000000000000000A","backup-error":true,"backup-info-repo-size":5740238,"backup-info-repo-size-delta":1702421,"backup-info-size":34888032,"backup-info-size-delta":4800804,"backup-lsn-start":"0/A000028","backup-lsn-stop":"0/A000100","backup-prior":"20261121-045721F_20261121-045752D","backup-reference":["20261121-045721F","20261121-045721F_20261121-045752D"],"backup-timestamp-start":1795237076,"backup-timestamp-stop":1795237079,"backup-type":"incr","db-id":1,"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}

        [db]
        db-catalog-version=202209061
        db-control-version=1300
        db-id=1
        db-system-id=7710484370799478613
        db-version="15"

        [db:history]
        1={"db-catalog-version":202209061,"db-control-version":1300,"db-system-id":7710484370799478613,"db-version":"15"}

        [backrest]
        backrest-checksum="d424bc7dc47a437045dc014ac1aaf903a0782b3f"
        """#
    static let backupInfo2 = #"""
        [backrest]
        backrest-format=5
        backrest-version="2.45"

        [backup:current]
        20261121-045730F={"backrest-format":5,"backrest-version":"2.45","backup-archive-start":"000000010000000000000003","backup-archive-stop":"000000010000000000000004","backup-error":false,"backup-info-repo-size":4644565,"backup-info-repo-size-delta":4644565,"backup-info-size":32135520,"backup-info-size-delta":32135520,"backup-lsn-start":"0/3000028","backup-lsn-stop":"0/4000088","backup-timestamp-start":1795237050,"backup-timestamp-stop":1795237070,"backup-type":"full","db-id":1,"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}

        [db]
        db-catalog-version=202209061
        db-control-version=1300
        db-id=1
        db-system-id=7710484370799478613
        db-version="15"

        [db:history]
        1={"db-catalog-version":202209061,"db-control-version":1300,"db-system-id":7710484370799478613,"db-version":"15"}

        [backrest]
        backrest-checksum="56bd7c590d6d4adfa2c8bbfd047b716985880aa0"
        """#
    static let blockArchiveInfo = #"""
        [backrest]
        backrest-format=5
        backrest-version="2.55.1"

        [db]
        db-id=1
        db-system-id=7710484954872320397
        db-version="17"

        [db:history]
        1={"db-id":7710484954872320397,"db-version":"17"}

        [backrest]
        backrest-checksum="9ef85b7f3d1cd0a3760bf832d848758e6c3085fb"
        """#
    static let blockBackupInfo = #"""
        [backrest]
        backrest-format=5
        backrest-version="2.55.1"

        [backup:current]
        20261121-045937F={"backrest-format":5,"backrest-version":"2.55.1","backup-annotation":{"key":"value","source":"demo"},"backup-archive-start":"000000010000000000000002","backup-archive-stop":"000000010000000000000002","backup-error":false,"backup-info-repo-size":3304565,"backup-info-repo-size-delta":3304565,"backup-info-repo-size-map":19511,"backup-info-repo-size-map-delta":19511,"backup-info-size":24790195,"backup-info-size-delta":24790195,"backup-lsn-start":"0/2000028","backup-lsn-stop":"0/2000120","backup-timestamp-start":1795237177,"backup-timestamp-stop":1795237178,"backup-type":"full","db-id":1,"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}
        20261121-045937F_20261121-045938D={"backrest-format":5,"backrest-version":"2.55.1","backup-archive-start":"000000010000000000000004","backup-archive-stop":"000000010000000000000004","backup-error":false,"backup-info-repo-size":3257916,"backup-info-repo-size-delta":510839,"backup-info-repo-size-map":20574,"backup-info-repo-size-map-delta":2667,"backup-info-size":26174643,"backup-info-size-delta":3539202,"backup-lsn-start":"0/4000028","backup-lsn-stop":"0/4000120","backup-prior":"20261121-045937F","backup-reference":["20261121-045937F"],"backup-timestamp-start":1795237178,"backup-timestamp-stop":1795237179,"backup-type":"diff","db-id":1,"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}
        20261121-045937F_20261121-045939I={"backrest-format":5,"backrest-version":"2.55.1","backup-archive-start":"000000010000000000000005","backup-archive-stop":"000000010000000000000006","backup-error":false,"backup-info-repo-size":3257916,"backup-info-repo-size-delta":371,"backup-info-repo-size-map":20574,"backup-info-repo-size-map-delta":0,"backup-info-size":26174643,"backup-info-size-delta":8450,"backup-lsn-start":"0/5000028","backup-lsn-stop":"0/6000050","backup-prior":"20261121-045937F_20261121-045938D","backup-reference":["20261121-045937F","20261121-045937F_20261121-045938D"],"backup-timestamp-start":1795237179,"backup-timestamp-stop":1795237180,"backup-type":"incr","db-id":1,"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}
        20261121-045937F_20261121-045940I={"backrest-format":5,"backrest-version":"2.55.1","backup-archive-start":"000000010000000000000007","backup-archive-stop":"000000010000000000000008","backup-error":false,"backup-info-repo-size":3257915,"backup-info-repo-size-delta":370,"backup-info-repo-size-map":20574,"backup-info-repo-size-map-delta":0,"backup-info-size":26174643,"backup-info-size-delta":8450,"backup-lsn-start":"0/7000028","backup-lsn-stop":"0/8000050","backup-prior":"20261121-045937F_20261121-045939I","backup-reference":["20261121-045937F","20261121-045937F_20261121-045938D","20261121-045937F_20261121-045939I"],"backup-timestamp-start":1795237180,"backup-timestamp-stop":1795237181,"backup-type":"incr","db-id":1,"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}

        [db]
        db-catalog-version=202406281
        db-control-version=1700
        db-id=1
        db-system-id=7710484954872320397
        db-version="17"

        [db:history]
        1={"db-catalog-version":202406281,"db-control-version":1700,"db-system-id":7710484954872320397,"db-version":"17"}

        [backrest]
        backrest-checksum="6bab5b1e3866df149aefbd24c0c86a6533815f2c"
        """#
    static let text = #"""
        stanza: main
            status: ok
            cipher: none

            db (current)
                wal archive min/max (15): 000000010000000000000001/00000001000000000000000A

                full backup: 20261121-045721F
                    timestamp start/stop: 2026-11-21 04:57:21+00 / 2026-11-21 04:57:30+00
                    wal start/stop: 000000010000000000000002 / 000000010000000000000002
                    database size: 30.6MB, database backup size: 30.6MB
                    repo1: backup set size: 4.4MB, backup size: 4.4MB

                full backup: 20261121-045730F
                    timestamp start/stop: 2026-11-21 04:57:30+00 / 2026-11-21 04:57:50+00
                    wal start/stop: 000000010000000000000003 / 000000010000000000000004
                    database size: 30.6MB, database backup size: 30.6MB
                    repo2: backup set size: 4.4MB, backup size: 4.4MB

                diff backup: 20261121-045721F_20261121-045752D
                    timestamp start/stop: 2026-11-21 04:57:52+00 / 2026-11-21 04:57:54+00
                    wal start/stop: 000000010000000000000006 / 000000010000000000000006
                    database size: 32MB, database backup size: 3.3MB
                    repo1: backup set size: 5MB, backup size: 1.1MB
                    backup reference total: 1 full

                incr backup: 20261121-045721F_20261121-045756I
                    timestamp start/stop: 2026-11-21 04:57:56+00 / 2026-11-21 04:57:59+00
                    wal start/stop: 00000001000000000000000A / 00000001000000000000000A
                    database size: 33.3MB, database backup size: 4.6MB
                    repo1: backup set size: 5.5MB, backup size: 1.6MB
                    backup reference total: 1 full, 1 diff
                    error(s) detected during backup
        """#
    static let json = #"""
        [{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"00000001000000000000000A","min":"000000010000000000000001"},{"database":{"id":1,"repo-key":2},"id":"15-1","max":"00000001000000000000000A","min":"000000010000000000000001"}],"backup":[{"annotation":{"key":"value","source":"demo"},"archive":{"start":"000000010000000000000002","stop":"000000010000000000000002"},"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":32135520,"repository":{"delta":4644564,"size":4644564},"size":32135520},"label":"20261121-045721F","lsn":{"start":"0/2000028","stop":"0/2000408"},"prior":null,"reference":null,"timestamp":{"start":1795237041,"stop":1795237050},"type":"full"},{"archive":{"start":"000000010000000000000003","stop":"000000010000000000000004"},"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":2},"error":false,"info":{"delta":32135520,"repository":{"delta":4644565,"size":4644565},"size":32135520},"label":"20261121-045730F","lsn":{"start":"0/3000028","stop":"0/4000088"},"prior":null,"reference":null,"timestamp":{"start":1795237050,"stop":1795237070},"type":"full"},{"archive":{"start":"000000010000000000000006","stop":"000000010000000000000006"},"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":3432740,"repository":{"delta":1151452,"size":5192473},"size":33528160},"label":"20261121-045721F_20261121-045752D","lsn":{"start":"0/6000028","stop":"0/6000100"},"prior":"20261121-045721F","reference":["20261121-045721F"],"timestamp":{"start":1795237072,"stop":1795237074},"type":"diff"},{"archive":{"start":"00000001000000000000000A","stop":"00000001000000000000000A"},"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":true,"info":{"delta":4800804,"repository":{"delta":1702421,"size":5740238},"size":34888032},"label":"20261121-045721F_20261121-045756I","lsn":{"start":"0/A000028","stop":"0/A000100"},"prior":"20261121-045721F_20261121-045752D","reference":["20261121-045721F","20261121-045721F_20261121-045752D"],"timestamp":{"start":1795237076,"stop":1795237079},"type":"incr"}],"cipher":"none","db":[{"id":1,"repo-key":1,"system-id":7710484370799478613,"version":"15"},{"id":1,"repo-key":2,"system-id":7710484370799478613,"version":"15"}],"name":"main","repo":[{"cipher":"none","key":1,"status":{"code":0,"message":"ok"}},{"cipher":"none","key":2,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]
        """#
    static let setText = #"""
        stanza: main
            status: ok
            cipher: none

            db (current)
                wal archive min/max (15): 000000010000000000000001/00000001000000000000000A

                incr backup: 20261121-045721F_20261121-045756I
                    timestamp start/stop: 2026-11-21 04:57:56+00 / 2026-11-21 04:57:59+00
                    wal start/stop: 00000001000000000000000A / 00000001000000000000000A
                    lsn start/stop: 0/A000028 / 0/A000100
                    database size: 33.3MB, database backup size: 4.6MB
                    repo1: backup set size: 5.5MB, backup size: 1.6MB
                    backup reference list: 20261121-045721F, 20261121-045721F_20261121-045752D
                    database list: app (16390), postgres (5)
                    tablespaces:
                        ts1 (16384) => /tmp/info-real/a/ts
                    error list: pg_tblspc/16384/PG_15_202209061/5/16385
        """#
    static let setJSON = #"""
        [{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"00000001000000000000000A","min":"000000010000000000000001"},{"database":{"id":1,"repo-key":2},"id":"15-1","max":"00000001000000000000000A","min":"000000010000000000000001"}],"backup":[{"archive":{"start":"00000001000000000000000A","stop":"00000001000000000000000A"},"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"database-ref":[{"name":"app","oid":16390},{"name":"postgres","oid":5}],"error":true,"error-list":["pg_tblspc/16384/PG_15_202209061/5/16385"],"info":{"delta":4800804,"repository":{"delta":1702421,"size":5740238},"size":34888032},"label":"20261121-045721F_20261121-045756I","link":null,"lsn":{"start":"0/A000028","stop":"0/A000100"},"prior":"20261121-045721F_20261121-045752D","reference":["20261121-045721F","20261121-045721F_20261121-045752D"],"tablespace":[{"destination":"/tmp/info-real/a/ts","name":"ts1","oid":16384}],"timestamp":{"start":1795237076,"stop":1795237079},"type":"incr"}],"cipher":"none","db":[{"id":1,"repo-key":1,"system-id":7710484370799478613,"version":"15"},{"id":1,"repo-key":2,"system-id":7710484370799478613,"version":"15"}],"name":"main","repo":[{"cipher":"none","key":1,"status":{"code":0,"message":"ok"}},{"cipher":"none","key":2,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]
        """#
    static let blockText = #"""
        stanza: main
            status: ok
            cipher: none

            db (current)
                wal archive min/max (17): 000000010000000000000001/000000010000000000000008

                full backup: 20261121-045937F
                    timestamp start/stop: 2026-11-21 04:59:37+00 / 2026-11-21 04:59:38+00
                    wal start/stop: 000000010000000000000002 / 000000010000000000000002
                    database size: 23.6MB, database backup size: 23.6MB
                    repo1: backup size: 3.2MB

                diff backup: 20261121-045937F_20261121-045938D
                    timestamp start/stop: 2026-11-21 04:59:38+00 / 2026-11-21 04:59:39+00
                    wal start/stop: 000000010000000000000004 / 000000010000000000000004
                    database size: 25MB, database backup size: 3.4MB
                    repo1: backup size: 498.9KB
                    backup reference total: 1 full

                incr backup: 20261121-045937F_20261121-045939I
                    timestamp start/stop: 2026-11-21 04:59:39+00 / 2026-11-21 04:59:40+00
                    wal start/stop: 000000010000000000000005 / 000000010000000000000006
                    database size: 25MB, database backup size: 8.3KB
                    repo1: backup size: 371B
                    backup reference total: 1 full, 1 diff

                incr backup: 20261121-045937F_20261121-045940I
                    timestamp start/stop: 2026-11-21 04:59:40+00 / 2026-11-21 04:59:41+00
                    wal start/stop: 000000010000000000000007 / 000000010000000000000008
                    database size: 25MB, database backup size: 8.3KB
                    repo1: backup size: 370B
                    backup reference total: 1 full, 1 diff, 1 incr
        """#
    static let blockJSON = #"""
        [{"archive":[{"database":{"id":1,"repo-key":1},"id":"17-1","max":"000000010000000000000008","min":"000000010000000000000001"}],"backup":[{"annotation":{"key":"value","source":"demo"},"archive":{"start":"000000010000000000000002","stop":"000000010000000000000002"},"backrest":{"format":5,"version":"2.55.1"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":24790195,"repository":{"delta":3304565,"delta-map":19511,"size-map":19511},"size":24790195},"label":"20261121-045937F","lsn":{"start":"0/2000028","stop":"0/2000120"},"prior":null,"reference":null,"timestamp":{"start":1795237177,"stop":1795237178},"type":"full"},{"archive":{"start":"000000010000000000000004","stop":"000000010000000000000004"},"backrest":{"format":5,"version":"2.55.1"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":3539202,"repository":{"delta":510839,"delta-map":2667,"size-map":20574},"size":26174643},"label":"20261121-045937F_20261121-045938D","lsn":{"start":"0/4000028","stop":"0/4000120"},"prior":"20261121-045937F","reference":["20261121-045937F"],"timestamp":{"start":1795237178,"stop":1795237179},"type":"diff"},{"archive":{"start":"000000010000000000000005","stop":"000000010000000000000006"},"backrest":{"format":5,"version":"2.55.1"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":8450,"repository":{"delta":371,"delta-map":0,"size-map":20574},"size":26174643},"label":"20261121-045937F_20261121-045939I","lsn":{"start":"0/5000028","stop":"0/6000050"},"prior":"20261121-045937F_20261121-045938D","reference":["20261121-045937F","20261121-045937F_20261121-045938D"],"timestamp":{"start":1795237179,"stop":1795237180},"type":"incr"},{"archive":{"start":"000000010000000000000007","stop":"000000010000000000000008"},"backrest":{"format":5,"version":"2.55.1"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":8450,"repository":{"delta":370,"delta-map":0,"size-map":20574},"size":26174643},"label":"20261121-045937F_20261121-045940I","lsn":{"start":"0/7000028","stop":"0/8000050"},"prior":"20261121-045937F_20261121-045939I","reference":["20261121-045937F","20261121-045937F_20261121-045938D","20261121-045937F_20261121-045939I"],"timestamp":{"start":1795237180,"stop":1795237181},"type":"incr"}],"cipher":"none","db":[{"id":1,"repo-key":1,"system-id":7710484954872320397,"version":"17"}],"name":"main","repo":[{"cipher":"none","key":1,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]
        """#
    static let blockSetText = #"""
        stanza: main
            status: ok
            cipher: none

            db (current)
                wal archive min/max (17): 000000010000000000000001/000000010000000000000008

                full backup: 20261121-045937F
                    timestamp start/stop: 2026-11-21 04:59:37+00 / 2026-11-21 04:59:38+00
                    wal start/stop: 000000010000000000000002 / 000000010000000000000002
                    lsn start/stop: 0/2000028 / 0/2000120
                    database size: 23.6MB, database backup size: 23.6MB
                    repo1: backup size: 3.2MB
                    database list: postgres (5)
                    symlinks:
                        pg_hba.conf => /tmp/info-real/b/lnk/pg_hba.conf
                        pg_stat => /tmp/info-real/b/lnk/stat
                    annotation(s)
                        key: value
                        source: demo
        """#
    static let blockSetJSON = #"""
        [{"archive":[{"database":{"id":1,"repo-key":1},"id":"17-1","max":"000000010000000000000008","min":"000000010000000000000001"}],"backup":[{"annotation":{"key":"value","source":"demo"},"archive":{"start":"000000010000000000000002","stop":"000000010000000000000002"},"backrest":{"format":5,"version":"2.55.1"},"database":{"id":1,"repo-key":1},"database-ref":[{"name":"postgres","oid":5}],"error":false,"info":{"delta":24790195,"repository":{"delta":3304565,"delta-map":19511,"size-map":19511},"size":24790195},"label":"20261121-045937F","link":[{"destination":"/tmp/info-real/b/lnk/pg_hba.conf","name":"pg_hba.conf"},{"destination":"/tmp/info-real/b/lnk/stat","name":"pg_stat"}],"lsn":{"start":"0/2000028","stop":"0/2000120"},"prior":null,"reference":null,"tablespace":null,"timestamp":{"start":1795237177,"stop":1795237178},"type":"full"}],"cipher":"none","db":[{"id":1,"repo-key":1,"system-id":7710484954872320397,"version":"17"}],"name":"main","repo":[{"cipher":"none","key":1,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]
        """#
}
