/// Adds what the environment says to what the command line has not said.
///
/// `PERMAFROST_X` wins over `PGBACKREST_X`. Names that are unknown are a warning, values that are empty an error.
func addEnvironment(
    _ environment: [String: String], for command: Command, to options: inout GivenOptions, warnings: inout [String]
) throws(BackupError) {
    for prefix in ["PERMAFROST_", "PGBACKREST_"] {
        for (variable, value) in environment.filter({ $0.key.hasPrefix(prefix) }).sorted(by: { $0.key < $1.key }) {
            let name = variable.dropFirst(prefix.count).lowercased().map { $0 == "_" ? "-" : $0 }
            guard let written = try WrittenOption.find(String(name), prefixes: false) else {
                warnings.append("environment contains invalid option '\(variable)'")
                continue
            }
            if written.isNegated || written.isReset {
                let form = written.isNegated ? "negate" : "reset"
                warnings.append("environment contains invalid \(form) option '\(variable)'")
                continue
            }
            let definition = written.definition
            guard definition.isValid(for: command) else { continue }
            guard !value.isEmpty else {
                throw BackupError(.optionInvalidValue, "environment variable '\(variable)' must have a value")
            }
            let key = OptionKey(name: definition.name, index: written.index)
            guard options[key] == nil else { continue }
            var given = GivenOption(source: .environment)
            if definition.type == .bool {
                guard value == "y" || value == "n" else {
                    throw BackupError(
                        .optionInvalidValue, "environment boolean option '\(variable)' must be 'y' or 'n'")
                }
                given.isNegated = value == "n"
            } else if definition.isRepeatable {
                given.values = value.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            } else {
                given.values = [value]
            }
            options[key] = given
        }
    }
}
