import BackupModel

/// The text of `kubectl permafrost --help`, for 80 columns.
package enum PluginHelp {
    private static let summaries: [PluginArguments.Command: (usage: String, text: String)] = [
        .status: ("status [CLUSTER]", "show a cluster and its backups, or all clusters"),
        .backup: ("backup CLUSTER", "back a cluster up now"),
        .restore: ("restore CLUSTER", "restore a cluster, after showing what that means"),
        .version: ("version", "show the version"),
    ]

    private static let details: [PluginArguments.Command: String] = [
        .status:
            "All that is told is in the status of the objects: no pod is asked. Without a cluster there is a line for each "
            + "one of the namespace; what TROUBLE names, and why one is not ready, the cluster's own screen explains. Times are UTC. The exit code is "
            + "0 however the cluster is: scripts read --output=json.",
        .backup:
            "Makes an SGBackup or a PerconaPGBackup, whichever the cluster goes with, and tells its name. An SGBackup that "
            + "was made so is kept until it is deleted. With --wait the exit code is 1 when the backup fails.",
        .restore:
            "Shows what is replaced, from which backup, to which moment and what is lost, and asks. A PerconaPGCluster is "
            + "restored in place, by a PerconaPGRestore. An SGCluster stays as it is: --as names a new one, which has its "
            + "spec and begins with the backup. Without --set the newest backup before the moment is taken, without a moment "
            + "all WAL that is archived is replayed. With --dry-run the object goes to standard output, the plan in front "
            + "of it as a comment, or to standard error for json.",
        .version: "Shows the version of the program.",
    ]

    static func summary(of command: PluginArguments.Command) -> String { summaries[command]?.text ?? "" }

    package static func text(_ command: PluginArguments.Command?) -> String {
        guard let command else { return general }
        let summary = summaries[command] ?? (command.rawValue, "")
        var lines = ["kubectl permafrost \(command.rawValue) - \(summary.text)", ""]
        lines += ["Usage:", "    kubectl permafrost \(summary.usage) [options]", ""]
        lines += Help.wrapped(details[command] ?? "", indent: 0)
        lines += ["", "Options:", ""]
        for option in PluginArguments.options where option.isValid(for: command) {
            let letter = option.letter.map { "-\($0), " } ?? "    "
            let value = option.value.map { "=\($0)" } ?? ""
            lines += Help.columns("\(letter)--\(option.name)\(value)", option.help, indent: 2, column: 26)
        }
        return joined(lines)
    }

    private static var general: String {
        var lines = [
            "Permafrost \(ProgramVersion.number) - PostgreSQL and its backups on Kubernetes", "", "Usage:",
            "    kubectl permafrost COMMAND [CLUSTER] [options]", "", "Commands:",
        ]
        for command in PluginArguments.Command.allCases {
            let summary = summaries[command] ?? (command.rawValue, "")
            lines += Help.columns(summary.usage, summary.text, indent: 4, column: 24)
        }
        lines += [""]
        lines += Help.wrapped(
            "A cluster is an SGCluster or a PerconaPGCluster; where both have the name, sgcluster/NAME and "
                + "perconapgcluster/NAME say which is meant. -n, --context and --kubeconfig are those of kubectl.",
            indent: 0)
        lines += ["", "'kubectl permafrost COMMAND --help' shows a command and its options."]
        return joined(lines)
    }

    private static func joined(_ lines: [String]) -> String { lines.joined(separator: "\n") + "\n" }
}
