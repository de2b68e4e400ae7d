import BackupModel
import Testing

@testable import BackupOperator

struct PluginArgumentsTests {
    @Test func `options stand anywhere, in any of kubectl's forms`() throws {
        let plain = try PluginArguments(["status", "-n", "demo", "shop", "--context=c", "--kubeconfig", "/k", "-ojson"])
        #expect(plain.command == .status && plain.cluster == "shop" && plain.kind == nil)
        #expect(plain.namespace == "demo" && plain.context == "c" && plain.kubeconfig == "/k" && plain.output == .json)
        #expect(
            try PluginArguments(["-n=demo", "--output=json", "status", "--kubeconfig=/k", "--context", "c", "shop"])
                == plain)
        #expect(try PluginArguments(["backup", "sgcluster/shop"]).kind == .stackGres)
        let pg = try PluginArguments(["backup", "pg/shop", "--type=incr", "--repo", "repo2", "--wait"])
        #expect(pg.kind == .percona && pg.backup == BackupOrder(repository: "repo2", type: "incr") && pg.waits)
        let restore = try PluginArguments([
            "restore", "shop", "--time", "2026-01-31 10:45:00+00", "-y", "--as=b", "--set=s",
        ])
        #expect(restore.isAgreed && !restore.isTrial)
        #expect(restore.restore == RestoreOrder(backup: "s", target: .time("2026-01-31 10:45:00+00"), newName: "b"))
        #expect(try !PluginArguments(["restore", "shop", "--yes=false"]).isAgreed)
    }

    @Test(
        arguments: [
            ([], nil), (["--help"], nil), (["-h"], nil), (["help"], nil), (["backup", "--help"], .backup),
            (["help", "restore"], .restore), (["status", "shop", "-h"], .status),
        ] as [([String], PluginArguments.Command?)])
    func `help is asked for in many ways`(words: [String], command: PluginArguments.Command?) throws {
        let arguments = try PluginArguments(words)
        #expect(arguments.wantsHelp && arguments.command == command)
    }

    @Test(
        arguments: [
            (["statos"], .commandInvalid, "invalid command 'statos'", "did you mean 'status'?"),
            (["backup"], .parameterRequired, "needs the name of a cluster", "kubectl permafrost status"),
            (["backup", "a", "b"], .parameterInvalid, "takes one cluster", "'b'"),
            (
                ["status", "--namspace=x"], .optionInvalid, "option '--namspace' does not exist",
                "did you mean '--namespace'?"
            ),
            (["status", "-x"], .optionInvalid, "option '-x' does not exist", "-n"),
            (["status", "--wait"], .optionInvalid, "not valid for command 'status'", "backup, restore"),
            (["status", "-n"], .optionInvalidValue, "'-n' has no value", "behind"),
            (["status", "-n", "a", "--namespace=b"], .optionInvalid, "given twice", ""),
            (["status", "-o", "name"], .optionInvalidValue, "'name' is not allowed", "json, yaml"),
            (["backup", "a", "--type=half"], .optionInvalidValue, "'half' is not allowed", "full, diff, incr"),
            (["backup", "a", "--wait=maybe"], .optionInvalidValue, "is a switch", ""),
            (["backup", "deployment/a"], .parameterInvalid, "'deployment' is no kind", "sgcluster/NAME"),
            (["backup", "a/../b"], .parameterInvalid, "'a' is no kind", ""),
            (["backup", "..%2f"], .parameterInvalid, "is no name of a cluster", ""),
            (["restore", "a", "--immediate", "--lsn=0/1"], .optionInvalid, "--immediate and --lsn", "one"),
            (["restore", "a", "--dry-run", "--wait"], .optionInvalid, "do not go together", ""),
            (["status", "-n", "../x"], .optionInvalidValue, "is no name of a namespace", ""),
        ] as [([String], ErrorCode, String, String)])
    func `what makes no sense is refused`(words: [String], code: ErrorCode, message: String, hint: String) {
        do throws(BackupError) {
            _ = try PluginArguments(words)
            Issue.record("\(words) was taken")
        } catch {
            #expect(error.code == code && error.message.contains(message), "\(error)")
            #expect(hint.isEmpty || error.hint?.contains(hint) == true, "\(error)")
        }
    }

    @Test(
        arguments: [
            ([""], ["status", "backup", "restore", "version"]), (["st"], ["status"]), (["nothing"], []),
            (["status", "-"], ["--context", "--help", "--kubeconfig", "--namespace", "--output"]),
            (["backup", "shop", "--t"], ["--type"]), (["backup", "shop", "--type", ""], ["full", "diff", "incr"]),
            (["backup", "shop", "--type=i"], ["--type=incr"]), (["status", "-o", "j"], ["json"]),
            (["status", "-n", ""], []), (["status", "shop", ""], []), (["version", ""], []),
        ] as [([String], [String])])
    func `shells are offered what may follow`(words: [String], offered: [String]) {
        guard case .words(let words) = PluginCompletion(words) else {
            Issue.record("no words are offered")
            return
        }
        #expect(words.map(\.text) == offered)
    }

    @Test func `shells are offered clusters of the namespace that was given`() throws {
        for command in ["status", "backup", "restore"] {
            guard case .clusters(let arguments) = PluginCompletion(["-n", "demo", command, "--context=c", "sh"]) else {
                Issue.record("no clusters are offered")
                continue
            }
            #expect(arguments.namespace == "demo" && arguments.context == "c")
        }
        #expect(PluginCompletion(["status", "--kubeconfig", "/et"]) == .files)
    }

    @Test func `help is 80 columns wide and names all options`() {
        var all = ""
        for command in [nil] + PluginArguments.Command.allCases.map(Optional.some) {
            let text = PluginHelp.text(command)
            all += text
            for line in text.split(separator: "\n") {
                #expect(line.count <= Help.width && !line.hasSuffix(" "), "\(line)")
            }
        }
        for option in PluginArguments.options { #expect(all.contains("--\(option.name)")) }
    }
}
