import Foundation
import Testing

@testable import BackupModel

struct ConfigFilePlanTests {
    static let standard = [
        "/etc/permafrost/permafrost.conf", "/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest.conf",
    ]
    static let standardIncludes = ["/etc/permafrost/conf.d", "/etc/pgbackrest/conf.d"]

    struct Case: CustomTestStringConvertible {
        let words: String
        var files: [String] = []
        var isFileRequired = false
        var includes: [String] = []
        var isIncludeRequired = false
        var testDescription: String { words }
    }

    static let cases = [
        Case(words: "", files: standard, includes: standardIncludes),
        Case(words: "--config=/c", files: ["/c"], isFileRequired: true),
        Case(
            words: "--config-path=/p/", files: ["/p/permafrost.conf", "/p/pgbackrest.conf"], includes: ["/p/conf.d"]),
        Case(words: "--config-include-path=/i", files: standard, includes: ["/i"], isIncludeRequired: true),
        Case(
            words: "--config=/c --config-include-path=/i", files: ["/c"], isFileRequired: true, includes: ["/i"],
            isIncludeRequired: true),
        Case(words: "--config=/c --config-path=/p", files: ["/c"], isFileRequired: true, includes: ["/p/conf.d"]),
        Case(words: "--no-config"),
        Case(words: "--no-config --config-include-path=/i", includes: ["/i"], isIncludeRequired: true),
        Case(words: "--no-config --config-path=/p", includes: ["/p/conf.d"]),
    ]

    @Test(arguments: cases)
    func `which files are read`(value: Case) throws {
        var found: ConfigFilePlan?
        _ = try Configuration.parse(
            programPath: "p", arguments: value.words.split(separator: " ").map(String.init) + ["info"], environment: [:]
        ) { (plan) throws(BackupError) in
            found = plan
            return []
        }
        #expect(found?.files == value.files)
        #expect(found?.isFileRequired == value.isFileRequired)
        #expect(found?.includePaths == value.includes)
        #expect(found?.isIncludeRequired == value.isIncludeRequired)
    }

    @Test(arguments: [
        ("", ["/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest.conf"], ["/etc/pgbackrest/conf.d"]),
        ("--config=/p/permafrost.conf", ["/p/permafrost.conf"], []),
        ("--config-path=/p", ["/p/pgbackrest.conf"], ["/p/conf.d"]),
        ("--config-path=/etc/permafrost", ["/etc/permafrost/pgbackrest.conf"], ["/etc/permafrost/conf.d"]),
        ("--config-include-path=/i", ["/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest.conf"], ["/i"]),
        ("--no-config", [], []),
    ])
    func `called as pgbackrest it reads what that reads`(words: String, files: [String], includes: [String]) throws {
        var found: ConfigFilePlan?
        _ = try Configuration.parse(
            programPath: "/usr/bin/pgbackrest", arguments: words.split(separator: " ").map(String.init) + ["info"],
            environment: [:]
        ) { (plan) throws(BackupError) in
            found = plan
            return []
        }
        #expect(found?.files == files)
        #expect(found?.includePaths == includes)
    }

    @Test func `the environment names files too`() throws {
        var found: ConfigFilePlan?
        _ = try Configuration.parse(
            programPath: "p", arguments: ["info"], environment: ["PGBACKREST_CONFIG": "/e"]
        ) { (plan) throws(BackupError) in
            found = plan
            return []
        }
        #expect(found?.files == ["/e"])
    }
}

struct ConfigFileReadingTests {
    /// A directory with these files, removed afterwards.
    private func withFiles(_ files: [String: Data], _ body: (String) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("options-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        try FileManager.default.createDirectory(
            at: directory.appendingPathComponent("conf.d"), withIntermediateDirectories: true)
        for (name, data) in files { try data.write(to: directory.appendingPathComponent(name)) }
        try body(directory.path)
    }

    private func load(_ words: String...) throws -> Configuration {
        try Configuration.load(programPath: "p", arguments: words + ["--stanza=m", "archive-push"], environment: [:])
    }

    @Test func `the file comes first, then conf.d in order`() throws {
        try withFiles([
            "pgbackrest.conf": Data("[m]\npg1-path=/d\n".utf8), "conf.d/b.conf": Data("[global]\nbogus-b=1\n".utf8),
            "conf.d/a.conf": Data("[global]\nbogus-a=1".utf8), "conf.d/.conf": Data("nonsense".utf8),
            "conf.d/c.conf~": Data("nonsense".utf8),
        ]) { directory in
            let configuration = try load("--config-path=\(directory)")
            #expect(configuration.string(.pgPath) == "/d")
            #expect(configuration.warnings.count == 2)
            #expect(configuration.warnings.first?.contains("bogus-a") == true)
        }
    }

    @Test func `permafrost.conf wins over pgbackrest.conf`() throws {
        try withFiles([
            "pgbackrest.conf": Data("[m]\npg1-path=/theirs\n".utf8),
            "permafrost.conf": Data("[m]\npg1-path=/ours\n".utf8),
        ]) { directory in
            let configuration = try load("--config-path=\(directory)")
            #expect(configuration.string(.pgPath) == "/ours")
        }
    }

    @Test func `what is named must exist and be text`() throws {
        try withFiles(["bad.conf": Data([0x5B, 0xFF, 0x5D])]) { directory in
            let cases: [(String, ErrorCode)] = [
                ("--config=\(directory)/none.conf", .fileMissing), ("--config=\(directory)/bad.conf", .format),
                ("--config=\(directory)", .fileRead), ("--config-include-path=\(directory)/none", .pathMissing),
            ]
            for (word, code) in cases {
                #expect {
                    try load(word)
                } throws: {
                    ($0 as? BackupError)?.code == code
                }
            }
            #expect(throws: Never.self) { try load("--config-path=\(directory)/none") }
        }
    }
}
