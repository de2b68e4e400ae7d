extension Configuration {
    /// Parses arguments (without `argv[0]`) and environment; `readFiles` is asked for the configuration files, once at
    /// most, and not for `help` and `version`.
    ///
    /// `help`, `-h` and `--help` give `.help` with the command and the option as parameters.
    /// Throws with pgBackRest's codes: 31 for options that are unknown or do not belong, 32 for values, 37 for what is
    /// missing, 67 for what this version does not support yet.
    package static func parse(
        programPath: String, arguments: [String], environment: [String: String],
        readFiles: (ConfigFilePlan) throws(BackupError) -> [ConfigFile]
    ) throws(BackupError) -> Configuration {
        var line = try ParsedCommandLine(arguments)
        var warnings: [String] = []
        var sections = try ConfigSections([])
        var plan = ConfigFilePlan([:])
        if line.command.readsConfiguration || line.command == .tls {
            try addEnvironment(environment, for: line.command, to: &line.options, warnings: &warnings)
        }
        if line.command.readsConfiguration {
            plan = ConfigFilePlan(line.options, isPgBackRest: ProgramVersion.isPgBackRest(programPath))
            sections = try ConfigSections(try readFiles(plan))
        }
        return try Configuration(
            programPath: programPath, line, warnings,
            Inputs(
                arguments: arguments, environment: environment, sections: sections, optionWords: line.optionWords,
                filePlan: plan))
    }

    /// The same from values alone.
    package static func parse(
        programPath: String = "permafrost", arguments: [String], environment: [String: String] = [:],
        files: [ConfigFile] = []
    ) throws(BackupError) -> Configuration {
        try parse(programPath: programPath, arguments: arguments, environment: environment) {
            (_) throws(BackupError) in files
        }
    }

    /// Stanzas that the configuration files name, in their order.
    package var stanzasInFiles: [String] {
        var stanzas: [String] = []
        for name in inputs.sections.names {
            let stanza = String(name.prefix { $0 != ":" })
            if stanza != "global", !stanza.isEmpty, !stanzas.contains(stanza) { stanzas.append(stanza) }
        }
        return stanzas
    }

    /// The same run for one stanza, when none was given: `check` and `info` go through ``stanzasInFiles``.
    package func forStanza(_ stanza: String) throws(BackupError) -> Configuration {
        var inputs = inputs
        inputs.arguments.append("--stanza=\(stanza)")
        var line = try ParsedCommandLine(inputs.arguments)
        var warnings: [String] = []
        try addEnvironment(inputs.environment, for: line.command, to: &line.options, warnings: &warnings)
        return try Configuration(programPath: programPath, line, warnings, inputs)
    }

    private init(
        programPath: String, _ line: ParsedCommandLine, _ warnings: [String], _ inputs: Inputs
    ) throws(BackupError) {
        var options = line.options
        self.command = line.command
        role = line.role
        job = line.job
        self.parameters = line.parameters
        self.programPath = programPath
        self.warnings = warnings
        self.inputs = inputs
        resolved = [:]
        keys = [:]
        if command == .help {
            if options[OptionKey(name: .man, index: 0)]?.isNegated == false {
                resolved[OptionKey(name: .man, index: 0)] = ResolvedOption(
                    value: .bool(true), text: "y", source: .commandLine)
            }
            return
        }
        try addFiles(
            inputs.sections, for: command, stanza: options[OptionKey(name: .stanza, index: 0)]?.values.first,
            to: &options, warnings: &self.warnings)
        let resolver = try OptionResolver(command: command, programPath: programPath, given: options)
        resolved = resolver.resolved
        keys = resolver.keys
        self.warnings += resolver.warnings
        try checkTogether()
    }
}

extension Command {
    /// `help`, `version`, `completion` and `tls` work even where the configuration is broken, or not there yet.
    package var readsConfiguration: Bool { CommandSet.running.contains(asSet) }
}
