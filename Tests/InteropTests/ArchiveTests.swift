import Foundation
import TestSupport
import Testing

extension SideBySide {
    /// What one archives, the other fetches, and finds there when it is to archive it again.
    @Suite(.timeLimit(.minutes(10))) struct Archive {
        @Test(
            "segments, partial ones, history and backup files",
            arguments: Combination.rows(Combination(major: 15, compress: "lz4")))
        func pushAndGet(_ row: Combination) async throws {
            try await withPair(row.major, options: ["compress-type": row.compress]) { pair in
                try await pair.ours.run("stanza-create")
                try await push(pair.ours, getBy: pair.theirs, pair, timeline: 2)
                try await push(pair.theirs, getBy: pair.ours, pair, timeline: 3)
            }
        }

        @Test("encrypted ones", arguments: Combination.rows(Combination(major: 15, compress: "gz")))
        func pushAndGetEncrypted(_ row: Combination) async throws {
            let options = [
                "compress-type": row.compress, "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "of both",
            ]
            try await withPair(row.major, options: options) { pair in
                try await pair.ours.run("stanza-create")
                try await push(pair.ours, getBy: pair.theirs, pair, timeline: 2)
                try await push(pair.theirs, getBy: pair.ours, pair, timeline: 3)
            }
        }

        private func push(
            _ pusher: some BackupTool, getBy getter: some BackupTool, _ pair: Pair, timeline: Int
        ) async throws {
            let segment = try await pair.cluster.switchWAL()
            let whole = try await copy(segment, as: segment, pair)
            let texts = try ["0000000\(timeline).history", "\(segment).00000028.backup"].map { name in
                try pair.scratch.write("text of \(name)\n", to: name)
            }
            let got = pair.scratch.subpath("got")
            for file in try await [whole, copy(segment, as: "\(segment).partial", pair)] + texts {
                let name = URL(filePath: file).lastPathComponent
                try await getter.get(name, to: got, expecting: 1)
                try await pusher.push(file)
                let objects = try objects(pair)
                // Identical: there is nothing to do, for either.
                try await getter.push(file)
                try await pusher.push(file)
                #expect(try self.objects(pair) == objects, "\(name)")
                for tool in [getter, pusher] as [any BackupTool] {
                    try await tool.get(name, to: got)
                    #expect(try content(got) == content(file), "\(name) by \(tool)")
                    try FileManager.default.removeItem(atPath: got)
                }
            }

            // Another content under a name that is taken.
            let handle = try #require(FileHandle(forUpdatingAtPath: whole))
            try handle.seek(toOffset: 16 << 20 - 1)
            try handle.write(contentsOf: [0x55])
            try handle.close()
            try await getter.push(whole, expecting: 45)
            try await pusher.push(whole, expecting: 45)
            try await getter.get(segment, to: got)
            #expect(try content(got) == content("\(pair.cluster.dataDirectory)/pg_wal/\(segment)"))
        }

        private func copy(_ segment: String, as name: String, _ pair: Pair) async throws -> String {
            let path = pair.scratch.subpath(name)
            try await asServerUser("cp", ["\(pair.cluster.dataDirectory)/pg_wal/\(segment)", path])
            return path
        }

        private func objects(_ pair: Pair) throws -> [String] {
            try FileManager.default.subpathsOfDirectory(atPath: pair.archiveDirectory).sorted()
        }
    }
}
