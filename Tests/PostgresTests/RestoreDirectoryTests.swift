import Foundation
import Glibc
import TestSupport
import Testing

extension Restoring {
    /// What a restore does to the directory that it writes to.
    @Suite(.timeLimit(.minutes(10))) struct Directory {
        @Test("a running, a full, a foreign directory", arguments: Majors.rows(0))
        func refusals(major: Int) async throws {
            try await withSite(major) { site in
                let cluster = site.cluster
                try await site.write(10)
                try await site.backup()
                let before = try await cluster.dump()
                for options in [[], ["--delta"], ["--force"]] {
                    try await site.tool.run("restore", options, expecting: 38)
                }
                #expect(try await cluster.dump() == before)
                try await cluster.stop()
                let listing = files(under: cluster.dataDirectory)
                let refused = try await site.tool.run("restore", expecting: 40)
                #expect(refused.log.contains("--delta"), "\(refused)")
                #expect(files(under: cluster.dataDirectory) == listing)

                // What is no data directory is not cleaned, whatever is asked.
                let other = try site.elsewhere("home")
                try site.scratch.write("precious", to: "home/letter")
                for options in [["--delta"], ["--force"], ["--delta", "--force"]] {
                    try await site.tool.with(other).run("restore", options, expecting: 40)
                    #expect(files(under: site.scratch.subpath("home")) == ["letter"])
                }
                try await site.tool.with(
                    site.layout.changed(name: "nowhere", stanzaOptions: ["pg1-path": "/no/such/place"])
                )
                .run("restore", expecting: 73)
                // A directory that does not exist yet, in one that does, is made.
                let new = try site.layout.changed(name: "new", stanzaOptions: ["pg1-path": site.scratch.subpath("new")])
                try await site.tool.with(new).run("restore")
                #expect(try status(site.scratch.subpath("new")).mode == 0o700)
            }
        }

        @Test(
            "delta and force repair what differs",
            arguments: Majors.each([["--delta"], ["--force"], ["--delta", "--force"]]))
        func repair(major: Int, options: [String]) async throws {
            try await withSite(major) { site in
                let (cluster, data) = (site.cluster, site.cluster.dataDirectory)
                try await cluster.createTablespace("aside")
                try await cluster.query("CREATE TABLE far TABLESPACE aside AS SELECT generate_series(1, 2000) AS i")
                try await cluster.query("CREATE TABLE near AS SELECT generate_series(1, 2000) AS i")
                let (far, near) = try await (
                    cluster.value("SELECT pg_relation_filepath('far')"),
                    cluster.value("SELECT pg_relation_filepath('near')")
                )
                let label = try await site.backup()
                try await site.archive()
                let expected = try await cluster.dump()
                try await cluster.query("CREATE TABLE lost AS SELECT 1 AS i")
                try await cluster.stop()
                let kept = try #require(site.manifest(label).files.first { $0.hasPrefix("pg_data/base/1/1247") })
                let inode = try await asServerUser("stat", ["-c", "%i", "\(data)/\(kept.dropFirst(8))"]).stdout

                // Other bytes under the same size and time (which both options together trust), other size, missing, too
                // much, other kinds and modes.
                if options.count == 1 {
                    let time = try status("\(data)/\(near)").modified
                    try overwrite("\(data)/\(near)", at: 9000, Array("damage".utf8))
                    try await asServerUser("touch", ["-d", "@\(time)", "\(data)/\(near)"])
                }
                try await asServerUser("truncate", ["-s", "8192", "\(data)/\(far)"])
                try await asServerUser("rm", ["\(data)/base/1/PG_VERSION", "\(data)/global/pg_filenode.map"])
                try await asServerUser("rm", ["-r", "\(data)/base/4"])
                try await asServerUser("install", ["-D", "/etc/hostname", "\(data)/extra/deep/file"])
                try await asServerUser("ln", ["-s", "/etc", "\(data)/link"])
                try await asServerUser("chmod", ["0777", "\(data)/base/5"])
                try await asServerUser("chmod", ["0644", "\(data)/pg_ident.conf"])
                try await asServerUser("touch", [site.scratch.subpath("tablespace/aside/mine")])

                try await site.tool.run("restore", options + ["--type=immediate", "--target-action=promote"])
                #expect(!exists("\(data)/extra") && !exists("\(data)/link") && !exists("\(data)/backup.manifest"))
                // Only the tablespace's directory for this version is ours.
                #expect(exists(site.scratch.subpath("tablespace/aside/mine")))
                try site.expectAsInManifest(label, data)
                if options == ["--delta"] {
                    #expect(
                        try await asServerUser("stat", ["-c", "%i", "\(data)/\(kept.dropFirst(8))"]).stdout == inode)
                }
                try await cluster.start()
                try await cluster.waitForRecoveryEnd()
                #expect(try await cluster.dump() == expected)
                try await cluster.amcheck()
                try await cluster.stop()
                #expect(try await cluster.checksumsOK())
            }
        }

        @Test("owners, modes and times; as root too", arguments: Majors.rows(2))
        func ownersAndModes(major: Int) async throws {
            let shared: (PostgresCluster) async throws -> Void = { cluster in
                try await asServerUser("chmod", ["0750", cluster.dataDirectory])
                try await asServerUser("chmod", ["0640", "\(cluster.dataDirectory)/pg_hba.conf"])
                try await asServerUser("touch", ["-d", "2001-02-03 04:05:06", "\(cluster.dataDirectory)/pg_hba.conf"])
            }
            try await withSite(major, prepare: shared) { site in
                let label = try await site.backup()
                _ = try await site.restore(to: "user")
                try site.expectAsInManifest(label, site.scratch.subpath("user"))
                #expect(try status(site.scratch.subpath("user")).mode == 0o750)
                guard geteuid() == 0 else { return }

                let other = try site.elsewhere("root")
                try await ProcessRunner.run(
                    site.tool.executable, ["--config=\(other.configFile)", "--stanza=main", "restore"]
                ).expecting(0)
                try site.expectAsInManifest(label, site.scratch.subpath("root"))
                let user = try #require(getpwnam(ProcessRunner.serverUser ?? "")).pointee.pw_uid
                for name in try FileManager.default.subpathsOfDirectory(atPath: site.scratch.subpath("root")) {
                    #expect(try status(site.scratch.subpath("root/\(name)")).user == user, "\(name)")
                }
                let restored = try site.cluster.restored(at: site.scratch.subpath("root"))
                try await restored.start()
                try await restored.waitForRecoveryEnd()
            }
        }
    }
}

extension Site {
    /// That files and directories of a restored data directory have the modes, sizes and times of the manifest.
    func expectAsInManifest(_ label: String, _ data: String) throws {
        let manifest = try manifest(label)
        let fileMode = manifest.value("target:file:default", "mode") ?? ""
        let pathMode = manifest.value("target:path:default", "mode") ?? ""
        let place = { (name: String) in
            name == "pg_data" ? data : name.hasPrefix("pg_data/") ? data + name.dropFirst(7) : "\(data)/\(name)"
        }
        // Recovery settings are written anew; what does not come back has its own tests.
        let rewritten = ["pg_data/postgresql.auto.conf", "pg_data/tablespace_map"]
        for (name, value) in manifest.section("target:file") where !rewritten.contains(name) {
            let entry = try JSON.object(Array(value.utf8))
            let facts = try status(place(name))
            #expect(facts.size == entry["size"] as? Int, "\(name)")
            #expect(facts.modified == entry["timestamp"] as? Int, "\(name)")
            let mode = entry["mode"] as? String ?? fileMode.replacing("\"", with: "")
            #expect(facts.mode == mode_t(mode, radix: 8), "\(name)")
        }
        for (name, value) in manifest.section("target:path") where !name.hasPrefix("pg_tblspc") {
            let entry = try JSON.object(Array(value.utf8))
            let mode = entry["mode"] as? String ?? pathMode.replacing("\"", with: "")
            #expect(try status(place(name)).mode == mode_t(mode, radix: 8), "\(name)")
        }
    }
}
