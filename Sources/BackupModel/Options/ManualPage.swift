/// The manual page in the `man` macros, made from the option table.
package enum ManualPage {
    package static func text(programPath: String = "permafrost") -> String {
        let program = String(programPath.split(separator: "/").last ?? "permafrost")
        var page =
            ".TH \(program.uppercased()) 1 \"\" \"Permafrost \(ProgramVersion.number)\" \"Permafrost\"\n.nh\n.ad l\n"
        page += section("NAME") + "\(escaped(program)) \\- backup and restore for PostgreSQL\n"
        page += section("SYNOPSIS")
        page += ".B \(escaped(program))\n[\\fIoptions\\fR] \\fIcommand\\fR [\\fIparameters\\fR]\n"
        page += section("DESCRIPTION")
        page += paragraph(
            "Backs up PostgreSQL clusters, archives their WAL without pause, keeps as much of both as the retention "
                + "says, and restores a cluster to any moment in between. Repositories, options and commands are "
                + "those of pgBackRest; either program continues what the other began.")
        page += commands(program)
        page += options()
        page += configuration()
        page += examples(program)
        page += section("SEE ALSO") + paragraph("pg_basebackup(1), pg_verifybackup(1), pgbackrest(1)")
        return page
    }

    private static func commands(_ program: String) -> String {
        var text = section("COMMANDS")
        for command in Command.allCases {
            text += ".TP\n\\fB\(escaped(command.rawValue))\\fR\(escaped(command.parameterUsage))\n"
            text += paragraph(sentence(command.summary))
            if !command.details.isEmpty { text += ".IP\n" + paragraph(command.details) }
        }
        return text
    }

    private static func options() -> String {
        var text = section("OPTIONS")
        text += paragraph(
            "On the command line an option is --name=value or --name value; one that is y or n is --name or --no-name. "
                + "--reset-name takes the default, whatever the configuration says. Names may be cut short as long "
                + "as they are unique. Of pg1 and repo1 there may be others, up to 256.")
        let definitions = OptionTable.definitions.sorted { $0.name.rawValue < $1.name.rawValue }
        for heading in Help.headings {
            let members = definitions.compactMap { option -> String? in
                let commands = Command.allCases.filter { option.isOffered(for: $0) }
                guard let first = commands.first, option.heading(for: first) == heading else { return nil }
                return entry(option, commands)
            }
            if !members.isEmpty { text += ".SS \(escaped(heading))\n" + members.joined() }
        }
        return text
    }

    private static func entry(_ option: OptionDefinition, _ commands: [Command]) -> String {
        guard let first = commands.first else { return "" }
        var text = ".TP\n\\fB\(escaped("--\(option.displayName(1))"))\\fR"
        text += option.type == .bool ? "\n" : "=\\fI\(escaped(placeholder(option)))\\fR\n"
        var said: [String] = []
        for command in commands {
            let words = [sentence(option.summary(for: command)), option.details(for: command)].compactMap { $0 }
            let all = words.joined(separator: " ")
            if !said.contains(all) { said.append(all) }
        }
        text += paragraph(said.joined(separator: " "))
        var facts: [String] = []
        let allowed = option.allowed(for: first).filter { !option.unsupportedValues(for: first).contains($0) }
        if commands.allSatisfy({ option.allowed(for: $0) == option.allowed(for: first) }), !allowed.isEmpty {
            facts.append("One of \(allowed.joined(separator: ", ")).")
        }
        if let value = option.defaultDescription(for: first, programPath: "permafrost"),
            commands.allSatisfy({ option.defaultDescription(for: $0, programPath: "permafrost") == value })
        {
            facts.append("Default: \(value).")
        }
        if let range = option.ranges.first, option.ranges.count == 1 {
            facts.append("From \(range.minimum) to \(range.maximum).")
        }
        if option.flags.contains(.secure) { facts.append("Not on the command line.") }
        if let reason = option.reasonForNoEffect(for: first) { facts.append("Without effect: \(reason).") }
        let everywhere = Command.allCases.filter { CommandSet.work.contains($0.asSet) }
        if !Set(everywhere).isSubset(of: commands) {
            facts.append("Commands: \(commands.map(\.rawValue).joined(separator: ", ")).")
        }
        if !facts.isEmpty { text += ".IP\n" + paragraph(facts.joined(separator: " ")) }
        return text
    }

    private static func configuration() -> String {
        section("CONFIGURATION")
            + paragraph(
                "The first of these files is read that exists, and after it all *.conf in the directory conf.d beside "
                    + "it: /etc/permafrost/permafrost.conf, /etc/pgbackrest/pgbackrest.conf, /etc/pgbackrest.conf. "
                    + "Called as pgbackrest, by a link, the program reads the last two only. A section is [global], "
                    + "[global:command], [stanza] or [stanza:command]; the later of these wins.")
            + section("ENVIRONMENT")
            + paragraph(
                "PERMAFROST_NAME or PGBACKREST_NAME gives an option, in capitals and with _ for -. The command line "
                    + "wins over the environment, and that over files.")
            + section("EXIT STATUS")
            + paragraph(
                "0: all went well. 1, of archive-get only: no repository has the file. 25 to 125: an error; the numbers "
                    + "are pgBackRest's, and the message has it in brackets.")
    }

    private static func examples(_ program: String) -> String {
        section("EXAMPLES")
            + [
                (
                    "Set up a stanza and see that archiving works:",
                    ["--stanza=main stanza-create", "--stanza=main check"]
                ),
                ("Back up, into all repositories in one pass:", ["--stanza=main --type=full --repo=all backup"]),
                (
                    "Restore to a moment:",
                    ["--stanza=main --delta --type=time --target=\"2026-01-01 12:00:00+00\" restore"]
                ),
            ].map { title, lines in
                ".PP\n" + paragraph(title) + ".RS\n.nf\n"
                    + lines.map { escaped("\(program) \($0)") + "\n" }.joined() + ".fi\n.RE\n"
            }.joined()
    }

    private static func placeholder(_ option: OptionDefinition) -> String {
        switch option.type {
        case .bool, .enumeration: "value"
        case .integer: "number"
        case .keys: "N"
        case .size: "size"
        case .time: "time"
        case .string, .list: "text"
        case .path: "path"
        case .hash: "key=value"
        }
    }

    private static func section(_ title: String) -> String { ".SH \(title)\n" }

    private static func sentence(_ text: String) -> String {
        text.prefix(1).uppercased() + text.dropFirst() + "."
    }

    /// One line: troff fills it.
    private static func paragraph(_ text: String) -> String { escaped(text) + "\n" }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "\"": result += "\\(dq"
            case "'": result += "\\(aq"
            case "^": result += "\\(ha"
            case "~": result += "\\(ti"
            default: result.append(character)
            }
        }
        return result.hasPrefix(".") ? "\\&" + result : result
    }
}

extension OptionDefinition {
    /// Whether help and the manual tell of it as something to use.
    func isOffered(for command: Command) -> Bool {
        guard isValid(for: command), !isInternal(for: command) else { return false }
        switch support(for: command) {
        case .supported, .accepted: return true
        case .notYet, .never: return false
        }
    }
}
