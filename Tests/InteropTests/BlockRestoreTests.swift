import Foundation
import TestSupport
import Testing

extension TheirsFirst {
    @Suite(.timeLimit(.minutes(30))) struct BlockRestore {
        struct Row: Sendable, CustomTestStringConvertible {
            var major: Int
            var compress: String
            var isEncrypted: Bool
            var testDescription: String { "PostgreSQL \(major), \(compress)\(isEncrypted ? ", encrypted" : "")" }
        }

        private static let few = [
            Row(major: 15, compress: "zst", isEncrypted: false), Row(major: 17, compress: "gz", isEncrypted: false),
            Row(major: 18, compress: "none", isEncrypted: true), Row(major: 17, compress: "lz4", isEncrypted: true),
        ]
        private static let all = ["none", "gz", "lz4", "zst", "bz2"].flatMap { compress in
            [false, true].map { Row(major: 17, compress: compress, isEncrypted: $0) }
        }

        @Test(
            "each backup of a chain with blocks is restored as pgBackRest does, whole and over what is there",
            arguments: (Combination.runsAll ? few + all : [few[3]]).filter {
                TestRequirement.required([.postgres($0.major)])
            })
        func chain(_ row: Row) async throws {
            var options = ["compress-type": row.compress]
            if row.isEncrypted {
                options["repo1-cipher-type"] = "aes-256-cbc"
                options["repo1-cipher-pass"] = "correct horse battery staple"
            }
            try await withPair(
                row.major, version: "2.55", options: options,
                theirOptions: ["repo1-bundle": "y", "repo1-block": "y", "repo1-bundle-limit": "4MiB"]
            ) { pair in
                let cluster = pair.cluster
                try await pair.theirs.run("stanza-create")
                try await pair.theirs.archive(from: cluster)
                try await cluster.pgbench(scale: 2)
                // Below 11 MiB, from where on blocks would be larger.
                try await cluster.query(
                    """
                    CREATE TABLE grows AS SELECT i, md5(i::text) || md5((i + 1)::text) AS t
                    FROM generate_series(1, 100000) AS i;
                    CREATE TABLE shrinks AS SELECT i, md5(i::text) AS t FROM generate_series(1, 60000) AS i;
                    CREATE TABLE quiet AS SELECT i, md5(i::text) AS t FROM generate_series(1, 20000) AS i;
                    """)
                var labels = [try await pair.backup(pair.theirs)]

                try await cluster.query("INSERT INTO grows SELECT i, md5(i::text) FROM generate_series(1, 60000) AS i")
                try await cluster.query("UPDATE shrinks SET t = 'x' || t WHERE i % 1000 = 7")
                labels.append(try await pair.backup(pair.theirs, "diff"))

                try await cluster.query("DELETE FROM shrinks")
                try await cluster.query("VACUUM shrinks")
                try await cluster.pgbench(transactions: 30)
                labels.append(try await pair.backup(pair.theirs, "incr"))

                try await cluster.query("INSERT INTO shrinks SELECT i, md5(i::text) FROM generate_series(1, 9000) AS i")
                try await cluster.query("UPDATE grows SET t = md5(t) WHERE i % 4000 = 3")
                labels.append(try await pair.backup(pair.theirs, "incr"))
                try await cluster.pgbench(transactions: 30)
                try await cluster.query("UPDATE grows SET t = md5(t) WHERE i % 5000 = 3")
                labels.append(try await pair.backup(pair.theirs, "incr"))
                let expected = try await pair.dump(cluster)
                try await pair.archive()

                try requireBlocks(pair, labels)
                for (index, label) in labels.enumerated() {
                    _ = try await pair.restore(pair.theirs, to: "their-\(index)", ["--set=\(label)"])
                    _ = try await pair.restore(pair.ours, to: "our-\(index)", ["--set=\(label)"])
                    try requireSame(pair, "our-\(index)", "their-\(index)")
                }
                // One directory becomes that of one backup after another, damaged each time.
                for (index, label) in [labels[4], labels[1], labels[2], labels[0], labels[3]].enumerated() {
                    try damage(pair.scratch.subpath("our-0/base"), seed: index)
                    _ = try await pair.restore(pair.ours, to: "our-0", ["--set=\(label)", "--delta"])
                    try requireSame(pair, "our-0", "their-\(labels.firstIndex(of: label) ?? 0)")
                }
                try await pair.requireHolds(cluster.restored(at: pair.scratch.subpath("our-4")), expected)
                try await pair.requireHolds(cluster.restored(at: pair.scratch.subpath("our-0")), expected)
            }
        }

        @Test("databases that are left out have no content, as with pgBackRest")
        func selected() async throws {
            try await withPair(
                17, version: "2.55", options: ["compress-type": "zst"],
                theirOptions: ["repo1-bundle": "y", "repo1-block": "y"]
            ) { pair in
                let cluster = pair.cluster
                try await pair.theirs.run("stanza-create")
                try await pair.theirs.archive(from: cluster)
                for name in ["wanted", "other", "third"] { try await cluster.query("CREATE DATABASE \(name)") }
                for name in ["wanted", "other"] {
                    try await cluster.query(
                        """
                        CREATE TABLE held AS SELECT i, md5(i::text) AS t FROM generate_series(1, 3000) AS i;
                        CREATE TABLE aside TABLESPACE aside AS SELECT * FROM held
                        """, database: name)
                }
                try await pair.backup(pair.theirs)
                try await cluster.query("UPDATE held SET t = 'x' || t WHERE i % 100 = 1", database: "wanted")
                try await pair.backup(pair.theirs, "incr")
                try await pair.archive()

                for (name, options) in [
                    ("include", ["--db-include=wanted"]), ("exclude", ["--db-exclude=other", "--db-exclude=third"]),
                ] {
                    let options = options + ["--type=immediate", "--target-action=promote"]
                    _ = try await pair.restore(pair.theirs, to: "their-\(name)", options)
                    let mine = try await pair.restore(pair.ours, to: "our-\(name)", options)
                    try requireSame(pair, "our-\(name)", "their-\(name)")
                    try damage(pair.scratch.subpath("our-\(name)/base"), seed: 1)
                    _ = try await pair.restore(pair.ours, to: "our-\(name)", options + ["--delta"])
                    try requireSame(pair, "our-\(name)", "their-\(name)")
                    try await mine.start()
                    try await mine.waitForRecoveryEnd()
                    #expect(try await mine.value("SELECT count(*) FROM held", database: "wanted") == "3000")
                    #expect(try await mine.value("SELECT count(*) FROM aside", database: "wanted") == "3000")
                    for name in ["other", "third"] { try await mine.query("DROP DATABASE \(name)") }
                    try await mine.stop()
                }
                for (option, code) in [
                    ("--db-include=none", 80), ("--db-exclude=none", 80), ("--db-include=postgres", 81),
                ] {
                    for tool in [pair.ours as any BackupTool, pair.theirs] {
                        let elsewhere = try tool.layout.changed(
                            name: "refused", stanzaOptions: ["pg1-path": pair.scratch.makeDirectory("refused")])
                        try await tool.with(elsewhere).run("restore", [option], expecting: Int32(code))
                    }
                }
            }
        }

        /// That the backups are what this is about: parts in bundles and by themselves, of several backups.
        private func requireBlocks(_ pair: Pair, _ labels: [String]) throws {
            for label in labels {
                // Of an encrypted backup it is no text.
                let path = "\(pair.backupDirectory)/\(label)/backup.manifest"
                guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { continue }
                #expect(text.contains("\"bim\":") && text.contains("backup-block-incr=true"), "\(label)")
            }
            let found = try FileManager.default.subpathsOfDirectory(atPath: "\(pair.backupDirectory)/\(labels[0])")
            #expect(found.contains { $0.hasSuffix(".pgbi") })
        }

        private func requireSame(_ pair: Pair, _ mine: String, _ theirs: String) throws {
            for suffix in ["", "-spaces"] {
                try requireSameDirectory(
                    pair.scratch.subpath(mine + suffix), pair.scratch.subpath(theirs + suffix), exempt: [])
            }
        }

        /// Changes bytes, cuts off, adds, removes; so that owners and modes stay.
        private func damage(_ directory: String, seed: Int) throws {
            let files = try FileManager.default.subpathsOfDirectory(atPath: directory).sorted().filter {
                try FileManager.default.attributesOfItem(atPath: "\(directory)/\($0)")[.type] as? FileAttributeType
                    == .typeRegular
            }
            for (index, file) in files.enumerated() {
                let path = "\(directory)/\(file)"
                let handle = try #require(FileHandle(forUpdatingAtPath: path))
                defer { try? handle.close() }
                let size = try handle.seekToEnd()
                switch (index + seed) % 5 {
                case 0 where size > 20000:
                    for offset in stride(from: UInt64(seed * 100 + 77), to: size, by: 300_000) {
                        try handle.seek(toOffset: offset)
                        try handle.write(contentsOf: [0xde, 0xad])
                    }
                case 1 where size > 20000: try handle.truncate(atOffset: size / 3)
                case 2 where size > 20000: try handle.write(contentsOf: Array(repeating: UInt8(seed), count: 10_000))
                case 3 where index % 7 == 3: try FileManager.default.removeItem(atPath: path)
                default: break
                }
            }
        }
    }
}
