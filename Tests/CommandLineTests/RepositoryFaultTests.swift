import Foundation
import TestSupport
import Testing

/// Repositories that are torn, of others, read-only or in use. Each case breaks a copy of one good repository, and what
/// fails changes nothing in it.
@Suite(.keepsScratchOnFailure, .requires(.permafrost, .postgres(15)), .timeLimit(.minutes(10)))
struct RepositoryFaultTests {
    @Test func repositoryFaults() async throws {
        try await Site.with { site in
            try await oneOfTwoInfoFilesIsTorn(site)
            try await bothInfoFilesAreTorn(site)
            try await infoFilesAreMissingOrOfOthers(site)
            try await manifests(site)
            try await places(site)
            try await locks(site)
            try await refusals(site)
            try await tornFilesAreWrittenAnew(site)
        }
    }

    /// A fresh copy of the repository, broken by `damage`, in which `body` runs commands that must leave it as it is.
    private func broken(
        _ site: Site, _ damage: (String) async throws -> Void, _ body: (_ option: String) async throws -> Void
    ) async throws {
        let copy = try await site.copy(site.repository, as: "copy")
        try await damage(copy)
        let before = try contents(of: copy)
        try await body("--repo1-path=\(copy)")
        #expect(try contents(of: copy) == before)
    }

    private func oneOfTwoInfoFilesIsTorn(_ site: Site) async throws {
        let pushed = try await site.cluster.switchWAL()
        try await site.cluster.waitForArchived(pushed)
        let changes: [(inout [UInt8]) -> Void] = [cutInHalf, changeChecksum, { $0 = [] }]
        for (number, change) in changes.enumerated() {
            for suffix in number == 0 ? ["", ".copy"] : [""] {
                try await broken(site) { copy in
                    try damage("\(copy)/backup/main/backup.info\(suffix)", change)
                    try damage("\(copy)/archive/main/archive.info\(suffix)", change)
                } _: { option in
                    let info = try await site.run("info", option)
                    info.succeeded()
                    #expect(info.stdout.contains("status: ok") && info.stdout.contains(site.label), "\(info)")
                    let get = try await site.tool.run(
                        "archive-get", [option], parameters: [pushed, site.scratch.subpath("got")])
                    get.succeeded()
                    try await site.run("expire", "--dry-run", option).succeeded()
                    if number == 0 {
                        let target = try site.scratch.makeDirectory("torn\(suffix)")
                        try await site.run("restore", option, "--pg1-path=\(target)").succeeded()
                    }
                }
            }
        }
    }

    private func bothInfoFilesAreTorn(_ site: Site) async throws {
        let target = try site.scratch.makeDirectory("never")
        // Where the cut falls decides whether a line or only the checksum is missed: format or checksum.
        let changes: [(codes: [Int32], change: (inout [UInt8]) -> Void)] = [
            ([26], changeChecksum), ([26, 29], cutInHalf), ([26], { $0 = [] }), ([29], { $0[0] = 0xFF }),
        ]
        let commands = [
            ["backup", "--type=full"], ["restore", "--pg1-path=\(target)"], ["expire"], ["stanza-create"],
            ["stanza-upgrade"], ["check"],
        ]
        for (number, (codes, change)) in changes.enumerated() {
            try await broken(site) { copy in
                for suffix in ["", ".copy"] { try damage("\(copy)/backup/main/backup.info\(suffix)", change) }
            } _: { option in
                for command in number == 0 ? commands : Array(commands.prefix(2)) {
                    let result = try await site.run(command[0], [option] + command.dropFirst())
                    #expect(codes.contains(result.status), "\(result)")
                    result.failed(
                        result.status, "'backup/main/backup.info' or its copy", "repo1: 'backup/main/backup.info'",
                        "'backup/main/backup.info.copy'", hint: "both are damaged")
                }
                let info = try await site.run("info", option)
                #expect(info.stdout.contains("status: error") && !info.stdout.contains("missing stanza"), "\(info)")
            }
        }
        // One that the server still has.
        let segment = try await site.cluster.switchWAL()
        try await site.cluster.waitForArchived(segment)
        try await broken(site) { copy in
            for suffix in ["", ".copy"] { try damage("\(copy)/archive/main/archive.info\(suffix)", changeChecksum) }
        } _: { option in
            for command in [["backup", "--type=full"], ["stanza-create"], ["check"]] {
                try await site.run(command[0], [option] + command.dropFirst()).failed(
                    26, "'archive/main/archive.info' or its copy", "repo1", hint: "both are damaged")
            }
            let push = try await site.tool.run("archive-push", [option], parameters: ["pg_wal/\(segment)"])
            push.failed(26, "'archive/main/archive.info' or its copy", "repo1", hint: "both are damaged")
            let got = site.scratch.subpath("not-got")
            let get = try await site.tool.run("archive-get", [option], parameters: [segment, got])
            get.failed(26, "'archive/main/archive.info' or its copy", "repo1", hint: "both are damaged")
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: target).isEmpty)
    }

    private func infoFilesAreMissingOrOfOthers(_ site: Site) async throws {
        try await broken(site) { copy in
            try await site.shell("rm \(copy)/backup/main/backup.info*")
        } _: { option in
            let backup = try await site.run("backup", "--type=full", option)
            backup.failed(55, "'backup/main/backup.info' or its copy", "missing", hint: "stanza-create")
            // It may not start anew over what is there.
            let create = try await site.run("stanza-create", option)
            create.failed(55, "backup.info of stanza 'main' is missing", hint: "bring back the missing file")
        }
        try await broken(site) { copy in
            try await site.shell("rm \(copy)/backup/main/backup.info* \(copy)/archive/main/archive.info*")
        } _: { option in
            try await site.run("stanza-create", option).failed(
                40, "'archive/main' is not empty", hint: "bring back archive.info and backup.info")
        }
        try await broken(site) { copy in
            try await site.shell("rm -r \(copy)/*")
        } _: { option in
            for command in [["backup", "--type=full"], ["check"], ["stanza-upgrade"], ["expire"]] {
                let result = try await site.run(command[0], [option] + command.dropFirst())
                result.failed(55, "repo1", "missing", hint: "'stanza-create'")
            }
            let info = try await site.run("info", option)
            info.succeeded()
            #expect(info.stdout.contains("error (missing stanza path)"))
        }
        let other = try await PostgresCluster.create(.find(15), in: site.scratch, name: "other")
        try await broken(site) { copy in
            let result = try await site.run(
                "stanza-create", "--no-online", "--pg1-path=\(other.dataDirectory)", "--repo1-path=\(copy)-other")
            result.succeeded()
            try await site.shell("cp \(copy)-other/archive/main/archive.info* \(copy)/archive/main/")
        } _: { option in
            try await site.run("backup", "--type=full", option).failed(
                51, "in archive.info of stanza 'main'", "repo1", hint: "right stanza")
            try await site.run("stanza-create", option).failed(
                28, "archive.info and backup.info of stanza 'main' do not list the same databases", hint: "by hand")
        }
    }

    private func manifests(_ site: Site) async throws {
        let path = "backup/main/\(site.label)/backup.manifest"
        for suffix in ["", ".copy"] {
            try await broken(site) { copy in
                try damage("\(copy)/\(path)\(suffix)", flipByte)
            } _: { option in
                let target = try site.scratch.makeDirectory("manifest\(suffix)")
                try await site.run("restore", option, "--pg1-path=\(target)").succeeded()
            }
        }
        let target = try site.scratch.makeDirectory("never2")
        for (code, change) in [(26, changeChecksum), (nil, cutInHalf)] as [(Int32?, (inout [UInt8]) -> Void)] {
            try await broken(site) { copy in
                for suffix in ["", ".copy"] { try damage("\(copy)/\(path)\(suffix)", change) }
            } _: { option in
                let result = try await site.run("restore", option, "--pg1-path=\(target)")
                #expect(code == result.status || code == nil && [26, 29].contains(result.status), "\(result)")
                result.failed(result.status, "'\(path)' or its copy", "repo1", hint: "backup set")
            }
        }
        try await broken(site) { copy in
            try await site.shell("rm \(copy)/\(path)*")
        } _: { option in
            try await site.run("restore", option, "--pg1-path=\(target)").failed(
                55, "'\(path)' or its copy", "missing", hint: site.label)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: target).isEmpty)
    }

    private func places(_ site: Site) async throws {
        try await site.run("stanza-create", "--repo1-path=/nonexistent/repo").failed(
            47, "repo1", "/nonexistent", "permission denied")
        try await site.run("backup", "--type=full", "--repo1-path=/nonexistent/repo").failed(
            55, "repo1", "missing", hint: "stanza-create")

        // One that cannot be had does not keep the other from it.
        let second = site.scratch.subpath("second")
        let one = try await site.run("stanza-create", "--repo1-path=/nonexistent/repo", "--repo2-path=\(second)")
        #expect(one.status != 0 && (one.stdout + one.stderr).contains("permission denied"), "\(one)")
        try await site.shell("test -e \(second)/archive/\(site.stanza)/archive.info")
        // Nor does one that cannot even be set up.
        let third = site.scratch.subpath("third")
        let broken = [
            "--repo1-type=gcs", "--repo1-gcs-bucket=b", "--repo1-gcs-key-type=auto",
            "--repo1-storage-ca-file=/nonexistent/ca.crt", "--repo2-path=\(third)",
        ]
        let other = try await site.run("stanza-create", broken)
        #expect(other.status != 0 && (other.stdout + other.stderr).contains("/nonexistent/ca.crt"), "\(other)")
        try await site.shell("test -e \(third)/archive/\(site.stanza)/archive.info")
        let pushed = try await site.cluster.switchWAL()
        _ = try await site.tool.run("archive-push", broken, parameters: ["pg_wal/\(pushed)"])
        try await site.shell("ls \(third)/archive/\(site.stanza)/*/*/\(pushed)*")

        let copy = try await site.copy(site.repository, as: "copy")
        try await site.shell("chmod -R a-w \(copy)")
        let before = try contents(of: copy)
        for command in [["backup", "--type=full"], ["expire", "--set=\(site.label)"]] {
            let result = try await site.run(command[0], ["--repo1-path=\(copy)"] + command.dropFirst())
            #expect([41, 47].contains(result.status), "\(result)")
            result.failed(result.status, "repo1", "'\(copy)", "permission denied")
        }
        // What is in the archive need not be written again; what is not, cannot.
        let segment = try await site.cluster.switchWAL()
        let push = try await site.tool.run(
            "archive-push", ["--repo1-path=\(copy)"], parameters: ["pg_wal/\(segment)"])
        #expect([41, 47].contains(push.status), "\(push)")
        push.failed(push.status, "repo1", "'\(copy)", "permission denied")
        try await site.run("info", "--repo1-path=\(copy)").succeeded()
        #expect(try contents(of: copy) == before)
        try await site.shell("chmod -R u+w \(copy)")

        // No log file is no reason to lose a backup.
        let logless = try await site.run("check", "--log-path=/nonexistent/log")
        logless.succeeded()
        #expect(logless.stdout.contains("unable to open log file '/nonexistent/log/main-check.log'"))
        let lockless = try await site.run("backup", "--type=full", "--lock-path=/nonexistent/lock")
        #expect([47, 50].contains(lockless.status), "\(lockless)")
        lockless.failed(lockless.status, "'/nonexistent")
    }

    private func locks(_ site: Site) async throws {
        let before = try contents(of: "\(site.repository)/backup")
        // As pgBackRest up to 2.52 holds its lock, and as it does since.
        for name in ["main-backup.lock", "main-backup-1.lock"] {
            let file = "\(site.layout.lockPath)/\(name)"
            let holder = try ProcessRunner.start(
                "flock", ["-x", file, "sleep", "60"], asUser: ProcessRunner.serverUser, timeout: .seconds(90))
            try await waitFor("the lock") {
                try await ProcessRunner.run("flock", ["-n", "-s", file, "true"], asUser: ProcessRunner.serverUser)
                    .status == 1
            }
            for command in [["backup", "--type=full"], ["expire"], ["stanza-create"]] {
                try await site.run(command[0], Array(command.dropFirst())).failed(
                    50, "unable to acquire lock on file '\(file)'", hint: "wait until it is done")
            }
            try await site.run("info").succeeded()
            try await site.run("check").succeeded()
            holder.signal(SIGKILL)
            _ = try await holder.wait()
        }

        try await site.cluster.setArchiveCommand("false # neither permafrost nor pgbackrest")
        if TestRequirement.required([.pgBackRest("2.45")]) {
            let theirs = try PgBackRest(version: "2.45", layout: site.layout).start("backup", ["--type=full"])
            try await backupInProgress(site, "main-backup.lock")
            try await site.run("backup", "--type=full").failed(50, "main-backup.lock'", "process ", hint: "pgBackRest")
            theirs.signal(SIGTERM)
            #expect(try await theirs.wait().status == 63)
        }
        // Ours, in the middle of a backup.
        let first = try site.tool.start("backup", ["--type=full"])
        try await backupInProgress(site, "main-backup-1.lock")
        let second = try await site.run("backup", "--type=full")
        second.failed(50, "main-backup-1.lock'", "process ", hint: "ps -fp ")
        first.signal(SIGTERM)
        #expect(try await first.wait().status == 63)
        try await site.tool.archive(from: site.cluster)

        // Another host's, in the repository.
        let lock = try site.lockObject()
        let body =
            #"{"boot":"b","epoch":9,"expires":\#(Int(Date.now.timeIntervalSince1970) + 200),"host":"far","#
            + #""namespace":"n","owner":"o","pid":7,"start":1}"#
        try await site.shell("mkdir -p $(dirname \(lock)) && printf %s '\(body)' > \(lock)")
        for command in [["backup", "--type=full"], ["expire"]] {
            try await site.run(command[0], Array(command.dropFirst())).failed(
                50, "stanza 'main' in repo1", "process 7 on host 'far'", hint: "wait until its command is done")
        }
        try await site.shell("printf garbage > \(lock)")
        try await site.run("expire").failed(50, "is no lock of Permafrost", hint: "remove it")
        try await site.shell("rm \(lock)")
        let after = try contents(of: "\(site.repository)/backup").filter { before.keys.contains($0.key) }
        #expect(after == before)
    }

    /// What is asked for but would lose something, or was stopped by someone.
    private func refusals(_ site: Site) async throws {
        let before = try contents(of: "\(site.repository)/backup")
        try await site.run("expire", "--set=\(site.label)").failed(75, site.label, hint: "another full backup")
        try await site.run("expire", "--set=20200101-000000F").failed(75, "20200101-000000F", hint: "'info'")
        try await site.run("expire", "--set=nonsense").failed(32, "'nonsense'", hint: "'info'")
        try await site.run("stanza-delete").failed(55, "stanza 'main' is not stopped", hint: "'stop'")

        try await site.run("stop").succeeded()
        for command in [["backup", "--type=full"], ["expire"], ["stanza-create"], ["stanza-upgrade"]] {
            try await site.run(command[0], Array(command.dropFirst())).failed(62, "stop file", "main", hint: "'start'")
        }
        let push = try await site.tool.run("archive-push", [], parameters: ["pg_wal/000000010000000000000001"])
        push.failed(62, "stop file", "main", hint: "'start'")
        try await site.run("info").succeeded()
        try await site.run("stanza-delete").failed(
            38, "PostgreSQL is running", "'\(site.cluster.dataDirectory)'", hint: "--force")
        try await site.run("start").succeeded()

        let file = "\(site.layout.lockPath)/main-backup-1.lock"
        try await site.shell("touch \(file) && chmod 000 \(file)")
        try await site.run("expire").failed(50, "'\(file)'", "permission denied", hint: "as the same user")
        try await site.shell("rm -f \(file)")
        #expect(try contents(of: "\(site.repository)/backup") == before)
    }

    private func backupInProgress(_ site: Site, _ lock: String) async throws {
        try await waitFor("a backup in progress") {
            FileManager.default.contents(atPath: "\(site.layout.lockPath)/\(lock)")?.isEmpty == false
        }
    }

    /// The next backup makes both copies whole again.
    private func tornFilesAreWrittenAnew(_ site: Site) async throws {
        let file = "\(site.repository)/backup/main/backup.info"
        try damage(file, cutInHalf)
        try await site.run("backup", "--type=full").succeeded()
        #expect(FileManager.default.contentsEqual(atPath: file, andPath: "\(file).copy"))
        let info = try await site.run("info")
        #expect(info.stdout.contains(site.label))
        #expect(info.stdout.matches(of: #/full backup: /#).count == 2, "\(info)")
    }
}

extension Site {
    /// Where a run keeps its lock in the repository: the directory of it stays when the lock goes.
    fileprivate func lockObject() throws -> String {
        let directory = "\(repository)/permafrost/main"
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
        return "\(directory)/lock"
    }
}

/// Leaves an info file whole but for the last digit, which is one of its checksum.
private func changeChecksum(_ bytes: inout [UInt8]) {
    if let place = bytes.lastIndex(where: { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
        bytes[place] ^= 1
    }
}
