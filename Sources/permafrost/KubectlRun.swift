import BackupEngine
import BackupModel
import BackupOperator
import Glibc
import HTTP
import KubernetesClient

/// `kubectl permafrost`: asks the API server, shows what it says, and makes the objects that were asked for.
struct KubectlRun {
    private let arguments: PluginArguments
    private let client: KubernetesClient
    private let namespace: String

    /// nil when the program was not called as the plugin; then what follows the name of the command.
    static func words(of arguments: [String]) -> [String]? {
        if let name = arguments.first, ProgramVersion.isKubectlPlugin(name) { return Array(arguments.dropFirst()) }
        guard arguments.count > 1, arguments[1] == Command.kubectl.rawValue else { return nil }
        return Array(arguments.dropFirst(2))
    }

    /// Whether kubectl asks what a shell may offer.
    static func isCompletion(_ arguments: [String]) -> Bool {
        arguments.first?.split(separator: "/").last == "kubectl_complete-permafrost"
    }

    /// In the form that kubectl's own completion has: words with their meaning, and what the shell is to do with them.
    static func complete(_ words: [String]) async -> Int32 {
        var lines: [String] = []
        switch PluginCompletion(words) {
        case .words(let offered):
            lines = offered.map { $0.help.isEmpty ? $0.text : "\($0.text)\t\($0.help)" } + [":4"]
        case .clusters(let arguments):
            // What cannot be asked for is not offered, and no error is in the way of who types.
            let names = try? await reader(arguments).names()
            lines = (names ?? []).filter { $0.hasPrefix(words.last ?? "") } + [":4"]
        case .files: lines = [":0"]
        }
        try? await StandardStreams.say(lines.joined(separator: "\n") + "\n")
        return 0
    }

    private func names() async throws -> [String] {
        try await ofEachKind { kind in try await list(kind.clusters) }.found.flatMap { $0.map(\.name) }.sorted()
    }

    static func execute(_ words: [String]) async -> Int32 {
        let task = Task { try await run(words) }
        Signals.watch(hangUp: HangUp()) { task.cancel() }
        do {
            try await task.value
            return 0
        } catch {
            let failure =
                error is CancellationError || task.isCancelled && (error as? BackupError)?.code != .terminated
                ? BackupError(.terminated, "ended by a signal", hint: "what was begun in the cluster goes on")
                : (error as? KubernetesError)?.error ?? BackupError(error)
            CommandLog.reportWithoutConfiguration(failure, arguments: [])
            return failure.code.rawValue
        }
    }

    private static func run(_ words: [String]) async throws {
        let arguments = try PluginArguments(words)
        if arguments.wantsHelp { return try await StandardStreams.say(PluginHelp.text(arguments.command)) }
        if arguments.command == .version { return try await StandardStreams.say(Help.version() + "\n") }
        let run = try reader(arguments)
        switch arguments.command {
        case .backup: try await run.backup()
        case .restore: try await run.restore()
        default: try await run.status()
        }
    }

    /// Where the arguments lead.
    private static func reader(_ arguments: PluginArguments) throws(BackupError) -> KubectlRun {
        let environment = ProgramPath.environment()
        var files = arguments.kubeconfig
        if files == nil, arguments.context != nil, environment["KUBECONFIG"]?.isEmpty != false {
            // Contexts are of a file: inside a pod too, where its service account would be taken.
            files = environment["HOME"].map { "\($0)/.kube/config" }
        }
        let access = try ClusterAccess.load(
            environment: environment, kubeconfig: files, context: arguments.context)
        let client = try KubernetesClient(access, KubernetesClient.Options(fieldManager: "kubectl-permafrost"))
        return KubectlRun(
            arguments: arguments, client: client, namespace: arguments.namespace ?? access.namespace)
    }

    private var now: Int64 { Int64(time(nil)) }

    // MARK: Reading

    /// Objects of a type; none where the API server does not have it.
    private func list(_ type: ResourceType) async throws -> [KubernetesObject]? {
        do {
            return try await client.list(type, namespace: namespace).objects
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    /// What only makes the screen richer, and may be forbidden.
    private func storages(_ kind: ClusterKind) async throws -> [String: KubernetesObject] {
        guard let type = kind.storages else { return [:] }
        do {
            return Dictionary(
                try await client.list(type, namespace: namespace).objects.map { ($0.name, $0) },
                uniquingKeysWith: { $1 })
        } catch {
            if error.isNotFound || error.status == 403 { return [:] }
            throw error
        }
    }

    private func overviews(_ kind: ClusterKind, _ clusters: [KubernetesObject]) async throws -> [ClusterOverview] {
        guard !clusters.isEmpty else { return [] }
        let backups = try await list(kind.backups) ?? []
        var restores: [KubernetesObject] = []
        if let type = kind.restores { restores = try await list(type) ?? [] }
        let storages = try await storages(kind)
        let now = now
        return clusters.map { cluster in
            ClusterOverview(
                kind, cluster, backups: backups, restores: restores, storages: storages, now: now,
                zones: { name in name.map { try? TimeZone.named($0) } ?? .utc })
        }
    }

    private static let unknownTypes = BackupError(
        .config, "this Kubernetes knows neither SGCluster nor PerconaPGCluster",
        hint: "install the definitions of deploy/crds, or choose another one by --context")

    /// What there is of each kind. A user may be allowed to see one of them only.
    private func ofEachKind<Found>(
        _ look: (ClusterKind) async throws -> Found?
    ) async throws -> (found: [Found], refusal: KubernetesError?) {
        var found: [Found] = []
        var refusal: KubernetesError?
        for kind in ClusterKind.allCases where arguments.kind == nil || arguments.kind == kind {
            do {
                if let some = try await look(kind) { found.append(some) }
            } catch let error as KubernetesError {
                guard error.status == 403 else { throw error }
                refusal = error
            }
        }
        return (found, refusal)
    }

    /// The one cluster that is meant, and its object.
    private func find(_ name: String) async throws -> (ClusterOverview, KubernetesObject) {
        let (found, refusal) = try await ofEachKind { kind in
            try await client.find(kind.clusters, namespace: namespace, name: name).map { (kind: kind, object: $0) }
        }
        guard found.count <= 1 else {
            throw BackupError(
                .parameterInvalid, "namespace '\(namespace)' has an SGCluster and a PerconaPGCluster '\(name)'",
                hint: "say sgcluster/\(name) or perconapgcluster/\(name)")
        }
        guard let (kind, object) = found.first, let overview = try await overviews(kind, [object]).first else {
            if let refusal { throw refusal }
            throw try await missing(name)
        }
        return (overview, object)
    }

    /// Why there is no such cluster, with the name that was perhaps meant.
    private func missing(_ name: String) async throws -> BackupError {
        let (lists, _) = try await ofEachKind { kind in try await list(kind.clusters) }
        guard !lists.isEmpty else { return Self.unknownTypes }
        let names = lists.flatMap { $0.map(\.name) }.sorted()
        let what = arguments.kind.map { $0.clusters.kind } ?? "cluster"
        return BackupError(
            .parameterInvalid, "namespace '\(namespace)' has no \(what) '\(name)'",
            hint: closest(to: name, in: names).map { "did you mean '\($0)'?" }
                ?? (names.isEmpty
                    ? "it has none: -n names another namespace" : "it has \(names.joined(separator: ", "))"))
    }

    // MARK: Commands

    private func status() async throws {
        if let name = arguments.cluster {
            let (overview, _) = try await find(name)
            try await show(overview.json) { overview.text(now: now) }
            return
        }
        let (found, refusal) = try await ofEachKind { kind in
            guard let clusters = try await list(kind.clusters) else { return [ClusterOverview]?.none }
            return try await overviews(kind, clusters)
        }
        guard !found.isEmpty else { throw refusal?.error ?? Self.unknownTypes }
        let all = found.flatMap(\.self).sorted { $0.name < $1.name }
        if let refusal { StandardStreams.note("Not all is shown: \(ScreenText.plain(refusal.message))") }
        if all.isEmpty, arguments.output == nil {
            StandardStreams.note("No clusters in namespace '\(namespace)'.")
            return
        }
        try await show(["clusters": .array(all.map(\.json))]) { ClusterOverview.list(all, now: now) }
    }

    private func show(_ json: ServiceJSON, _ text: () -> String) async throws {
        switch arguments.output {
        case .json: try await StandardStreams.say(json.indented + "\n")
        case .yaml: try await StandardStreams.say(json.yaml)
        default: try await StandardStreams.say(text())
        }
    }

    private func backup() async throws {
        let (overview, _) = try await find(arguments.cluster ?? "")
        let type = overview.kind.backups
        let made = try await client.create(type, try arguments.backup.manifest(of: overview))
        try await tell(made, type)
        guard arguments.waits else { return }
        try await follow(made, type) { RunProgress(backup: $0, overview.kind) }
    }

    private func restore() async throws {
        let (overview, object) = try await find(arguments.cluster ?? "")
        var isTaken = false
        if overview.kind == .stackGres, let name = arguments.restore.newName, ClusterName.isValid(name) {
            isTaken = try await client.find(overview.kind.clusters, namespace: namespace, name: name) != nil
        }
        let outlook = try RestoreOutlook(arguments.restore, overview, object, isTaken: isTaken, now: now)
        if arguments.isTrial { return try await showTrial(outlook) }
        StandardStreams.note(outlook.text)
        try agree(overview)
        let type = overview.kind.restores ?? overview.kind.clusters
        let made = try await client.create(type, outlook.manifest)
        try await tell(made, type)
        guard arguments.waits else { return }
        try await follow(made, type) { object in
            overview.kind == .stackGres ? RunProgress(newCluster: object) : RunProgress(restore: object)
        }
    }

    private func showTrial(_ outlook: RestoreOutlook) async throws {
        switch arguments.output {
        case .json:
            StandardStreams.note(outlook.text)
            try await StandardStreams.say(outlook.manifest.json.indented + "\n")
        case .name:
            throw BackupError(.optionInvalid, "--dry-run makes nothing that has a name", hint: "use --output=yaml")
        default:
            let lines = outlook.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            let comment = lines.map { $0.isEmpty ? "#\n" : "# \($0)\n" }.joined()
            try await StandardStreams.say(comment + outlook.manifest.json.yaml)
        }
    }

    private func agree(_ cluster: ClusterOverview) throws(BackupError) {
        if arguments.isAgreed { return }
        guard isatty(0) == 1, isatty(2) == 1 else {
            throw BackupError(
                .optionRequired,
                "unable to restore \(cluster.title): nobody is there to be asked, and --yes is not given",
                hint: "add --yes, or --dry-run to see the plan alone")
        }
        StandardStreams.note("Type the name of the cluster, \(cluster.name), to go on: ", end: "")
        // A signal must end the question too, which reading would outlast.
        var input = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        while !Task.isCancelled, poll(&input, 1, 100) <= 0 {}
        guard !Task.isCancelled, readLine(strippingNewline: true) == cluster.name else {
            throw BackupError(.terminated, "restore of \(cluster.title) was not agreed to: nothing was changed")
        }
    }

    /// What was made, as kubectl says it.
    private func tell(_ made: KubernetesObject, _ type: ResourceType) async throws {
        let name = "\(type.kind.lowercased()).\(type.group)/\(made.name)"
        switch arguments.output {
        case .name: try await StandardStreams.say(name + "\n")
        case .json: try await StandardStreams.say(made.json.indented + "\n")
        case .yaml: try await StandardStreams.say(made.json.yaml)
        case nil: try await StandardStreams.say("\(name) created\n")
        }
    }

    // MARK: Waiting

    private static let pause = Duration.seconds(1)
    /// Answers that may be missing before waiting for more is given up; each has been asked for several times.
    private static let patience = 5

    private func follow(
        _ made: KubernetesObject, _ type: ResourceType, _ read: (KubernetesObject) -> RunProgress
    ) async throws {
        var told: RunProgress?
        var failures = 0
        while true {
            do {
                let object = try await client.get(type, namespace: made.namespace, name: made.name)
                failures = 0
                guard object.uid == made.uid, !object.isBeingDeleted else { throw gone(made) }
                let run = read(object)
                if run != told {
                    let message = run.message.map { $0.isEmpty ? "" : ": \(ScreenText.plain($0))" } ?? ""
                    if run.progress == .failed {
                        throw BackupError(
                            ErrorCode(rawValue: 1), "\(type.kind) '\(made.name)' failed\(message)",
                            hint: "kubectl -n \(namespace) describe \(type.kind.lowercased()) \(made.name)")
                    }
                    StandardStreams.note("\(made.name) is \(run.progress.rawValue)\(message)")
                    told = run
                }
                if run.progress == .complete { return }
            } catch let error as KubernetesError {
                if error.isNotFound { throw gone(made) }
                failures += 1
                guard error.isRetryable, failures < Self.patience else { throw error }
            }
            try await Task.sleep(for: Self.pause)
        }
    }

    private func gone(_ made: KubernetesObject) -> BackupError {
        BackupError(ErrorCode(rawValue: 1), "\(made.kind) '\(made.name)' was deleted before it was over")
    }
}

extension StandardStreams {
    /// A reader that ends early is no failure.
    fileprivate static func say(_ text: String) async throws {
        try await printing { () throws(BackupError) in
            let result = Array(text.utf8).withUnsafeBytes { bytes in
                Result { () throws(BackupError) in try write(bytes) }
            }
            try result.get()
        }
    }

    /// To standard error: what is for people and not the result.
    fileprivate static func note(_ text: String, end: String = "\n") {
        let whole = text.hasSuffix("\n") ? text : text + end
        let bytes = Array(whole.utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
