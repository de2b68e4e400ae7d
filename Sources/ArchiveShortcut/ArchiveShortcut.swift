import Glibc

/// What the launcher must know to answer a call from the spool, as the program left it there after it had read all
/// options. It holds as long as nothing has changed that the options came from.
package struct ArchiveShortcut: Equatable {
    /// The program that left it.
    package var program = ""
    /// ``ArchiveCall/words``
    package var words: [String] = []
    /// ``ArchiveEnvironment/relevant(_:)``
    package var environment: [String] = []
    /// Configuration files and directories, and ``program``, those too that do not exist.
    package var files: [FileState] = []
    package var lockPath = ""
    package var stanza = ""
    /// nil: pg-path is not configured.
    package var dataDirectory = ""
    /// Of the cluster in ``dataDirectory``.
    package var systemIdentifier: UInt64 = 0
    /// Segments that `archive-get` keeps ahead.
    package var queueLength = 0
    /// Whether the launcher may answer; if not, it is left for the agent alone.
    package var isForLauncher = true
    /// Whether PostgreSQL made the call: an agent goes on in its name, not in that of somebody who tries something.
    package var isForAgent = true
    /// `agent-socket`; empty when there is none.
    package var agentSocket = ""
    /// Milliseconds: for how long an agent is waited for.
    package var timeout = 60_000
    package var log = ArchiveCallLog()

    package init() {}

    /// A file as it was seen.
    package struct FileState: Equatable {
        package var path: String
        /// ``FileFacts/text``
        package var facts: String
        /// ``FileContent/text(_:)``; empty: only by its facts is it known again.
        package var content: String

        package init(path: String, facts: String, content: String = "") {
            self.path = path
            self.facts = facts
            self.content = content
        }
    }

    /// Where it lies, below the spool of a stanza.
    package static func path(spoolPath: String, stanza: String, kind: ArchiveCall.Kind) -> String {
        "\(spoolPath)/archive/\(stanza)/\(kind.rawValue).shortcut"
    }

    // MARK: - On disk

    private static let head = "permafrost archive shortcut 3"
    private static let tail = "end"
    private static let separator = UInt8(0)

    /// Fields that end in NUL, which no argument, path or variable can contain.
    package var bytes: [UInt8] {
        var fields = [Self.head, program, "\(words.count)"] + words + ["\(environment.count)"] + environment
        fields += ["\(files.count)"] + files.flatMap { [$0.path, $0.facts, $0.content] }
        fields += [lockPath, stanza, dataDirectory, "\(systemIdentifier)", "\(queueLength)"]
        fields += [isForLauncher ? "y" : "n", isForAgent ? "y" : "n", agentSocket, "\(timeout)"]
        fields += [log.begin, log.file, log.toConsole ? "y" : "n", log.hasTimestamps ? "y" : "n", Self.tail]
        return fields.flatMap { Array($0.utf8) + [Self.separator] }
    }

    /// nil when it is none, of another version, or cut short.
    package init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        func next() -> String? {
            guard let end = rest.firstIndex(of: Self.separator) else { return nil }
            defer { rest = rest[(end + 1)...] }
            return String(decoding: rest[..<end], as: UTF8.self)
        }
        func list() -> [String]? {
            guard let count = next().flatMap({ Int($0) }), count >= 0, count <= bytes.count else { return nil }
            var items: [String] = []
            for _ in 0..<count {
                guard let item = next() else { return nil }
                items.append(item)
            }
            return items
        }
        guard next() == Self.head, let program = next(), let words = list(), let environment = list(),
            let fileCount = next().flatMap({ Int($0) }), fileCount >= 0, fileCount <= bytes.count
        else { return nil }
        for _ in 0..<fileCount {
            guard let path = next(), let facts = next(), let content = next() else { return nil }
            files.append(FileState(path: path, facts: facts, content: content))
        }
        guard let lockPath = next(), let stanza = next(), let dataDirectory = next(),
            let systemIdentifier = next().flatMap({ UInt64($0) }), let queueLength = next().flatMap({ Int($0) }),
            let launcher = next(), let agent = next(), let agentSocket = next(),
            let timeout = next().flatMap({ Int($0) }), (0...86_400_000).contains(timeout), let begin = next(),
            let file = next(),
            let console = next(), let timestamps = next(),
            next() == Self.tail, rest.isEmpty
        else { return nil }
        self.program = program
        self.words = words
        self.environment = environment
        self.lockPath = lockPath
        self.stanza = stanza
        self.dataDirectory = dataDirectory
        self.systemIdentifier = systemIdentifier
        self.queueLength = queueLength
        isForLauncher = launcher == "y"
        isForAgent = agent == "y"
        self.agentSocket = agentSocket
        self.timeout = timeout
        log = ArchiveCallLog(
            begin: begin, file: file, toConsole: console == "y", hasTimestamps: timestamps == "y")
    }
}

/// What of the environment decides about options.
package enum ArchiveEnvironment {
    /// All of this process, `NAME=value`.
    package static func entries() -> [String] {
        var entries: [String] = []
        var entry = environ
        while let text = entry.pointee {
            entries.append(String(cString: text))
            entry += 1
        }
        return entries
    }

    /// Sorted `NAME=value`; nil when a secret is among them, which must not be written down.
    package static func relevant(_ environment: [String]) -> [String]? {
        var found: [String] = []
        for entry in environment
        where (entry.utf8.starts(with: "PGBACKREST_".utf8) || entry.utf8.starts(with: "PERMAFROST_".utf8))
            && !entry.utf8.starts(with: "PERMAFROST_LAUNCHER=".utf8)
        {
            let name = entry.prefix { $0 != "=" }
            if ["PASS", "KEY", "TOKEN", "SECRET", "CREDENTIAL"].contains(where: { contains(name, $0) }) { return nil }
            found.append(entry)
        }
        return found.sorted()
    }

    private static func contains(_ text: Substring, _ part: String) -> Bool {
        let (text, part) = (Array(text.utf8), Array(part.utf8))
        guard text.count >= part.count else { return false }
        return (0...(text.count - part.count)).contains { text[$0..<($0 + part.count)].elementsEqual(part) }
    }
}
