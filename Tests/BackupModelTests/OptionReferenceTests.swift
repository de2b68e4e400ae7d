import Foundation
import Testing

@testable import BackupModel

/// docs/options.md is made from the option table, and this suite fails when it is not what the table says now.
/// `PERMAFROST_RECORD=1 swift test --filter OptionReferenceTests` writes it.
struct OptionReferenceTests {
    @Test func theReferencePageIsWhatTheTableSays() throws {
        let path = URL(filePath: #filePath).appending(path: "../../../docs/options.md").standardizedFileURL
        let rendered = OptionReference.page()
        if ProcessInfo.processInfo.environment["PERMAFROST_RECORD"] == "1" {
            try rendered.write(to: path, atomically: true, encoding: .utf8)
        }
        let written = try String(contentsOf: path, encoding: .utf8)
        #expect(written == rendered, "docs/options.md is out of date: write it again with PERMAFROST_RECORD=1")
    }

    @Test func everyOptionIsOnThePageOnce() {
        let lines = OptionReference.page().split(separator: "\n")
        for definition in OptionTable.definitions where !definition.flags.contains(.internalUse) {
            let name = "`\(definition.displayName(1))`"
            let rows = lines.filter { $0.hasPrefix("| \(name) |") }
            #expect(rows.count == 1, "\(name)")
        }
    }
}

/// The Markdown of docs/options.md.
private enum OptionReference {
    static let headings: [(title: String, options: [OptionDefinition])] = [
        ("Repository", OptionDefinition.repository),
        ("Object stores", OptionDefinition.repositoryCloud + objectStores),
        ("Repository host", hosts),
        ("PostgreSQL", OptionDefinition.postgres),
        ("Backup and archive", OptionDefinition.archiveAndBackup),
        ("Restore", OptionDefinition.restoreAndServer.filter { !$0.name.rawValue.hasPrefix("tls-server-") }),
        ("General", OptionDefinition.general),
        ("Command line only", OptionDefinition.commandLine),
    ]

    private static let objectStores = OptionDefinition.repositoryHost.filter {
        $0.name.rawValue.hasPrefix("repo-storage-")
    }
    private static let hosts =
        OptionDefinition.repositoryHost.filter { $0.name.rawValue.hasPrefix("repo-host") }
        + OptionDefinition.restoreAndServer.filter { $0.name.rawValue.hasPrefix("tls-server-") }
    private static let ours = [
        OptionName.inPlace, .logFormat, .progress, .rateLimitDisk, .rateLimitNetwork, .repoS3Sse, .repoS3StorageClass,
        .repoStorageDownloadConcurrency, .repoStorageUploadConcurrency, .startTimeout, .tlsDays, .tlsPath,
        .tlsServerAllow,
    ].compactMap { OptionTable.definition($0).map { "`\($0.displayName(1))`" } }.joined(separator: ", ")

    static func page() -> String {
        var text = """
            # Options

            This page is made from the table that the program itself reads; `permafrost help COMMAND OPTION` says more
            about each. Names, values and defaults are pgBackRest's, but for a few options that it does not have:
            \(ours).

            - On the command line an option is `--name=value`. A `y`/`n` option is `--name` or `--no-name`.
            - In a configuration file it is `name=value`, in `[global]`, `[global:COMMAND]`, `[STANZA]` or
              `[STANZA:COMMAND]`; the later of these wins. Options named `pg…` belong into the sections of a stanza.
            - In the environment it is `PERMAFROST_NAME` or `PGBACKREST_NAME`, in capitals, `_` for `-`. The first of the
              two wins.
            - The command line wins over the environment, and that over the files.
            - `repo1-…` exists for `repo2-…`, `repo3-…` and so on, `pg1-…` likewise.
            - Sizes take `KiB`, `MiB`, `GiB`, `TiB`, `PiB`; times `ms`, `s`, `m`, `h`, `d`, `w`.

            """
        for (title, options) in headings {
            let rows = options.filter { !$0.flags.contains(.internalUse) && isUsable($0) }
            if rows.isEmpty { continue }
            text += "\n## \(title)\n\n| option | value | default | commands | meaning |\n"
            text += "| --- | --- | --- | --- | --- |\n"
            for option in rows.sorted(by: { $0.name.rawValue < $1.name.rawValue }) { text += row(option) }
        }
        let refused = OptionTable.definitions.filter { !$0.flags.contains(.internalUse) && !isUsable($0) }
            .sorted { $0.name.rawValue < $1.name.rawValue }
        text += """

            ## Refused

            pgBackRest has these. A value that would change what Permafrost does is an error that names the option, never
            ignored.

            | option | meaning | refused |
            | --- | --- | --- |

            """
        for option in refused {
            let command = commands(option).first ?? .backup
            let time = option.support(for: command) == .never ? "for good" : "in this version"
            let reason = option.reasonForRefusal.map { ": \($0)" } ?? ""
            text += "| `\(option.displayName(1))` | \(escaped(option.summary(for: command))) | \(time)\(reason) |\n"
        }
        text += """

            ## Other names

            Names of earlier versions of pgBackRest are taken as well; `N` is the number of the group.

            | name | is |
            | --- | --- |

            """
        let renamed = OptionTable.definitions.flatMap { option in
            option.deprecated.filter { $0 != option.name.rawValue }.map { (old: $0, option: option) }
        }
        for (old, option) in renamed.sorted(by: { $0.old < $1.old }) {
            let new = option.displayName(1)
            text +=
                "| `\(old.replacing("?", with: "N"))` | `\(old.contains("?") ? new.replacing("1-", with: "N-") : new)` |\n"
        }
        return text
    }

    private static func commands(_ option: OptionDefinition) -> [Command] {
        Command.allCases.filter { option.isValid(for: $0) && !option.isInternal(for: $0) }
    }

    private static func isUsable(_ option: OptionDefinition) -> Bool { !usableCommands(option).isEmpty }

    private static func usableCommands(_ option: OptionDefinition) -> [Command] {
        commands(option).filter { command in
            switch option.support(for: command) {
            case .supported, .accepted: true
            case .notYet, .never: false
            }
        }
    }

    private static func row(_ option: OptionDefinition) -> String {
        let commands = usableCommands(option)
        // These are a world of their own.
        let all = Command.allCases.filter {
            $0.readsConfiguration && !CommandSet.serving.contains($0.asSet)
        }
        let missing = all.filter { !commands.contains($0) }
        let everywhere = missing.isEmpty ? "all" : "all but " + missing.map(\.rawValue).joined(separator: ", ")
        let cells = [
            "`\(option.displayName(1))`",
            perCommand(commands) { value(option, $0) },
            perCommand(commands) { defaultValue(option, $0) },
            missing.count <= 3 ? everywhere : commands.map(\.rawValue).joined(separator: ", "),
            perCommand(commands) { meaning(option, $0) },
        ]
        return "| \(cells.joined(separator: " | ")) |\n"
    }

    /// One text when all commands have the same, otherwise one for each kind.
    private static func perCommand(_ commands: [Command], _ text: (Command) -> String) -> String {
        var kinds: [(text: String, commands: [String])] = []
        for command in commands {
            let text = text(command)
            if let index = kinds.firstIndex(where: { $0.text == text }) {
                kinds[index].commands.append(command.rawValue)
            } else {
                kinds.append((text, [command.rawValue]))
            }
        }
        if kinds.count <= 1 { return kinds.first?.text ?? "" }
        return kinds.filter { !$0.text.isEmpty }
            .map { "\($0.commands.joined(separator: ", ")): \($0.text)" }.joined(separator: "; ")
    }

    private static func value(_ option: OptionDefinition, _ command: Command) -> String {
        let refused = option.unsupportedValues(for: command)
        let allowed = option.allowed(for: command).filter { !refused.contains($0) }
        if option.type == .keys, let word = allowed.first { return "number, repeatable; or `\(word)`" }
        if !allowed.isEmpty { return allowed.map { "`\($0)`" }.joined(separator: ", ") }
        let kind =
            switch option.type {
            case .bool: "y or n"
            case .integer: "number"
            case .size: "size"
            case .time: "time"
            case .string, .enumeration: "text"
            case .path: "absolute path"
            case .list: "text, repeatable"
            case .hash: "key=value, repeatable"
            case .keys: "number"
            }
        let ranges = option.ranges.map { "\($0.minimum) to \($0.maximum)" + ($0.when.map { " for \($0)" } ?? "") }
        return ([kind] + ranges).joined(separator: ", ")
    }

    private static func defaultValue(_ option: OptionDefinition, _ command: Command) -> String {
        if let text = option.defaultDescription(for: command, programPath: "permafrost") { return "`\(text)`" }
        return option.isRequired(for: command) ? "must be given" : ""
    }

    private static func meaning(_ option: OptionDefinition, _ command: Command) -> String {
        var text = option.summary(for: command)
        if let reason = option.reasonForNoEffect(for: command) { text += " (accepted, without effect: \(reason))" }
        let refused = option.unsupportedValues(for: command)
        if !refused.isEmpty { text += " (refused: \(refused.joined(separator: ", ")))" }
        if option.flags.contains(.secure) { text += " (not on the command line)" }
        return escaped(text)
    }

    private static func escaped(_ text: String) -> String { text.replacing("|", with: "\\|") }
}
