import BackupModel
import HTTP
import KubernetesClient
import Testing

@testable import BackupOperator

/// What is read of clusters, and the screens that show it.
struct OverviewTests {
    @Test func `a healthy SGCluster has a screen`() {
        expect(
            Sample.stackGres(),
            """
            SGCluster demo/shop: ready, PostgreSQL 17.9, 2 of 2 pods, primary shop-0

            Repositories
              repo1 bucket
                s3 example-backups/sgbackups.stackgres.io/demo/shop/2026-11-01-10-00-00/17
                ready, 6 backups, 1.2 GiB, newest 20261125-030003F
                restorable 2026-11-19 09:53:20Z to 2026-11-25 09:46:05Z

            Archiving
              works: last segment 00000001000000000000002A, 35s ago

            Backups
              NAME                      TYPE  STATE     REPO   SIZE     AGE
              before-upgrade            full  running   repo1  -        40s
              shop-2026-11-25-03-00-00  full  complete  repo1  204 MiB  6h45m
              shop-2026-11-24-03-00-00  full  complete  repo1  204 MiB  30h45m

            Schedules
              repo1  full  0 3 * * *  UTC  next 2026-11-26 03:00:00Z, in 17h13m

            Unsupported
              - spec.pods.customContainers: nothing comes of it
              - spec.postgres.version: the minor version is that of the image, not 17.6
            """)
    }

    @Test func `a broken SGCluster says why`() {
        let backups = [
            Sample.stackGresBackup(
                "shop-2026-11-25-03-00-00", ago: 24_400, state: "Failed", failure: "the store refused the key")
        ]
        expect(
            Sample.stackGres(Sample.brokenStackGres, backups),
            """
            SGCluster demo/shop: not ready, PostgreSQL 17.9, 1 of 2 pods, primary shop-0
              1 of 2 pods are ready

            Repositories
              repo1 bucket
                s3 example-backups/sgbackups.stackgres.io/demo/shop/2026-11-01-10-00-00/17
                not ready, AccessDenied: unable to list 's3://example-backups': the key was
                refused; is the Secret right?
                last seen: 6 backups
                restorable 2026-11-19 09:53:20Z to 2026-11-25 07:46:40Z
              second
                unknown: the operator has not taken it up yet

            Archiving
              fails: WAL segment '00000001000000000000002B' cannot be archived, 4 wait: the
              key was refused
              last segment 00000001000000000000002A, 2h ago

            Backups
              NAME                      TYPE  STATE   REPO   SIZE  AGE
              shop-2026-11-25-03-00-00  full  failed  repo1  -     6h46m
                the store refused the key

            Schedules
              repo1  full  0 3 * * *  Middle/Earth
                time zone 'Middle/Earth' is not known here
            """)
    }

    @Test func `an SGCluster that nobody has looked at is told as such`() {
        expect(
            Sample.stackGres(Sample.emptyStackGres, []),
            """
            SGCluster demo/new: unknown, PostgreSQL 17, 0 of 1 pods
              no operator has looked at it yet

            Repositories
              none

            Archiving
              off: spec.configurations.backups names no object storage

            Backups
              none

            Schedules
              none: backups are made when somebody asks for one
            """)
    }

    @Test func `a healthy PerconaPGCluster has a screen`() {
        expect(
            Sample.percona(),
            """
            PerconaPGCluster demo/shop: ready, PostgreSQL 17, 3 of 3 pods

            Repositories
              repo1: volume pvc-1 of 20Gi
                ready, 3 backups, 3.0 GiB, newest 20261122-010005F_20261125-010004I
                restorable 2026-11-22 09:46:40Z to 2026-11-25 09:46:20Z
              repo2: s3 example/shop
                ready, 1 backup, 1.0 MiB
                restorable 2026-11-25 08:56:40Z to 2026-11-25 09:46:20Z

            Archiving
              works: last segment 00000002000000010000004F, 20s ago

            Backups
              NAME        TYPE  STATE     REPO   SIZE     AGE
              shop-other  full  complete  repo2  1.0 GiB  50m
              shop-incr   incr  complete  repo1  1.0 GiB  8h45m
              shop-full   full  complete  repo1  1.0 GiB  3d

            Schedules
              repo1  full  0 1 * * 0    UTC  next 2026-11-29 01:00:00Z, in 3d15h
              repo1  incr  0 1 * * 1-6  UTC  next 2026-11-26 01:00:00Z, in 15h13m
            """)
    }

    @Test func `a broken PerconaPGCluster says why`() {
        let backups = [
            Sample.perconaBackup("shop-1", ago: 600, "Failed", error: "no space is left on the device")
        ]
        expect(
            Sample.percona(Sample.brokenPercona, backups, [Sample.perconaRestore("back", ago: 60, "Running")]),
            """
            PerconaPGCluster demo/shop: error, PostgreSQL 17, 2 of 3 pods
              volume 'pgdata' of pod 'shop-0' has 3 MiB of 1024 MiB left
              repo1: no space is left

            Repositories
              repo1: volume shop-repo1 of 20Gi
                not ready, RepositoryError: unable to write to '/pgbackrest/repo1': no space
                is left on the device
              repo2: s3 example/shop
                unknown: the operator has not taken it up yet

            Archiving
              fails: WAL segment '000000020000000100000050' cannot be archived
              last segment 00000002000000010000004F, 60m ago

            Backups
              NAME    TYPE  STATE   REPO   SIZE  AGE
              shop-1  full  failed  repo1  -     10m
                no space is left on the device

            Restores
              back: running, copying, to all WAL, 60s ago

            Schedules
              repo1  full  0 1 * * 0    UTC  next 2026-11-29 01:00:00Z, in 3d15h
              repo1  incr  0 1 * * 1-6  UTC  next 2026-11-26 01:00:00Z, in 15h13m
            """)
    }

    @Test func `a PerconaPGCluster without backups says so`() {
        expect(
            Sample.percona(Sample.emptyPercona, []),
            """
            PerconaPGCluster demo/new: unknown, PostgreSQL 17, 0 of 1 pods
              no operator has looked at it yet

            Repositories
              none

            Archiving
              off: spec.backups.enabled is false

            Backups
              none

            Schedules
              none: backups are made when somebody asks for one
            """)
    }

    private func expect(_ overview: ClusterOverview, _ screen: String, location: SourceLocation = #_sourceLocation) {
        let text = overview.text(now: Sample.now)
        #expect(text == screen + "\n", "\n\(text)", sourceLocation: location)
        for line in text.split(separator: "\n") {
            #expect(line.count <= Help.width, "\(line)", sourceLocation: location)
            #expect(!line.hasSuffix(" "), "\(line)", sourceLocation: location)
        }
    }

    @Test func `many clusters have a line each`() {
        let list = ClusterOverview.list(
            [
                Sample.stackGres(), Sample.stackGres(Sample.brokenStackGres, []),
                Sample.percona(Sample.brokenPercona), Sample.percona(Sample.emptyPercona, []),
            ], now: Sample.now)
        #expect(
            list == """
                CLUSTER  KIND  STATE      PODS    BACKUP  ARCHIVED  TROUBLE
                shop     sg    ready      2 of 2  6h45m   35s       -
                shop     sg    not ready  1 of 2  none    fails     repo1, schedule
                shop     pg    error      2 of 3  50m     fails     repo1
                new      pg    unknown    0 of 1  none    off       -

                """, "\n\(list)")
    }

    @Test func `secrets of a manifest never show`() {
        let overview = Sample.percona()
        #expect(!overview.text(now: Sample.now).contains("sekret"))
        #expect(!overview.json.description.contains("sekret"))
        #expect(!Sample.stackGres().json.description.contains("bucket-key"))
    }

    @Test func `programs are told the same and all backups`() throws {
        let json = try #require(ServiceJSON(Array(Sample.stackGres().json.indented.utf8)))
        #expect(json == Sample.stackGres().json)
        #expect(json["kind"] == "SGCluster" && json["state"] == "ready")
        #expect(json["backups"]?.elements.map { $0["state"]?.string } == ["running", "complete", "complete"])
        let repository = try #require(json["repositories"]?.elements.first)
        #expect(repository["firstRestorableTime"] == Sample.time(518_000))
        #expect(repository["place"] == .text("s3 example-backups/\(Sample.path)"))
        #expect(json[["archiving", "state"]] == "working")
        #expect(json["schedules"]?.elements.first?["next"] == "2026-11-26T03:00:00Z")
        #expect(Sample.stackGres(Sample.brokenStackGres).json["concerns"]?.elements.contains("archiving") == true)
    }

    @Test func `what others wrote cannot move the cursor`() {
        var cluster = Sample.stackGres
        cluster["status", "permafrost", "repositories"] = [
            ["key": 1, "sgObjectStorage": "bucket", "ready": false, "reason": "X", "message": "a\u{1b}[2Jb\nc"]
        ]
        let text = Sample.stackGres(cluster).text(now: Sample.now)
        #expect(!text.contains("\u{1b}") && text.contains("not ready, X: a [2Jb c"))
    }

    @Test(
        arguments: [
            (5, "5s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (13_800, "3h50m"), (172_800, "2d"),
            (183_600, "2d3h"), (864_000, "10d"), (-5, "0s"),
        ] as [(Int64, String)])
    func `ages are kubectl's`(seconds: Int64, text: String) { #expect(ScreenText.span(seconds) == text) }

    @Test(
        arguments: [
            (nil, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_288_490_189, "1.2 GiB"),
            (214_748_364, "204 MiB"), (1 << 52, "4.0 PiB"),
        ] as [(Int64?, String)])
    func `sizes have a unit`(bytes: Int64?, text: String) { #expect(ScreenText.size(bytes) == text) }

    @Test func `manifests are YAML that reads as they are`() throws {
        let json: ServiceJSON = [
            "a": ["b": [["c": "x: y", "d": 1], [], ["e"]], "empty": [:]], "yes": "no", "n": .null, "t": true,
            "when": "2026-01-31T10:45:00Z", "words": "two words", "plain": "repo1-path",
        ]
        #expect(
            json.yaml == """
                a:
                  b:
                    - c: "x: y"
                      d: 1
                    - []
                    - - e
                  empty: {}
                "n": null
                plain: repo1-path
                t: true
                when: "2026-01-31T10:45:00Z"
                words: "two words"
                "yes": "no"

                """, "\n\(json.yaml)")
    }
}
