import Testing

@testable import BackupModel

struct CompletionTableTests {
    static let table = CompletionTable(program: "permafrost")

    /// What is offered must be taken: each candidate is parsed with the command that it is offered for.
    @Test func `what is offered is known and belongs to the command`() throws {
        for (command, options) in Self.table.own {
            let isWorking = CommandSet.work.contains(command.asSet)
            for candidate in options + (isWorking ? Self.table.common : []) {
                let name = String(candidate.text.dropFirst(2).prefix { $0 != "=" })
                let written = try #require(try WrittenOption.find(name, prefixes: false), "\(name)")
                #expect(written.definition.isOffered(for: command), "\(command) \(name)")
                #expect(written.definition.type == .bool || candidate.text.hasSuffix("=") || written.isNegated)
            }
        }
    }

    @Test func `every option that is of use is offered`() {
        for definition in OptionTable.definitions where !definition.flags.contains(.secure) {
            for command in Command.allCases where definition.isOffered(for: command) {
                let name = "--\(definition.displayName(1))"
                let own = Self.table.own.first { $0.command == command }?.options ?? []
                let isThere = (own + Self.table.common).contains { $0.text == name || $0.text == "\(name)=" }
                #expect(isThere, "\(command) \(name)")
            }
        }
    }

    @Test func `values are those that the command takes`() {
        for row in Self.table.values {
            guard let command = row.command else { continue }
            let definition = OptionTable.definitions.first { "--\($0.displayName(1))" == row.option }
            #expect(row.words.allSatisfy { definition?.allowed(for: command).contains($0) == true }, "\(row)")
        }
        #expect(Self.table.files.contains("--config"))
        #expect(Self.table.directories.contains("--pg1-path") && Self.table.directories.contains("--repo1-path"))
    }

    @Test func `the manual page tells of every option and command that is of use`() {
        let page = ManualPage.text()
        for definition in OptionTable.definitions {
            let name = "--\(definition.displayName(1))".replacing("-", with: "\\-")
            let isOffered = Command.allCases.contains { definition.isOffered(for: $0) }
            #expect(page.contains("\\fB\(name)\\fR") == isOffered, "\(name)")
        }
        for command in Command.allCases {
            #expect(page.contains("\n\\fB\(command.rawValue.replacing("-", with: "\\-"))\\fR"))
        }
        #expect(page.split(separator: "\n").allSatisfy { !$0.hasPrefix("'") && !$0.hasSuffix(" ") })
    }

    @Test func `help can be asked for the manual page`() throws {
        #expect(try parse("help --man").bool(.man))
        #expect(!(try parse("help").bool(.man)))
        #expect(try parse("completion bash").parameters == ["bash"])
    }
}
