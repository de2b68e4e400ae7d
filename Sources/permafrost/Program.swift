import BackupEngine
import BackupModel
import Glibc
import Logging
import Telemetry

/// The program behind the launcher: reads what was asked, runs it, ends with the exit code of the field.
@main
struct Program {
    static func main() {
        // Before any thread is made, and this one is blocked for good: a signal that any thread takes in the usual way
        // would end the process on the spot.
        Signals.block()
        // `exit`, not `return`: threads that block must not hold up the end. Detached: this thread runs no tasks.
        Task.detached { exit(await run()) }
        while true { pause() }
    }

    private static func run() async -> Int32 {
        let arguments = CommandLine.arguments
        if KubectlRun.isCompletion(arguments) { return await KubectlRun.complete(Array(arguments.dropFirst())) }
        // Its options are others, and so is where it looks for them.
        if let words = KubectlRun.words(of: arguments) { return await KubectlRun.execute(words) }
        let programPath = ProgramPath.ofThisProcess(calledAs: arguments.first ?? "permafrost")
        let configuration: Configuration
        do throws(BackupError) {
            configuration = try Configuration.load(
                programPath: programPath, arguments: Array(arguments.dropFirst()),
                environment: ProgramPath.environment())
            if let text = try standaloneText(configuration) {
                print(text)
                return 0
            }
            if configuration.command == .tls {
                try CertificateComposition.run(configuration)
                return 0
            }
            try requireOrdinaryUser(configuration)
        } catch {
            CommandLog.reportWithoutConfiguration(error, arguments: arguments)
            return error.code.rawValue
        }
        return await CommandRun(configuration).execute()
    }

    /// `help`, `version` and `completion` need nothing but the option table.
    private static func standaloneText(_ configuration: Configuration) throws(BackupError) -> String? {
        switch configuration.command {
        case .help:
            configuration.bool(.man)
                ? ManualPage.text(programPath: configuration.programPath)
                : try Help.text(configuration.parameters, programPath: configuration.programPath)
        case .completion:
            try Shell(configuration.parameters).completion(programPath: configuration.programPath)
        case .version: Help.version(output: configuration.string(.output), programPath: configuration.programPath)
        default: nil
        }
    }

    /// Files that root makes in a repository are ones that postgres cannot archive over.
    private static func requireOrdinaryUser(_ configuration: Configuration) throws(BackupError) {
        // The operator owns no file.
        guard geteuid() == 0, configuration.command != .kubernetesOperator, !configuration.bool(.allowRoot) else {
            return
        }
        throw BackupError(
            .optionInvalid, "the \(configuration.command.rawValue) command must not be run by root",
            hint: "run it as the user that owns the cluster, usually postgres, or use --allow-root")
    }
}
