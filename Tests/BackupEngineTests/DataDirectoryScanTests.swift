@testable import BackupEngine
import BackupModel
import Foundation
import Glibc
import PostgresFormats
import RepositoryFormats
import Testing

/// A scratch directory with a data directory `pg` in it.
private struct Scratch: ~Copyable {
    let root: String
    var dataDirectory: String { root + "/pg" }

    init() throws {
        root = NSTemporaryDirectory() + "/permafrost-scan-" + UUID().uuidString
        try directory("pg")
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    func directory(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: "\(root)/\(path)", withIntermediateDirectories: true)
    }

    func file(_ path: String, size: Int = 3) throws {
        try directory(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
        try Data(repeating: 1, count: size).write(to: URL(fileURLWithPath: "\(root)/\(path)"))
    }

    func link(_ path: String, to text: String) throws {
        try directory(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
        try FileManager.default.createSymbolicLink(atPath: "\(root)/\(path)", withDestinationPath: text)
    }

    func scan(
        online: Bool = true, tablespaces: [UInt32: String] = [:], excludes: [String] = []
    ) throws(BackupError) -> DataDirectoryScan.Result {
        try DataDirectoryScan(
            dataDirectory: dataDirectory, version: PostgresVersion(number: 150_000), catalogVersion: 202_209_061,
            isOnline: online, tablespaceNames: tablespaces, excludes: excludes
        ).run()
    }
}

extension DataDirectoryScan.Result {
    fileprivate var fileNames: [String] { (0..<files.count).map { files.name($0) } }
    fileprivate var pathNames: [String] { paths.map(\.name) }
}

@Suite struct DataDirectoryScanTests {
    @Test("Files and directories are listed with what the manifest needs, by name")
    func plain() throws {
        let scratch = try Scratch()
        try scratch.file("pg/base/1/1259", size: 8192)
        try scratch.file("pg/PG_VERSION")
        try scratch.directory("pg/empty")
        chmod(scratch.dataDirectory + "/PG_VERSION", 0o640)
        chmod(scratch.dataDirectory + "/empty", 0o700)
        let result = try scratch.scan()
        #expect(result.fileNames == ["pg_data/PG_VERSION", "pg_data/base/1/1259"])
        #expect(result.pathNames == ["pg_data", "pg_data/base", "pg_data/base/1", "pg_data/empty"])
        #expect(result.files.size(1) == 8192 && result.files.mode(0) == 0o640)
        #expect(result.paths.last?.mode == 0o700)
        #expect(abs(result.files.timestamp(0) - Int64(time(nil))) < 60)
        #expect(result.targets == [ManifestTarget(name: "pg_data", kind: .path, path: scratch.dataDirectory)])
        #expect(result.links.isEmpty && result.warnings.isEmpty)
    }

    @Test("What a server makes anew is left out, its directories are kept")
    func leftOut() throws {
        let scratch = try Scratch()
        for name in [
            "postmaster.pid", "postmaster.opts", "backup_label", "standby.signal", "pg_wal/000000010000000000000001",
            "pg_wal/archive_status/000000010000000000000001.done", "pg_stat_tmp/x", "pg_replslot/slot/state",
            "base/pgsql_tmp/pgsql_tmp1.0", "base/5/t3_16384", "base/5/pg_internal.init", "base/5/16384",
            "base/5/16384_fsm",
            "base/5/16384.1", "base/5/16384_init", "base/5/16385",
        ] { try scratch.file("pg/\(name)") }
        let online = try scratch.scan()
        #expect(online.fileNames == ["pg_data/base/5/16384_init", "pg_data/base/5/16385"])
        #expect(
            online.pathNames == [
                "pg_data", "pg_data/base", "pg_data/base/5", "pg_data/pg_replslot", "pg_data/pg_stat_tmp",
                "pg_data/pg_wal", "pg_data/pg_wal/archive_status",
            ])
        // Offline the WAL is all there is to recover from.
        #expect(
            try scratch.scan(online: false).fileNames.filter { $0.hasPrefix("pg_data/pg_wal/") } == [
                "pg_data/pg_wal/000000010000000000000001",
                "pg_data/pg_wal/archive_status/000000010000000000000001.done",
            ])
    }

    @Test("What the user excludes is left out, with or without its directory")
    func excludes() throws {
        let scratch = try Scratch()
        for name in ["junk/a", "junk/b", "log/c", "log/sub/d", "keep", "base/1/5", "logx"] {
            try scratch.file("pg/\(name)")
        }
        let result = try scratch.scan(excludes: ["junk", "log/", "base/1/5", "absent"])
        #expect(result.fileNames == ["pg_data/keep", "pg_data/logx"])
        #expect(result.pathNames == ["pg_data", "pg_data/base", "pg_data/base/1", "pg_data/log"])
    }

    @Test("Links to directories and files are followed, and listed with their targets")
    func links() throws {
        let scratch = try Scratch()
        try scratch.file("wal/archive_status/x")
        try scratch.file("etc/pg.conf", size: 9)
        try scratch.link("pg/pg_wal", to: scratch.root + "/wal")
        try scratch.link("pg/postgresql.conf", to: "../etc/pg.conf")
        let result = try scratch.scan(online: false)
        #expect(result.fileNames == ["pg_data/pg_wal/archive_status/x", "pg_data/postgresql.conf"])
        #expect(result.files.size(1) == 9)
        #expect(result.pathNames == ["pg_data", "pg_data/pg_wal", "pg_data/pg_wal/archive_status"])
        #expect(result.links.map(\.name) == ["pg_data/pg_wal", "pg_data/postgresql.conf"])
        #expect(result.links.map(\.destination) == [scratch.root + "/wal", "../etc/pg.conf"])
        #expect(
            Array(result.targets.dropFirst()) == [
                ManifestTarget(name: "pg_data/pg_wal", kind: .link, path: scratch.root + "/wal"),
                ManifestTarget(name: "pg_data/postgresql.conf", kind: .link, path: "../etc", file: "pg.conf"),
            ])
    }

    @Test("A tablespace is followed to the directory of this version")
    func tablespaces() throws {
        let scratch = try Scratch()
        try scratch.file("ts/PG_15_202209061/5/16390", size: 8192)
        try scratch.file("ts/PG_15_202209061/pgsql_tmp/x")
        try scratch.file("ts/PG_14_202107181/5/16390")
        try scratch.directory("new")
        try scratch.link("pg/pg_tblspc/16384", to: scratch.root + "/ts")
        try scratch.link("pg/pg_tblspc/16400", to: scratch.root + "/new")
        let result = try scratch.scan(tablespaces: [16384: "one", 16400: "two"])
        #expect(result.fileNames == ["pg_tblspc/16384/PG_15_202209061/5/16390"])
        #expect(
            result.pathNames == [
                "pg_data", "pg_data/pg_tblspc", "pg_tblspc", "pg_tblspc/16384", "pg_tblspc/16384/PG_15_202209061",
                "pg_tblspc/16384/PG_15_202209061/5", "pg_tblspc/16400",
            ])
        #expect(result.links.map(\.name) == ["pg_data/pg_tblspc/16384", "pg_data/pg_tblspc/16400"])
        #expect(
            result.targets.first { $0.name == "pg_tblspc/16384" }
                == ManifestTarget(
                    name: "pg_tblspc/16384", kind: .link, path: scratch.root + "/ts", tablespaceID: 16384,
                    tablespaceName: "one"))
        // Offline nobody tells the names.
        #expect(
            try scratch.scan(online: false).targets.compactMap(\.tablespaceName) == ["ts16384", "ts16400"])
        #expect(
            try scratch.scan(tablespaces: [16384: "one"], excludes: ["pg_tblspc/16400"]).targets.count == 2)
    }

    @Test("Sockets, pipes and devices are left out with a warning")
    func special() throws {
        let scratch = try Scratch()
        try scratch.file("pg/a")
        mkfifo(scratch.dataDirectory + "/pipe", 0o600)
        let result = try scratch.scan()
        #expect(result.fileNames == ["pg_data/a"])
        #expect(result.warnings.count == 1 && result.warnings.first?.contains("/pipe'") == true)
    }

    @Test("Files that come and go meanwhile are no error")
    func vanishing() async throws {
        let scratch = try Scratch()
        let directory = scratch.dataDirectory + "/base/1"
        try scratch.directory("pg/base/1")
        let churn = Task.detached {
            while !Task.isCancelled {
                for number in 0..<50 { close(open("\(directory)/\(number)", O_CREAT | O_WRONLY, 0o600)) }
                mkdir("\(directory)/sub", 0o700)
                for number in 0..<50 { unlink("\(directory)/\(number)") }
                rmdir("\(directory)/sub")
            }
        }
        for _ in 0..<50 { _ = try scratch.scan() }
        churn.cancel()
        await churn.value
    }

    @Test("Links that no restore could tell apart, or that lead nowhere, are refused")
    func badLinks() throws {
        let cases: [(String, ErrorCode, [(String, String)])] = [
            ("to nothing", .linkDestination, [("pg/log", "/nowhere/at/all")]),
            ("into the data directory", .linkDestination, [("pg/log", "base")]),
            ("to a file in the data directory", .linkDestination, [("pg/a.conf", "PG_VERSION")]),
            ("above the data directory", .linkDestination, [("pg/log", "..")]),
            ("to a link", .linkDestination, [("one", "other"), ("pg/log", "../one")]),
            ("to the same directory", .linkDestination, [("pg/log", "../other"), ("pg/log2", "../other")]),
            ("to a pipe", .linkDestination, [("pg/log", "../pipe")]),
            ("to a file as tablespace", .linkDestination, [("pg/pg_tblspc/16384", "../../file")]),
            ("a tablespace that nobody knows", .assertion, [("pg/pg_tblspc/16999", "../../other")]),
            ("a tablespace with another name", .linkExpected, [("pg/pg_tblspc/backup", "../../other")]),
            ("a tablespace with a padded name", .linkExpected, [("pg/pg_tblspc/016384", "../../other")]),
        ]
        for (title, code, links) in cases {
            let scratch = try Scratch()
            try scratch.file("pg/PG_VERSION")
            try scratch.directory("pg/base")
            try scratch.file("other/file")
            try scratch.file("file")
            mkfifo(scratch.root + "/pipe", 0o600)
            for (path, text) in links { try scratch.link(path, to: text) }
            var found: ErrorCode?
            do throws(BackupError) {
                _ = try scratch.scan(tablespaces: [16384: "one"])
            } catch {
                found = error.code
            }
            #expect(found == code, "\(title)")
        }
    }

    @Test("A tablespace inside the data directory is no link, and refused")
    func inPlaceTablespace() throws {
        let scratch = try Scratch()
        try scratch.directory("pg/pg_tblspc/16384")
        var found: ErrorCode?
        do throws(BackupError) { _ = try scratch.scan(tablespaces: [16384: "one"]) } catch { found = error.code }
        #expect(found == .linkExpected)
    }

    @Test("A data directory that is not there is said to be so")
    func missing() throws {
        let scratch = try Scratch()
        try scratch.file("file")
        for path in ["/nowhere", "/file"] {
            let scan = DataDirectoryScan(
                dataDirectory: scratch.root + path, version: PostgresVersion(number: 150_000), catalogVersion: 1,
                isOnline: true, tablespaceNames: [:], excludes: [])
            #expect(errorCode { _ = try scan.run() } == .pathMissing)
        }
    }
}
