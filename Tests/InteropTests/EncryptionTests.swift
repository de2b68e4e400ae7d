import Foundation
import TestSupport
import Testing

private let key = "correct horse battery staple"
private let encrypted = ["repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": key]

extension OursFirst {
    @Suite(.timeLimit(.minutes(30))) struct Encryption {
        @Test(
            "pgBackRest verifies, restores and continues what we encrypted",
            arguments: Combination.rows(Combination(major: 17, compress: "zst")))
        func roundTrip(_ row: Combination) async throws {
            // pgBackRest 2.55 knows PostgreSQL 15 too.
            let version = row.compress == "none" ? "2.55" : nil
            let isAsynchronous = row.major == 17 ? "y" : "n"
            let options = encrypted.merging(["compress-type": row.compress, "archive-async": isAsynchronous]) { $1 }
            try await withPair(row.major, version: version, options: options) { pair in
                let (cluster, ours, theirs) = (pair.cluster, pair.ours, pair.theirs)
                try await ours.run("stanza-create")
                try await ours.archive(from: cluster)
                try await cluster.pgbench(scale: 1)
                let full = try await pair.backup(ours)
                try await requireEncrypted(pair, full)
                try await cluster.pgbench(transactions: 20)
                let segment = try await pair.archive()

                try await theirs.run("check")
                try await theirs.run("stanza-create")
                let info = try await theirs.run("info").stdout
                #expect(info.contains("cipher: aes-256-cbc") && info.contains("full backup: \(full)"), "\(info)")
                #expect(try await ours.run("info").stdout.contains("cipher: aes-256-cbc"))
                try await pair.verify()
                let fetched = pair.scratch.subpath(segment)
                try await theirs.get(segment, to: fetched)
                #expect(try content(fetched) == content("\(cluster.dataDirectory)/pg_wal/\(segment)"))
                try await pair.requireRestorable(theirs, to: "full")

                // On top of ours, with the passphrase of ours.
                try await cluster.pgbench(transactions: 20)
                let incr = try await pair.backup(theirs, "incr")
                #expect(incr.hasPrefix("\(full)_"))
                try await pair.verify()
                try await pair.requireRestorable(ours, to: "incr")
                #expect(try await pair.requireSameLabels() == [full, incr])
                #expect(try await cluster.value("SELECT failed_count FROM pg_stat_archiver") == "0")
            }
        }

        /// Decrypted by the openssl program, each file has the passphrase of what lies beneath it.
        private func requireEncrypted(_ pair: Pair, _ label: String) async throws {
            let repository = pair.layout.repositoryPaths[0]
            let archive = try await passphrase(in: "\(repository)/archive/main/archive.info", key)
            let backup = try await passphrase(in: "\(pair.backupDirectory)/backup.info", key)
            let manifest = "\(pair.backupDirectory)/\(label)/backup.manifest"
            let files = try await passphrase(in: manifest, backup)
            #expect(Set([archive, backup, files, key]).count == 4)
            #expect(files.count == 64)
            // Nothing lies in the clear, but the lock object of ours, which names a host and a time.
            let names = try FileManager.default.subpathsOfDirectory(atPath: repository)
            for name in names where !name.hasPrefix("permafrost") {
                let path = "\(repository)/\(name)"
                let type = try FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
                guard type == .typeRegular else { continue }
                #expect(try content(path).starts(with: "Salted__".utf8), "\(name)")
            }
        }

        private func passphrase(in path: String, _ key: String) async throws -> String {
            let arguments = ["enc", "-d", "-aes-256-cbc", "-md", "sha1", "-pass", "env:KEY", "-in", path]
            let text = try await ProcessRunner.run("openssl", arguments, environment: ["KEY": key]).expecting(0).stdout
            let match = try #require(text.firstMatch(of: /cipher-pass="([^"]*)"/), "\(path)")
            return String(match.output.1)
        }

        @Test("an upgraded stanza keeps its passphrases") func upgrade() async throws {
            try await withPair(15, options: encrypted) { pair in
                let (ours, theirs) = (pair.ours, pair.theirs)
                try await ours.run("stanza-create")
                try await ours.archive(from: pair.cluster)
                let full = try await pair.backup(ours)
                let repository = pair.layout.repositoryPaths[0]
                let paths = ["\(repository)/archive/main/archive.info", "\(pair.backupDirectory)/backup.info"]
                var before: [String] = []
                for path in paths { before.append(try await passphrase(in: path, key)) }

                // A copy that was lost comes back byte for byte.
                for path in paths {
                    try FileManager.default.removeItem(atPath: "\(path).copy")
                    let bytes = try content(path)
                    try await ours.run("stanza-create")
                    #expect(try content(path) == bytes)
                    #expect(try content("\(path).copy") == bytes)
                }

                try await withCluster(15) { other in
                    let changed = try pair.layout.changed(
                        name: "other", stanzaOptions: ["pg1-path": other.dataDirectory])
                    try await ours.with(changed).run("stanza-upgrade", ["--no-online"])
                }
                for (path, pass) in zip(paths, before) {
                    #expect(try await passphrase(in: path, key) == pass)
                    #expect(try content(path) == content("\(path).copy"))
                }
                #expect(try await pair.labels(theirs) == [full])
                _ = try await pair.restore(theirs, to: "restored", ["--set=\(full)", "--type=immediate"])
                try await pair.verify()
            }
        }
    }
}

extension TheirsFirst {
    @Suite(.timeLimit(.minutes(30))) struct Encryption {
        @Test(
            "we list, fetch, restore and continue what pgBackRest encrypted",
            arguments: Combination.rows(Combination(major: 17, compress: "gz", bundles: true)))
        func roundTrip(_ row: Combination) async throws {
            let options = encrypted.merging(["compress-type": row.compress]) { $1 }
            let bundles = row.bundles ? ["repo1-bundle": "y"] : [:]
            try await withPair(row.major, options: options, theirOptions: bundles) { pair in
                let (cluster, ours, theirs) = (pair.cluster, pair.ours, pair.theirs)
                try await theirs.run("stanza-create")
                try await theirs.archive(from: cluster)
                try await cluster.pgbench(scale: 1)
                let full = try await pair.backup(theirs)
                try await cluster.pgbench(transactions: 20)
                let incr = try await pair.backup(theirs, "incr")
                let segment = try await pair.archive()

                try await ours.run("check")
                try await ours.run("stanza-create")
                #expect(try await pair.labels(ours) == [full, incr])
                let set = try await ours.run("info", ["--set=\(incr)"]).stdout
                #expect(set.contains("cipher: aes-256-cbc") && set.contains("database list"), "\(set)")
                let fetched = pair.scratch.subpath(segment)
                try await ours.get(segment, to: fetched)
                #expect(try content(fetched) == content("\(cluster.dataDirectory)/pg_wal/\(segment)"))
                try await pair.requireRestorable(ours, to: "incr")

                try await ours.archive(from: cluster)
                try await cluster.pgbench(transactions: 20)
                let second = try await pair.backup(ours)
                #expect(try await pair.requireSameLabels() == [full, incr, second])
                try await pair.verify()
                try await pair.requireRestorable(theirs, to: "second")
                try await ours.run("expire", ["--repo1-retention-full=1"])
                #expect(try await pair.requireSameLabels() == [second])
                try await pair.verify()
                #expect(try await cluster.value("SELECT failed_count FROM pg_stat_archiver") == "0")
            }
        }
    }
}

extension SideBySide {
    @Suite(.timeLimit(.minutes(10))) struct WrongKeys {
        /// The options that go with a repository, and those that do not, with what is said of them.
        struct Mistake: Sendable, CustomTestStringConvertible {
            var testDescription: String
            var made: [String: String]
            var asked: [String: String]
            var message: String
            var hint: String
        }

        private static let mistakes = [
            Mistake(
                testDescription: "another passphrase", made: encrypted,
                asked: ["repo1-cipher-pass": "wrong-but-not-so-secret"], message: "unable to decrypt",
                hint: "is repo1-cipher-pass the passphrase that the repository was made with?"),
            Mistake(
                testDescription: "no passphrase", made: encrypted, asked: ["repo1-cipher-type": "none"],
                message: "is encrypted", hint: "set repo-cipher-type and repo-cipher-pass"),
            Mistake(
                testDescription: "a passphrase for what is not encrypted", made: [:], asked: encrypted,
                message: "cipher header invalid", hint: "is or was the repository encrypted?"),
        ]

        @Test("are refused by every command, and nothing is touched", arguments: mistakes, Combination.versions)
        func refused(_ mistake: Mistake, _ version: String) async throws {
            try await withPair(15, version: version, options: mistake.made) { pair in
                let theirs = pair.theirs
                try await theirs.run("stanza-create")
                try await theirs.archive(from: pair.cluster)
                let label = try await pair.backup(theirs)
                let segment = try await pair.archive()
                let wal = "\(pair.cluster.dataDirectory)/pg_wal/\(segment)"
                let target = try pair.scratch.makeDirectory("refused")
                let before = try objects(pair)

                let mistaken = try pair.layout.changed(name: "mistaken", options: mistake.asked)
                let ours = pair.ours.with(mistaken)
                var refusals: [ProcessResult] = []
                for (command, options) in [
                    ("backup", ["--type=full"]), ("expire", []), ("check", []), ("stanza-create", []),
                    ("stanza-upgrade", []),
                ] as [(String, [String])] {
                    refusals.append(try await ours.run(command, options, expecting: 95))
                }
                refusals.append(try await ours.push(wal, expecting: 95))
                refusals.append(try await ours.get(segment, to: pair.scratch.subpath("got"), expecting: 95))
                let elsewhere = try mistaken.changed(name: "elsewhere", stanzaOptions: ["pg1-path": target])
                refusals.append(try await ours.with(elsewhere).run("restore", expecting: 95))
                refusals.append(try await ours.run("info"))
                for refusal in refusals {
                    #expect(refusal.log.contains(mistake.message), "\(refusal)")
                    #expect(refusal.log.contains(mistake.hint), "\(refusal)")
                    #expect(!refusal.log.contains("not-so-secret") && !refusal.log.contains(key), "\(refusal)")
                }
                #expect(try FileManager.default.contentsOfDirectory(atPath: target) == [])
                // pgBackRest refuses as well: with 95 where it finds out, with its error of a bad format otherwise.
                let refused = try await theirs.with(mistaken).run("backup", ["--type=full"], expecting: nil)
                #expect([29, 95].contains(refused.status), "\(refused)")
                #expect(try objects(pair) == before)
                #expect(try await pair.labels(theirs) == [label])
                try await theirs.run("check")
            }
        }

        /// Names, sizes and times of what pgBackRest knows.
        private func objects(_ pair: Pair) throws -> [String] {
            let root = pair.layout.repositoryPaths[0]
            return try FileManager.default.subpathsOfDirectory(atPath: root).filter { !$0.hasPrefix("permafrost") }
                .map { path in
                    let facts = try FileManager.default.attributesOfItem(atPath: "\(root)/\(path)")
                    let isFile = facts[.type] as? FileAttributeType == .typeRegular
                    return isFile ? "\(path) \(facts[.size] ?? "") \(facts[.modificationDate] ?? "")" : path
                }.sorted()
        }
    }
}
