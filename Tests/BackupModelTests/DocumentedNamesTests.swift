import Foundation
import Testing

@testable import BackupModel

/// What the pages name exists: commands, options, exit codes, files.
struct DocumentedNamesTests {
    static let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
    static let pages = ["README.md", "docs/user-guide.md", "docs/ARCHITECTURE.md", "docs/write-ordering.md"]

    private func text(_ page: String) throws -> String {
        try String(contentsOf: Self.root.appending(path: page), encoding: .utf8)
    }

    /// In lines that call the program, and in spans of code that begin with `--`.
    @Test(arguments: pages)
    func optionsExist(page: String) throws {
        let text = try text(page)
        let calls = text.split(separator: "\n").filter { $0.hasPrefix("permafrost ") }.joined(separator: "\n")
        let spans = text.matches(of: #/`(--[^`]*)`/#).map(\.1).joined(separator: "\n")
        let named = [calls, spans].joined(separator: "\n").matches(of: #/(?:^|\s)--([a-z0-9-]+)/#).map { String($0.1) }
        for name in Set(named) {
            #expect(try WrittenOption.find(name, prefixes: false) != nil, "--\(name)")
        }
    }

    /// Lines of configuration, and spans of code such as `repo1-retention-full=2`.
    @Test(arguments: pages)
    func settingsExist(page: String) throws {
        let text = try text(page)
        let blocks = text.matches(of: #/(?s)```ini run\n(.*?)```/#).flatMap { $0.1.matches(of: #/(?m)^([a-z0-9-]+)=/#) }
        let spans = text.matches(of: #/`((?:repo|pg)\d-[a-z-]+)(?:=[^`]*)?`/#)
        for name in Set(blocks.map { String($0.1) } + spans.map { String($0.1) }) where !name.hasSuffix("-") {
            #expect(try WrittenOption.find(name, prefixes: false) != nil, "\(name)")
        }
    }

    @Test(arguments: pages)
    func commandsExist(page: String) throws {
        for line in try text(page).split(separator: "\n") where line.contains(#/^permafrost \S/#) {
            let command = line.split(separator: " ").dropFirst().first { !$0.hasPrefix("-") }
            #expect(command.flatMap { Command(rawValue: String($0)) } != nil, "\(line)")
        }
    }

    @Test func everyCommandHasAnExampleThatIsRun() throws {
        let blocks = try text("docs/user-guide.md").matches(of: #/(?s)```sh run\n(.*?)```/#).map { String($0.1) }
            .joined()
        for command in Command.allCases {
            let isCalled =
                try blocks.contains(Regex("permafrost [^\n]*\\b\(command.rawValue)\\b"))
                || blocks.contains("\(command.rawValue) %p")
            #expect(isCalled, "\(command.rawValue)")
        }
    }

    /// The table of behaviours names files of ours.
    @Test func filesExist() throws {
        let rows = try text("docs/ARCHITECTURE.md").split(separator: "\n").filter {
            $0.hasPrefix("|") && $0.contains(".swift`")
        }
        #expect(rows.count > 10)
        for row in rows {
            var directory = ""
            for span in row.matches(of: #/`([A-Za-z\/+-]+(?:\.swift|\/))`/#).map({ String($0.1) }) {
                let candidates = [span, directory + span, String(directory.prefix { $0 != "/" }) + "/" + span]
                let found = candidates.first {
                    FileManager.default.fileExists(atPath: Self.root.appending(path: "Sources/\($0)").path)
                }
                #expect(found != nil, "\(span)")
                directory = found.map { String($0[..<($0.lastIndex(of: "/") ?? $0.startIndex)]) + "/" } ?? directory
            }
        }
    }

    @Test func exitCodesAreThoseOfTheProgram() throws {
        let guide = try text("docs/user-guide.md")
        let section =
            guide.components(separatedBy: "\n## Exit codes\n").last?.components(separatedBy: "\n## ").first ?? ""
        let codes = section.split(separator: "\n").filter { $0.hasPrefix("| ") }.flatMap { row in
            row.matches(of: #/\| ([\d, ]+) \|/#).flatMap { $0.1.split(separator: ", ").compactMap { Int32($0) } }
        }
        #expect(codes.count > 40)
        let source = try text("Sources/BackupModel/ErrorCode.swift")
        for code in codes where code > 1 { #expect(source.contains("rawValue: \(code))"), "\(code)") }
    }
}
