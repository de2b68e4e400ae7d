import BackupModel

/// What one parse is given; `file` is the text of the only configuration file.
struct Input {
    var line: String
    var environment: [String: String] = [:]
    var file = ""

    func parse() throws(BackupError) -> Configuration {
        try Configuration.parse(
            arguments: line.split(separator: " ").map(String.init), environment: environment,
            files: [ConfigFile(path: "/etc/test.conf", text: file)])
    }

    /// nil when it succeeds.
    var failure: BackupError? {
        do throws(BackupError) {
            _ = try parse()
            return nil
        } catch {
            return error
        }
    }
}

func parse(
    _ line: String, environment: [String: String] = [:], file: String = ""
) throws(BackupError) -> Configuration {
    try Input(line: line, environment: environment, file: file).parse()
}

let unsupported = "is known but not supported by this version of Permafrost"

/// A line that gives each supported command what it requires.
let minimalLines = [
    "--stanza=main --pg1-path=/data archive-get", "--stanza=main archive-push", "--stanza=main --pg1-path=/data backup",
    "check", "--stanza=main expire", "info", "--stanza=main --pg1-path=/data restore", "start", "stop",
    "--stanza=main --pg1-path=/data stanza-create", "--stanza=main --pg1-path=/data stanza-delete",
    "--stanza=main --pg1-path=/data stanza-upgrade", "tls", "version", "help",
]
