/// A line of a configuration file, looked at by itself: which option it sets, and whether the engine takes the value.
package struct FileOption: Sendable, Equatable {
    package let name: OptionName
    /// The group's number; nil for options that have none.
    package let index: Int?

    /// - Throws: `.optionInvalid` for what is no option of files, with what could have been meant; `.optionInvalidValue`
    ///   for a value that it cannot have.
    package init(_ key: String, _ value: String) throws(BackupError) {
        guard let written = try WrittenOption.find(key, prefixes: false) else {
            var hint = WrittenOption.suggestion(for: key)
            if (try? WrittenOption.find("repo1-\(key)", prefixes: false)) != nil {
                hint = "did you mean 'repo1-\(key)'?"
            }
            throw BackupError(.optionInvalid, "there is no option '\(key)'", hint: hint)
        }
        let definition = written.definition
        if written.isNegated || written.isReset {
            throw BackupError(.optionInvalid, "'\(key)' is for the command line only")
        }
        if definition.section == .commandLine {
            throw BackupError(.optionInvalid, "option '\(key)' is for the command line only")
        }
        name = definition.name
        index = definition.group == nil ? nil : written.index
        try definition.check(value, index)
    }

    /// Whether its value must not be seen.
    package var isSecret: Bool { OptionTable.definition(name)?.flags.contains(.secure) ?? false }

    /// Without the group and its number: `s3-region` of `repo2-s3-region`.
    package var ownName: String {
        guard let group = OptionTable.definition(name)?.group else { return name.rawValue }
        return String(name.rawValue.dropFirst(group.rawValue.utf8.count + 1))
    }

    package var group: OptionDefinition.Group? { OptionTable.definition(name)?.group }
}
