import Testing

@testable import BackupModel

struct OptionTableTests {
    @Test func `names have different ordinals`() {
        #expect(OptionName.allCases.count <= 256)
        #expect(Set(OptionName.allCases.map(\.ordinal)).count == OptionName.allCases.count)
    }

    @Test(arguments: OptionName.allCases)
    func `every name is defined once, with a summary, and is in help`(name: OptionName) throws {
        #expect(OptionTable.definitions.count { $0.name == name } == 1)
        let definition = try #require(OptionTable.definition(name))
        #expect(definition.name == name)
        for command in Command.allCases where definition.isValid(for: command) {
            let summary = definition.summary(for: command)
            #expect(!summary.isEmpty && summary.utf8.count <= 72 && !summary.hasSuffix("."))
            let help = try Help.text([command.rawValue, definition.displayName(1)])
            #expect(help.contains("--\(definition.displayName(1))\n"))
            let list = try Help.text([command.rawValue])
            let parts = list.split(separator: "Known, but not supported by this version:", maxSplits: 1)
            let isUnsupported = parts.dropFirst().contains { part in
                part.split { " ,\n".contains($0) }.contains { $0 == definition.displayName(1) }
            }
            let isListed =
                isUnsupported
                || (list.contains("\n  --\(definition.displayName(1)) ")
                    || list.contains("\n  --\(definition.displayName(1))\n"))
            #expect(isListed != definition.isInternal(for: command))
        }
        #expect(!definition.commands.isEmpty)
    }

    @Test(arguments: OptionName.allCases)
    func `defaults, ranges and allowed values agree with the type`(name: OptionName) throws {
        let definition = try #require(OptionTable.definition(name))
        let numbers = definition.type == .keys ? OptionDefinition.ValueType.integer : definition.type
        for range in definition.ranges {
            let minimum = try #require(OptionValue.scalar(range.minimum, type: numbers))
            let maximum = try #require(OptionValue.scalar(range.maximum, type: numbers))
            guard case .number(let low) = minimum, case .number(let high) = maximum else {
                Issue.record("\(definition.name) has a range of no numbers")
                continue
            }
            #expect(low < high)
        }
        for command in Command.allCases where definition.isValid(for: command) {
            let allowed = definition.allowed(for: command)
            #expect(
                (definition.type == .enumeration) == !allowed.isEmpty || definition.name == .bufferSize
                    || definition.type == .keys)
            if case .text(let text)? = definition.defaultValue(for: command) {
                let value = try #require(OptionValue.scalar(text, type: definition.type))
                let values = allowed.map { OptionValue.scalar($0, type: definition.type) }
                #expect(allowed.isEmpty || values.contains(value))
                #expect(!definition.isRequired(for: command))
            }
            #expect(definition.unsupportedValues(for: command).allSatisfy(allowed.contains))
        }
    }

    @Test(arguments: OptionName.allCases)
    func `dependencies are valid where the option is, and have the values asked for`(name: OptionName) throws {
        let definition = try #require(OptionTable.definition(name))
        for command in Command.allCases where definition.isValid(for: command) {
            guard let dependency = definition.dependency(for: command) else { continue }
            let other = try #require(OptionTable.definition(dependency.option))
            #expect(other.isValid(for: command))
            #expect(other.group == nil || other.group == definition.group)
            let possible = other.type == .bool ? ["y", "n"] : other.allowed(for: command)
            #expect(dependency.values.allSatisfy(possible.contains))
            if let otherwise = dependency.otherwise {
                #expect(OptionValue.scalar(otherwise, type: definition.type) != nil)
            }
        }
    }

    @Test(arguments: OptionName.allCases)
    func `what can be given has an example`(name: OptionName) throws {
        let definition = try #require(OptionTable.definition(name))
        for command in Command.allCases where definition.isValid(for: command) {
            if definition.flags.contains(.secure) { continue }
            #expect(definition.exampleValue(for: command) != nil)
        }
    }

    @Test(arguments: minimalLines)
    func `defaults are those of the table`(line: String) throws {
        let configuration = try parse(line)
        let command = configuration.command
        if command == .help { return }
        for definition in OptionTable.definitions where definition.isValid(for: command) {
            guard case .text(let text)? = definition.defaultValue(for: command) else { continue }
            let found = configuration.string(definition.name)
            if let dependency = definition.dependency(for: command) {
                #expect(found == text || found == dependency.otherwise)
            } else {
                #expect(found == text)
            }
            #expect(!configuration.isSet(definition.name))
        }
    }

    /// Facts of pgBackRest 2.59 that users rely on.
    @Test(arguments: [
        (OptionName.archiveTimeout, "1m"), (.bufferSize, "1MiB"), (.compressType, "gz"), (.compressLevel, "6"),
        (.dbTimeout, "30m"), (.protocolTimeout, "31m"), (.ioTimeout, "1m"), (.lockPath, "/tmp/pgbackrest"),
        (.logPath, "/var/log/pgbackrest"), (.logLevelConsole, "warn"), (.logLevelFile, "info"),
        (.logLevelStderr, "off"), (.manifestSaveThreshold, "1GiB"), (.processMax, "1"), (.repoType, "posix"),
        (.repoPath, "/var/lib/pgbackrest"), (.repoCipherType, "none"), (.repoRetentionFullType, "count"),
        (.repoRetentionArchiveType, "full"), (.pgPort, "5432"), (.pgDatabase, "postgres"), (.type, "incr"),
        (.online, "y"), (.archiveCheck, "y"), (.archiveCopy, "n"), (.archiveModeCheck, "y"), (.startFast, "n"),
        (.resume, "y"), (.expireAuto, "y"), (.pageHeaderCheck, "y"), (.neutralUmask, "y"), (.allowRoot, "n"),
        (.logTimestamp, "y"), (.jobRetry, "2"), (.jobRetryInterval, "15s"), (.repoSymlink, "y"),
        (.backupStandby, "n"), (.logFormat, "text"), (.progress, "y"), (.cmd, "permafrost"),
    ])
    func `a backup's defaults`(option: OptionName, text: String) throws {
        #expect(try parse("--stanza=main --pg1-path=/data backup").string(option) == text)
    }

    @Test func `defaults differ by command`() throws {
        #expect(try parse("--stanza=m --pg1-path=/d restore").bool(.allowRoot))
        #expect(try parse("--stanza=m --pg1-path=/d restore").string(.type) == "default")
        #expect(try parse("--stanza=m --pg1-path=/d restore").string(.set) == "latest")
        #expect(try parse("--stanza=m archive-push").integer(.jobRetry) == 1)
        #expect(try parse("info").string(.type) == nil)
        #expect(try parse("version").string(.output) == "text")
        #expect(!(try parse("info").isSet(.type)))
    }

    @Test(arguments: [("bz2", 9), ("gz", 6), ("lz4", 1), ("zst", 3), ("none", 0)])
    func `the compression level follows the type`(type: String, level: Int) throws {
        let configuration = try parse("--stanza=m --pg1-path=/d --compress-type=\(type) backup")
        #expect(configuration.integer(.compressLevel) == level)
    }
}
