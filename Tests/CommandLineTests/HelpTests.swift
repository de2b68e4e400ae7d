import Foundation
import TestSupport
import Testing

/// What the program tells of itself.
@Suite(.keepsScratchOnFailure, .requires(.permafrost), .timeLimit(.minutes(10)))
struct HelpTests {
    @Test func everyCommandAndOptionHasHelpThatFits() async throws {
        let general = try await help([])
        let commands = general.matches(of: #/(?m)^    ([a-z][a-z-]*)  /#).map { String($0.1) }
        #expect(commands.count >= 20 && commands.contains("backup") && commands.contains("verify"))
        for command in commands where !["completion", "help", "version"].contains(command) {
            let text = try await help([command])
            let options = text.matches(of: #/(?m)^  --([a-z0-9-]+)/#).map { String($0.1) }
            #expect(!options.isEmpty || !text.contains("Options:"), "\(command)")
            // All of an option's text comes of one table: its own page for the richest commands, a sample elsewhere.
            let isRich = ["backup", "restore"].contains(command)
            for option in isRich ? options : Array(options.prefix(1)) {
                let page = try await help([command, option])
                #expect(page.contains("--\(option)"))
                #expect(page.contains("PERMAFROST_\(option.uppercased().replacing("-", with: "_"))"), "\(page)")
            }
        }
    }

    @Test("help has its ways", arguments: [["help"], ["--help"], ["-h"], []])
    func general(arguments: [String]) async throws {
        let result = try await run(arguments).expecting(0)
        #expect(result.stdout.contains("Usage:") && result.stdout.contains("stanza-create") && result.stderr.isEmpty)
    }

    @Test("help of a command has its ways", arguments: [["help", "backup"], ["backup", "--help"], ["backup", "-h"]])
    func ofCommand(arguments: [String]) async throws {
        #expect(try await run(arguments).expecting(0).stdout.contains("--compress-type"))
    }

    @Test func versionIsOneLine() async throws {
        for arguments in [["version"], ["--version"]] {
            let text = try await run(arguments).expecting(0).stdout
            #expect(text.wholeMatch(of: #/Permafrost [0-9]+\.[0-9]+\.[0-9]+[^\n]*\n/#) != nil, "\(text)")
        }
        #expect(try await run(["version", "--output=num"]).expecting(0).stdout.wholeMatch(of: #/[0-9]+\n/#) != nil)
    }

    @Test func underItsOtherNameItIsTheSame() async throws {
        let other = try PermafrostPrograms.locate().directory + "/bin/pgbackrest"
        let help = try await ProcessRunner.run(other, ["help"], asUser: ProcessRunner.serverUser).expecting(0)
        #expect(help.stdout.contains("pgbackrest [options] COMMAND"))
        // From elsewhere, through a link to the link.
        try await withScratch { scratch in
            try await ProcessRunner.run(
                "ln", ["-s", other, scratch.subpath("pgbackrest")], asUser: ProcessRunner.serverUser
            ).expecting(0)
            try await ProcessRunner.run(scratch.subpath("pgbackrest"), ["version"], asUser: ProcessRunner.serverUser)
                .expecting(0)
        }
    }

    @Test func aReaderThatHasEnoughIsNoError() async throws {
        let launcher = try PermafrostPrograms.locate().launcher
        for command in ["help", "help backup", "version"] {
            let result = try await ProcessRunner.run(
                "bash", ["-c", "\(launcher) \(command) | head -n 1; echo ${PIPESTATUS[0]}"],
                asUser: ProcessRunner.serverUser)
            // 141: ended by SIGPIPE in silence, as cat is.
            #expect(["0", "141"].contains(result.stdout.split(separator: "\n").last), "\(result)")
            #expect(result.stderr.isEmpty, "\(result)")
        }
    }

    private func help(_ arguments: [String]) async throws -> String {
        let result = try await run(["help"] + arguments)
        #expect(result.status == 0 && result.stderr.isEmpty, "\(result)")
        for line in result.stdout.split(separator: "\n") where line.count > 100 || line.hasSuffix(" ") {
            Issue.record("too long, or ends in a space: '\(line)' of help \(arguments.joined(separator: " "))")
        }
        return result.stdout
    }

    private func run(_ arguments: [String]) async throws -> ProcessResult {
        try await ProcessRunner.run(
            PermafrostPrograms.locate().launcher, arguments, asUser: ProcessRunner.serverUser)
    }
}
