import BackupModel
import Testing

@Suite struct SecretTests {
    private struct Key { var name = "k"; var value = Secret("hunter2") }

    @Test func isNeverShown() {
        let secret = Secret("hunter2")
        var dumped = ""
        dump(Key(), to: &dumped)
        let shown = [
            "\(secret)", String(reflecting: secret), String(describing: Key()), String(reflecting: Key()),
            "\(Optional(secret) as Any)", "\([secret])", dumped, "\(Mirror(reflecting: secret).children.count)",
        ]
        for text in shown { #expect(!text.contains("hunter2")) }
        #expect("\(secret)" == "<redacted>")
        #expect(secret.revealed == "hunter2")
        #expect(secret == Secret("hunter2"))
    }

    @Test(
        arguments: Command.allCases.filter {
            $0.readsConfiguration && !CommandSet.serving.union(.asking).union(.kubernetesOperator).contains($0.asSet)
        })
    func isNotInAConfiguration(command: Command) throws {
        let parameters =
            command == .archiveGet
            ? " f p" : command == .archivePush ? " p" : command == .annotate ? " --set=s --annotation=a=b" : ""
        let line = "--stanza=m \(command.rawValue)\(parameters)"
        let type = "repo1-cipher-type=aes-256-cbc\nrepo2-cipher-type=aes-256-cbc\nrepo2-path=/r2\n"
        let repository = command == .stanzaDelete ? "--repo=2 " : ""
        let configuration = try Configuration.parse(
            arguments: (repository + line).split(separator: " ").map(String.init),
            environment: ["PGBACKREST_REPO1_CIPHER_PASS": "hunter2", "PERMAFROST_REPO1_S3_KEY": "hunter2"],
            files: [ConfigFile(path: "/c", text: "[global]\n\(type)repo2-cipher-pass=hunter2\n[m]\npg1-path=/d\n")])
        var dumped = ""
        dump(configuration, to: &dumped)
        let shown = [
            "\(configuration)", String(reflecting: configuration), "\([configuration])", dumped,
            "\(configuration.warnings)", "\(configuration.arguments())", "\(configuration.arguments(for: .archiveGet))",
        ]
        for text in shown { #expect(!text.contains("hunter2"), "\(text)") }
        guard command != .start, command != .stop else { return }
        for key in 1...2 {
            #expect(configuration.secret(.repoCipherPass, key) == Secret("hunter2"))
            #expect(configuration.string(.repoCipherPass, key) == nil)
            #expect(configuration.arguments().contains("--repo\(key)-cipher-pass=<redacted>"))
        }
        #expect(configuration.hasSecrets)
    }

    @Test(arguments: [
        ("", "repo1-cipher-type=aes-256-cbc", ErrorCode.optionRequired, "requires option: repo1-cipher-pass"),
        ("", "repo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=", .optionInvalidValue, "must have a value"),
        ("--repo1-cipher-pass=hunter2", "repo1-cipher-type=aes-256-cbc", .optionInvalid, "not allowed on the command"),
        ("-repo1-cipher-pass=hunter2", "repo1-cipher-type=aes-256-cbc", .optionInvalid, "must begin with --"),
        ("--repo1-cipher-pas=hunter2", "", .optionInvalid, "repo1-cipher-pas"),
        ("", "repo1-cipher-type=rot13\nrepo1-cipher-pass=hunter2", .optionInvalidValue, "'rot13' is not allowed"),
        ("", "repo1-cipher-pass=hunter2\nrepo-cipher-pass=hunter2", .optionInvalid, "duplicate options"),
        ("", "repo1-cipher-pass hunter2", .format, "missing '='"),
    ])
    func isNotInAnError(option: String, file: String, code: ErrorCode, message: String) {
        let words = (option.isEmpty ? [] : [option]) + ["--stanza=m", "--pg1-path=/d", "backup"]
        let error = #expect(throws: BackupError.self) {
            try Configuration.parse(
                arguments: words, files: [ConfigFile(path: "/c", text: "[global]\n\(file)\n")])
        }
        #expect(error?.code == code)
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
        #expect(error?.description.contains("hunter2") == false)
    }

    @Test func isNotNeededWithoutACipher() throws {
        let configuration = try Configuration.parse(
            arguments: ["--stanza=m", "--pg1-path=/d", "backup"],
            files: [ConfigFile(path: "/c", text: "[global]\nrepo1-cipher-pass=hunter2\n")])
        #expect(!configuration.hasSecrets)
        #expect(!"\(configuration)".contains("hunter2"))
    }
}
