import BackupModel

/// An `archive_command`, taken apart as a shell would, as far as that can be done without running it.
package struct ArchiveCommandLine: Sendable, Equatable {
    /// Path or name of our program or pgBackRest; nil when it is called in some other way, such as from a script.
    package var program: String?
    /// What follows the program up to the end of its command.
    package var arguments: [String] = []

    private static let operators: Set<String> = ["&&", "||", ";", "|", "&", ">", ">>", "<", "2>", "2>&1", ")", "("]

    package init(_ text: String) {
        var words = ShellWords.split(text, isScript: true)[...]
        while let word = words.popFirst() {
            let name = word.split(separator: "/").last ?? ""
            guard name == "permafrost" || name == "pgbackrest" else { continue }
            program = word
            arguments = Array(words.prefix { !Self.operators.contains($0) })
            return
        }
    }

    /// The last value of `--name=value` or `--name value`.
    package func value(of name: String) -> String? {
        var found: String?
        for (index, argument) in arguments.enumerated() {
            if argument.hasPrefix("--\(name)=") {
                found = String(argument.dropFirst(name.count + 3))
            } else if argument == "--\(name)", index + 1 < arguments.count {
                found = arguments[index + 1]
            }
        }
        return found
    }
}
