import BackupModel
import HTTP
import KubernetesClient
import Testing

@testable import BackupOperator

/// What a backup or a restore would be, and what is refused before anything is made.
struct RestoreOutlookTests {
    private func percona(
        _ order: RestoreOrder, _ cluster: ClusterOverview = Sample.percona()
    ) throws(BackupError) -> RestoreOutlook {
        try RestoreOutlook(order, cluster, Sample.percona, now: Sample.now)
    }

    private func stackGres(_ order: RestoreOrder, isTaken: Bool = false) throws(BackupError) -> RestoreOutlook {
        try RestoreOutlook(order, Sample.stackGres(), Sample.stackGres, isTaken: isTaken, now: Sample.now)
    }

    private func refused(
        _ code: ErrorCode, _ parts: String..., hint: String, location: SourceLocation = #_sourceLocation,
        _ body: () throws(BackupError) -> Void
    ) {
        do throws(BackupError) {
            try body()
            Issue.record("nothing was refused", sourceLocation: location)
        } catch {
            #expect(error.code == code, "\(error)", sourceLocation: location)
            for part in parts { #expect(error.message.contains(part), "\(error)", sourceLocation: location) }
            #expect(error.hint?.contains(hint) == true, "\(error)", sourceLocation: location)
        }
    }

    // MARK: Plans

    @Test func `in place, to a moment`() throws {
        let outlook = try percona(RestoreOrder(target: .time("2026-11-25 09:00:00+00")))
        #expect(outlook.backup.name == "shop-other")
        let earlier = try percona(RestoreOrder(repository: "repo1", target: .time("2026-11-25T09:00:00Z")))
        #expect(earlier.manifest.generateName == "shop-restore-")
        #expect(
            earlier.manifest["spec"] == [
                "pgCluster": "shop", "repoName": "repo1",
                "options": [
                    "--set=20261122-010005F_20261125-010004I", "--type=time",
                    "--target='2026-11-25 09:00:00.000000+00'",
                ],
            ])
        let read = PerconaRestore(earlier.manifest)
        #expect(read.refusal == nil)
        #expect(read.options.first { $0.name == "target" }?.value == "2026-11-25 09:00:00.000000+00")
        #expect(
            earlier.text == """
                Restore of PerconaPGCluster demo/shop, in place

                  replaced    all databases of 'shop' (3 instances); clients have no server
                              until it is done
                  from        PerconaPGBackup 'shop-incr', 20261122-010005F_20261125-010004I in
                              repo1 (incr, 1.0 GiB, ended 2026-11-25 01:01:00Z, 8h45m ago)
                  to          2026-11-25 09:00:00Z, which lies in what can be restored,
                              2026-11-22 09:46:40Z to 2026-11-25 09:46:20Z
                  lost        all that was written since, the last 46m

                """, "\n\(earlier.text)")
        for line in earlier.text.split(separator: "\n") { #expect(line.count <= Help.width, "\(line)") }
    }

    @Test func `the backup before the moment is taken`() throws {
        let outlook = try percona(RestoreOrder(repository: "repo1", target: .time("2026-11-24T12:00:00+01:00")))
        #expect(outlook.backup.name == "shop-full")
        #expect(try percona(RestoreOrder()).backup.name == "shop-other")
        #expect(try percona(RestoreOrder(backup: "20261122-010005F")).backup.name == "shop-full")
    }

    @Test(arguments: [
        (RestoreOrder.Target.immediate, ["--type=immediate"]), (.end, []),
        (.lsn("0/6000000"), ["--type=lsn", "--target=0/6000000"]),
        (.name("before"), ["--type=name", "--target=before"]),
        (.name("it's the end"), ["--type=name", "--target='it'\\''s the end'"]),
    ])
    func `targets become the engine's options`(target: RestoreOrder.Target, options: [String]) throws {
        let outlook = try percona(RestoreOrder(backup: "shop-full", target: target))
        #expect(outlook.manifest["spec", "options"] == ServiceJSON(["--set=20261122-010005F"] + options))
        #expect(PerconaRestore(outlook.manifest).refusal == nil)
    }

    @Test func `a new cluster has the spec of the old one`() throws {
        let outlook = try stackGres(RestoreOrder(target: .time("2026-11-25T09:00:00Z"), newName: "shop-before"))
        #expect(outlook.manifest.name == "shop-before" && outlook.manifest.namespace == "demo")
        var spec = Sample.stackGresSpec
        spec[["configurations", "backups"]] = [
            ["sgObjectStorage": "bucket", "cronSchedule": "0 3 * * *", "retention": 6]
        ]
        spec["initialData"] = [
            "restore": [
                "fromBackup": [
                    "name": "shop-2026-11-25-03-00-00",
                    "pointInTimeRecovery": ["restoreToTimestamp": "2026-11-25T09:00:00.000000Z"],
                ]
            ]
        ]
        #expect(outlook.manifest["spec"] == spec)
        #expect(outlook.manifest["status"] == nil)
        #expect(
            outlook.text == """
                Restore of SGCluster demo/shop into the new SGCluster 'shop-before'

                  replaced    nothing: 'shop' stays as it is, and goes on
                  made        SGCluster 'shop-before' with the spec of 'shop': 2 instances of
                              PostgreSQL 17.6, a volume of 10Gi each
                  from        SGBackup 'shop-2026-11-25-03-00-00', 20261125-030003F in repo1
                              (full, 204 MiB, ended 2026-11-25 03:00:50Z, 6h45m ago)
                  to          2026-11-25 09:00:00Z, which lies in what can be restored,
                              2026-11-19 09:53:20Z to 2026-11-25 09:46:05Z
                  lost        nothing; what came later in 'shop' is not in 'shop-before'
                  note        spec.configurations.backups[].path is left out: its backups have a
                              path of their own
                  note        'shop-before' has the schedules of 'shop', and begins with a
                              backup of its own

                """, "\n\(outlook.text)")
    }

    @Test func `the operator reads of a new cluster what was planned`() throws {
        let outlook = try stackGres(RestoreOrder(target: .time("2026-11-25T09:00:00Z"), newName: "shop-before"))
        let wanted = try StackGresCluster(outlook.manifest).wanted { type, name in
            if type == StackGres.storages, name == "bucket" { return Sample.storage }
            return Sample.stackGresBackups.first { type == StackGres.backups && $0.name == name }
        }
        let restore = try #require(wanted.restore)
        guard case .place(let place) = restore.source else { return #expect(Bool(false), "\(restore.source)") }
        #expect(restore.label == "20261125-030003F" && place.location.options["s3-bucket"] == "example-backups")
        #expect(restore.target == RestoreTarget(.time, "2026-11-25 09:00:00.000000+00"))
        let paths = [place.location, try #require(wanted.repositories.first).location].map { $0.options["path"] }
        #expect(paths[0] == "/\(Sample.path)" && paths[0] != paths[1])
    }

    @Test func `backups of a cluster before this one and those that go are taken by name alone or not at all`() throws {
        var cluster = Sample.percona
        cluster.json[["metadata", "creationTimestamp"]] = Sample.time(100_000)
        let young = ClusterOverview(
            .percona, cluster, backups: Sample.perconaBackups, now: Sample.now, zones: Sample.zones)
        refused(.optionInvalidValue, "lies before its backups", hint: "later") { () throws(BackupError) in
            _ = try percona(RestoreOrder(target: .time("2026-11-24T12:00:00Z")), young)
        }
        #expect(try percona(RestoreOrder(backup: "shop-full"), young).backup.isOfAnother)
        var going = Sample.perconaBackups
        going[2].json[["metadata", "deletionTimestamp"]] = Sample.time(1)
        #expect(try percona(RestoreOrder(), Sample.percona(Sample.percona, going)).backup.name == "shop-incr")
        refused(.backupSetInvalid, "'shop-other' is being deleted", hint: "complete") { () throws(BackupError) in
            _ = try percona(RestoreOrder(backup: "shop-other"), Sample.percona(Sample.percona, going))
        }
    }

    @Test func `a new cluster is of the major version of the backup`() throws {
        var object = Sample.stackGres
        object["spec", "postgres", "version"] = "latest"
        let outlook = try RestoreOutlook(
            RestoreOrder(newName: "again"), Sample.stackGres(), object, now: Sample.now)
        #expect(outlook.manifest["spec", "postgres", "version"] == "17")
    }

    @Test func `a repository that is not ready is told of`() throws {
        let cluster = Sample.percona(Sample.brokenPercona)
        #expect(try percona(RestoreOrder(backup: "shop-full"), cluster).text.contains("repo1 is not ready"))
    }

    // MARK: Refusals

    @Test func `a moment outside of what can be restored is refused`() {
        refused(.optionInvalidValue, "2026-11-22 09:00:00Z lies before its backups", hint: "later") {
            () throws(BackupError) in
            _ = try percona(RestoreOrder(target: .time("2026-11-22T09:00:00Z")))
        }
        refused(
            .optionInvalidValue, "lies outside of what repo1 can restore", "2026-11-25 09:46:20Z",
            hint: "archived that far"
        ) { () throws(BackupError) in
            _ = try percona(RestoreOrder(repository: "repo1", target: .time("2026-11-25T09:46:30Z")))
        }
        refused(.optionInvalidValue, "lies in the future", hint: "now it is") { () throws(BackupError) in
            _ = try percona(RestoreOrder(target: .time("2027-01-01T00:00:00Z")))
        }
    }

    @Test func `a moment without a zone is refused`() {
        refused(.optionInvalidValue, "is no time with a zone", hint: "+00") { () throws(BackupError) in
            _ = try percona(RestoreOrder(target: .time("2026-11-25 09:00:00")))
        }
    }

    @Test func `a moment before the end of the named backup is refused`() {
        refused(.optionInvalidValue, "before the end of PerconaPGBackup 'shop-incr'", hint: "leave --set out") {
            () throws(BackupError) in
            _ = try percona(RestoreOrder(backup: "shop-incr", target: .time("2026-11-24T09:00:00Z")))
        }
    }

    @Test func `an unknown backup is refused, and one that is not complete`() {
        refused(.backupSetInvalid, "it has no PerconaPGBackup 'none'", hint: "shop-other, shop-incr") {
            () throws(BackupError) in
            _ = try percona(RestoreOrder(backup: "none"))
        }
        refused(.backupSetInvalid, "SGBackup 'before-upgrade' is running", hint: "complete") { () throws(BackupError) in
            _ = try stackGres(RestoreOrder(backup: "before-upgrade", newName: "x"))
        }
        refused(.backupSetInvalid, "it has no complete backup", hint: "make one") { () throws(BackupError) in
            _ = try percona(RestoreOrder(), Sample.percona(Sample.percona, []))
        }
        refused(.optionInvalid, "is in repo2, not in repo1", hint: "--repo") { () throws(BackupError) in
            _ = try percona(RestoreOrder(backup: "shop-other", repository: "repo1"))
        }
        refused(.optionInvalidValue, "it has no repository 'repo4'", hint: "repo1, repo2") { () throws(BackupError) in
            _ = try percona(RestoreOrder(repository: "repo4"))
        }
    }

    @Test func `two restores at once are refused`() throws {
        for state in ["", "Starting", "Running"] {
            let cluster = Sample.percona(
                Sample.percona, Sample.perconaBackups, [Sample.perconaRestore("back", ago: 60, state)])
            refused(.lockAcquire, "PerconaPGRestore 'back' is", hint: "wait") { () throws(BackupError) in
                _ = try percona(RestoreOrder(), cluster)
            }
        }
        let over = Sample.percona(
            Sample.percona, Sample.perconaBackups, [Sample.perconaRestore("back", ago: 60, "Succeeded")])
        _ = try percona(RestoreOrder(), over)
    }

    @Test func `where a restore goes is of the kind of the cluster`() {
        refused(.optionInvalid, "is restored in place", hint: "spec.dataSource") { () throws(BackupError) in
            _ = try percona(RestoreOrder(newName: "x"))
        }
        refused(.optionRequired, "--as does not name it", hint: "--as=shop-restored") { () throws(BackupError) in
            _ = try stackGres(RestoreOrder())
        }
        refused(.fileExists, "SGCluster 'other' is there already", hint: "--as") { () throws(BackupError) in
            _ = try stackGres(RestoreOrder(newName: "other"), isTaken: true)
        }
        refused(.parameterInvalid, "'Bad' is no name", hint: "small letters") { () throws(BackupError) in
            _ = try stackGres(RestoreOrder(newName: "Bad"))
        }
    }

    // MARK: Backups

    @Test func `a backup is an object of the cluster's kind`() throws {
        let mine = try BackupOrder().manifest(of: Sample.stackGres())
        #expect(mine.kind == "SGBackup" && mine.generateName == "shop-" && mine.namespace == "demo")
        #expect(mine["spec"] == ["sgCluster": "shop"] && mine.annotations.isEmpty && mine["metadata", "name"] == nil)
        // As the operator reads it.
        let placed = try BackupOrder(repository: "bucket", type: "full").manifest(of: Sample.stackGres())
        #expect(StackGresBackup(placed).repositoryKey == 1)
        #expect(StackGresBackup(placed).cluster == ObjectKey(namespace: "demo", name: "shop"))
        let theirs = try BackupOrder(repository: "repo2", type: "diff").manifest(of: Sample.percona())
        #expect(theirs.apiVersion == "pgv2.percona.com/v2" && theirs.kind == "PerconaPGBackup")
        #expect(theirs["spec"] == ["pgCluster": "shop", "repoName": "repo2", "options": ["--type=diff"]])
    }

    @Test func `a backup that cannot be is refused`() {
        refused(.optionInvalidValue, "its backups are full ones", hint: "--type") { () throws(BackupError) in
            _ = try BackupOrder(type: "incr").manifest(of: Sample.stackGres())
        }
        refused(.optionInvalidValue, "no repository 'repo3'", hint: "repo1 (bucket)") { () throws(BackupError) in
            _ = try BackupOrder(repository: "repo3").manifest(of: Sample.stackGres())
        }
        refused(.optionInvalid, "names no repository", hint: "spec.configurations.backups") { () throws(BackupError) in
            _ = try BackupOrder().manifest(of: Sample.stackGres(Sample.emptyStackGres, []))
        }
    }

    // MARK: How far one is

    @Test func `runs are followed by their status`() {
        let done = RunProgress(backup: Sample.perconaBackups[0], .percona)
        #expect(done.progress == .complete && done.message == "20261122-010005F, full, 1.0 GiB")
        let failed = RunProgress(
            backup: Sample.stackGresBackup("x", ago: 1, state: "Failed", failure: "why"), .stackGres)
        #expect(failed.progress == .failed && failed.message == "why")
        #expect(RunProgress(backup: Sample.emptyStackGres, .stackGres).progress == .waiting)
        let running = RunProgress(restore: Sample.perconaRestore("back", ago: 1, "Running"))
        #expect(running.progress == .running && running.message == "copying")
        #expect(RunProgress(newCluster: Sample.stackGres).progress == .complete)
        #expect(RunProgress(newCluster: Sample.brokenStackGres).progress == .running)
        #expect(RunProgress(newCluster: Sample.emptyStackGres).progress == .waiting)
    }
}
