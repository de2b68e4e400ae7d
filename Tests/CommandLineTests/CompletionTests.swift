import Foundation
import TestSupport
import Testing

/// What a shell offers for the beginning of a command line, asked of the shells themselves.
@Suite(.keepsScratchOnFailure, .requires(.permafrost), .timeLimit(.minutes(10)))
struct CompletionTests {
    struct Line: Sendable, CustomTestStringConvertible {
        let text: String
        let offers: [String]
        let omits: [String]
        var testDescription: String { text }

        init(_ text: String, offers: [String], omits: [String] = []) {
            self.text = text
            self.offers = offers
            self.omits = omits
        }
    }

    static let lines = [
        Line(
            "", offers: ["backup", "restore", "archive-push", "stanza-create", "server-ping", "job"],
            omits: ["--stanza="]),
        Line("ba", offers: ["backup"], omits: ["restore"]),
        Line("--stanza=main ba", offers: ["backup"]), Line("--stanza main ba", offers: ["backup"]),
        Line("--stanza restore ba", offers: ["backup"]),
        Line("--dry", offers: ["--dry-run"]), Line("--dry-run exp", offers: ["expire"]),
        Line("backup --st", offers: ["--stanza=", "--start-fast"], omits: ["--target="]),
        Line("backup --no-sta", offers: ["--no-start-fast"]),
        Line("--stanza=main restore --ta", offers: ["--target=", "--target-action=", "--tablespace-map="]),
        Line("info --com", offers: ["--compress-level-network="], omits: ["--compress-type="]),
        Line("backup --repo2-retention-f", offers: ["--repo2-retention-full=", "--repo2-retention-full-type="]),
        Line("backup --pg3-po", offers: ["--pg3-port="]),
        Line("backup --no-repo2-sy", offers: ["--no-repo2-symlink"]),
        Line("backup --type=", offers: ["full"], omits: ["standby"]), Line("backup --type=fu", offers: ["full"]),
        Line("backup --type fu", offers: ["full"]),
        Line("restore --type=", offers: ["time", "standby"], omits: ["full"]),
        Line("--type=", offers: ["time", "full"]),
        Line("backup --compress-type=z", offers: ["zst"], omits: ["gz"]),
        Line("backup --repo2-retention-full-type=", offers: ["count", "time"]),
        Line("backup --repo=", offers: ["all"]), Line("info --repo=", offers: [], omits: ["all"]),
        Line("info --output=json --log-level-c", offers: ["--log-level-console="]),
        Line("backup --annotation=a=b --sta", offers: ["--stanza="]),
        Line("help ba", offers: ["backup"]), Line("help backup compress-t", offers: ["compress-type"]),
        Line("completion ", offers: ["bash", "zsh", "fish"]), Line("tls ", offers: ["init", "issue", "renew"]),
        Line("tls issue db1 ", offers: [], omits: ["renew"]), Line("tls --tls-d", offers: ["--tls-days="]),
        // Secrets, internal options, and those that this version refuses.
        Line("backup --repo1-c", offers: [], omits: ["--repo1-cipher-pass="]),
        Line("backup --exec", offers: [], omits: ["--exec-id="]),
        Line("backup --repo1-sf", offers: [], omits: ["--repo1-sftp-host="]),
    ]

    @Test(arguments: ["bash", "zsh", "fish"])
    func theShellOffersWhatFits(shell: String) async throws {
        guard try await isThere(shell) else { return }
        try await withScratch { scratch in
            let script = try scratch.write(try await Self.script(shell), to: shell)
            let checker = try scratch.write(Self.checkers[shell] ?? "", to: "check")
            let syntax = try await ProcessRunner.run(shell, ["-n", script], asUser: ProcessRunner.serverUser)
            #expect(syntax.status == 0 && syntax.stderr.isEmpty, "\(syntax)")
            for line in Self.lines {
                let result = try await ProcessRunner.run(
                    shell, (shell == "zsh" ? ["-f"] : []) + [checker, script, "permafrost \(line.text)"],
                    environment: ["HOME": scratch.path], asUser: ProcessRunner.serverUser)
                let word = line.text.split(separator: " ", omittingEmptySubsequences: false).last ?? ""
                let typed = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).last ?? ""
                let offered = result.stdout.split(separator: "\n").map(Self.plain).filter { $0.hasPrefix(typed) }
                #expect(result.status == 0 && result.stderr.isEmpty, "\(result)")
                for candidate in line.offers { #expect(offered.contains(candidate), "\(line.text): \(offered)") }
                for candidate in line.omits { #expect(!offered.contains(candidate), "\(line.text): \(offered)") }
                #expect(Set(offered).count == offered.count, "\(line.text): \(offered)")
            }
        }
    }

    @Test(arguments: [([], 43, "requires the name of a shell"), (["ksh"], 96, "'ksh'"), (["zsh", "x"], 96, "'zsh x'")])
    func otherShellsAreRefused(parameters: [String], code: Int32, says: String) async throws {
        let result = try await run(["completion"] + parameters)
        result.failed(code, says, hint: "bash, zsh, fish", place: .standardError)
    }

    @Test func theManualPageIsClean() async throws {
        let page = try await run(["help", "--man"]).expecting(0).stdout
        for part in [".TH PERMAFROST 1", "\\fBbackup\\fR", "\\fB\\-\\-repo1\\-path\\fR", ".SH EXIT STATUS"] {
            #expect(page.contains(part), "\(part)")
        }
        #expect(!page.contains("sftp") && !page.contains("exec\\-id"))
        guard try await isThere("groff") else { return }
        for form in ["utf8", "ascii", "ps"] {
            let result = try await ProcessRunner.run("groff", ["-man", "-ww", "-T\(form)"], stdin: page)
            #expect(
                result.status == 0 && result.stderr.isEmpty && result.output.count > 10_000, "\(form): \(result.stderr)"
            )
        }
    }

    /// Under its other name it completes that one.
    @Test func theLinkHasACompletionOfItsOwn() async throws {
        let result = try await ProcessRunner.run(
            PermafrostPrograms.locate().directory + "/bin/pgbackrest", ["completion", "bash"],
            asUser: ProcessRunner.serverUser)
        #expect(result.stdout.contains("complete -F _pgbackrest pgbackrest\n"))
    }

    private static func script(_ shell: String) async throws -> String {
        try await ProcessRunner.run(
            PermafrostPrograms.locate().launcher, ["completion", shell], asUser: ProcessRunner.serverUser
        ).expecting(0).stdout
    }

    private func run(_ arguments: [String]) async throws -> ProcessResult {
        try await ProcessRunner.run(
            PermafrostPrograms.locate().launcher, arguments, asUser: ProcessRunner.serverUser)
    }

    /// Whether the program is installed; in CI it must be.
    private func isThere(_ program: String) async throws -> Bool {
        if TestRequirement.isCI { return true }
        return try await ProcessRunner.run("bash", ["-c", "command -v \(program)"]).status == 0
    }

    /// The word alone: without its description, and without the option that it is a value of.
    private static func plain(_ line: Substring) -> String {
        let word = line.prefix { $0 != "\t" && $0 != ":" }
        guard let equals = word.firstIndex(of: "="), word.index(after: equals) != word.endIndex else {
            return String(word)
        }
        return String(word[word.index(after: equals)...])
    }

    /// Scripts that print what is offered for the line `$2` with the completion `$1`. Those of fish are asked for; bash
    /// and zsh get the function called, as they call it.
    private static let checkers = [
        "bash": """
        source "$1"
        line=${2//=/ = }
        read -ra COMP_WORDS <<< "$line"
        [[ $line == *" " ]] && COMP_WORDS+=("")
        [[ $2 == *= ]] && COMP_WORDS[-1]="="  && unset 'COMP_WORDS[-2]' && COMP_WORDS=("${COMP_WORDS[@]}")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _permafrost
        printf '%s\\n' "${COMPREPLY[@]}"
        """,
        "zsh": """
        compdef() { }
        compset() { }
        compadd() { shift; print -rl -- "$@" }
        _files() { }
        _describe() {
            local word
            [[ $1 == -t ]] && shift 2
            for word in "$@"; do
                case $word in flags|valued|commands) print -rl -- "${(@P)word}" ;; esac
            done
        }
        source $1
        words=("${(@s: :)2}")
        CURRENT=$#words
        _permafrost
        true
        """,
        "fish": """
        source $argv[1]
        complete -C $argv[2]
        """,
    ]
}
