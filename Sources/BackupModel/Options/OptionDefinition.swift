/// One option, defined once: parsing, help, and the log's begin line read all they know of it from here.
///
/// Names, types, defaults, ranges and dependencies are those of pgBackRest 2.59.
///
/// A class because there are two hundred of them, each passed around a lot at every start.
package final class OptionDefinition: Sendable {
    /// Where a value may be given besides the command line and the environment.
    package enum Section: Sendable {
        /// Nowhere.
        case commandLine
        /// In every section of a configuration file.
        case global
        /// In the sections of a stanza.
        case stanza
    }

    /// Options that exist once per `N`: `pgN-…`, `repoN-…`, with N from 1 to 256.
    package enum Group: String, Sendable { case pg, repo }

    package enum ValueType: Sendable {
        case bool, integer
        /// Bytes, with a suffix `b`, `k`, `m`, `g`, `t`, `p`, each also as `kb` and `kib`; powers of 1024.
        case size
        /// Seconds, or with a suffix `ms`, `s`, `m`, `h`, `d`, `w`.
        case time
        case string, enumeration, path
        /// Repeatable, or split by `:` in the environment.
        case list
        /// The same, of `key=value`.
        case hash
        /// Numbers of a group's members: one, or, for commands that allow `all`, several or all of them.
        case keys
    }

    package enum Support: Sendable {
        case supported
        /// Taken and checked, without effect: nothing that it would change exists in this version.
        case accepted
        /// pgBackRest has it and this version does not: an error, unless the value is the default.
        case notYet
        /// As `notYet`, with no intention to change that.
        case never
    }

    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        /// Refused on the command line and never shown: it would be visible to everybody on the host.
        package static let secure = Flags(rawValue: 1)
        /// For the program's own processes and for tests; not in the list of a command's options.
        package static let internalUse = Flags(rawValue: 2)
        /// `--no-x` although it is of the command line only or no bool.
        package static let negatable = Flags(rawValue: 4)
        /// An enumeration with `y` and `n`, which `--x` and `--no-x` stand for.
        package static let boolLike = Flags(rawValue: 8)
    }

    /// The option counts only while another has one of some values.
    package struct Dependency: Sendable {
        package let option: OptionName
        /// Empty: any value will do.
        package let values: [String]
        /// What the dependent option is when its dependency is not met.
        package let otherwise: String?

        init(_ option: OptionName, in values: [String] = [], otherwise: String? = nil) {
            self.option = option
            self.values = values
            self.otherwise = otherwise
        }
    }

    /// Inclusive, in the notation of values. With `when`, only for that value of the option depended on.
    package struct OptionRange: Sendable {
        package let minimum: String
        package let maximum: String
        package let when: String?

        init(_ minimum: String, _ maximum: String, when: String? = nil) {
            self.minimum = minimum
            self.maximum = maximum
            self.when = when
        }
    }

    package enum OptionDefault: Sendable, ExpressibleByStringLiteral {
        package struct Case: Sendable {
            package let when: String
            package let value: String

            init(_ when: String, _ value: String) {
                self.when = when
                self.value = value
            }
        }

        case text(String)
        /// The program as it was called.
        case programPath
        /// By the value of the option depended on.
        case byDependency([Case])

        package init(stringLiteral value: String) { self = .text(value) }
    }

    /// What differs for some commands.
    package struct OptionOverride: Sendable {
        let commands: CommandSet
        let defaultValue: OptionDefault?
        let required: Bool?
        let allowed: [String]?
        let dependency: Dependency?
        let isInternal: Bool
        let support: Support?
        let unsupportedValues: [String]
        let example: String?
        let summary: String?

        init(
            _ commands: CommandSet, default defaultValue: OptionDefault? = nil, required: Bool? = nil,
            allowed: [String]? = nil, dependency: Dependency? = nil, isInternal: Bool = false,
            support: Support? = nil, unsupportedValues: [String] = [], example: String? = nil, summary: String? = nil
        ) {
            self.commands = commands
            self.defaultValue = defaultValue
            self.required = required
            self.allowed = allowed
            self.dependency = dependency
            self.isInternal = isInternal
            self.support = support
            self.unsupportedValues = unsupportedValues
            self.example = example
            self.summary = summary
        }
    }

    package let name: OptionName
    package let type: ValueType
    package let section: Section
    package let commands: CommandSet
    package let group: Group?
    package let ranges: [OptionRange]
    /// Other names, with `?` for the group's number; one without `?` may be given without a number.
    package let deprecated: [String]
    package let flags: Flags

    private let baseExample: String?
    private let baseSummary: String
    private let baseRequired: Bool
    private let baseDefault: OptionDefault?
    private let baseAllowed: [String]
    private let baseDependency: Dependency?
    private let baseSupport: Support
    private let baseUnsupportedValues: [String]
    private let overrides: [OptionOverride]

    init(
        _ name: OptionName, _ type: ValueType, _ section: Section, _ commands: CommandSet, group: Group? = nil,
        required: Bool = false, default defaultValue: OptionDefault? = nil, ranges: [OptionRange] = [],
        allowed: [String] = [], dependency: Dependency? = nil, deprecated: [String] = [], flags: Flags = [],
        support: Support = .supported, unsupportedValues: [String] = [], example: String? = nil,
        overrides: [OptionOverride] = [], summary: String
    ) {
        self.name = name
        self.type = type
        self.section = section
        self.commands = commands
        self.group = group
        self.ranges = ranges
        self.deprecated = deprecated
        self.flags = flags
        baseExample = example
        baseSummary = summary
        baseRequired = required
        baseDefault = defaultValue
        baseAllowed = allowed
        baseDependency = dependency
        baseSupport = support
        baseUnsupportedValues = unsupportedValues
        self.overrides = overrides
    }
}

extension OptionDefinition {
    package func isValid(for command: Command) -> Bool { commands.contains(command.asSet) }

    package func isRequired(for command: Command) -> Bool {
        override(command) { $0.required } ?? (baseRequired && override(command) { $0.defaultValue } == nil)
    }

    package func defaultValue(for command: Command) -> OptionDefault? {
        override(command) { $0.defaultValue } ?? baseDefault
    }

    package func allowed(for command: Command) -> [String] { override(command) { $0.allowed } ?? baseAllowed }

    package func dependency(for command: Command) -> Dependency? {
        override(command) { $0.dependency } ?? baseDependency
    }

    package func support(for command: Command) -> Support { override(command) { $0.support } ?? baseSupport }

    /// Values that pgBackRest takes and this version refuses.
    package func unsupportedValues(for command: Command) -> [String] {
        override(command) { $0.unsupportedValues.isEmpty ? nil : $0.unsupportedValues } ?? baseUnsupportedValues
    }

    /// A value for help, when the default does not show what one looks like.
    package func example(for command: Command) -> String? { override(command) { $0.example } ?? baseExample }

    /// One line of help.
    package func summary(for command: Command) -> String { override(command) { $0.summary } ?? baseSummary }

    package func isInternal(for command: Command) -> Bool {
        flags.contains(.internalUse) || override(command) { $0.isInternal ? true : nil } ?? false
    }

    /// Whether `--no-x` is taken.
    package var isNegatable: Bool {
        flags.contains(.negatable) || (section != .commandLine && (type == .bool || flags.contains(.boolLike)))
    }

    /// Whether `--reset-x` is taken: what cannot be in a file need not be reset.
    package var isResettable: Bool { section != .commandLine }
    /// Whether several values are taken from a source; of `.keys` it depends on the command.
    package var isRepeatable: Bool {
        switch type {
        case .list, .hash, .keys: true
        default: false
        }
    }

    /// With the group's number: `repo-path` of 2 is `repo2-path`.
    package func displayName(_ index: Int?) -> String {
        guard let group else { return name.rawValue }
        return "\(group.rawValue)\(index ?? 1)\(name.rawValue.dropFirst(group.rawValue.utf8.count))"
    }

    private func override<Value>(_ command: Command, _ field: (OptionOverride) -> Value?) -> Value? {
        for candidate in overrides where candidate.commands.contains(command.asSet) {
            if let value = field(candidate) { return value }
        }
        return nil
    }
}
