import Foundation
import Glibc
import HTTP
import KubernetesClient
import TestSupport

/// Runs one pod, from its binding to its end.
actor PodRunner {
    let node: TestNode
    nonisolated let number: Int
    var pod: KubernetesObject
    var containers: [PodContainer] = []
    /// The number of its process.
    var sandbox: (keeper: RunningProcess, process: Int32)?
    var volumes: [String: VolumeContent] = [:]
    private let bornAt = ContinuousClock.now
    private var isEnding = false
    private var endAt = ContinuousClock.now
    private var told: ServiceJSON?
    /// Why a pod failed that did not end by itself.
    var failure: (reason: String, message: String)?
    /// When conditions became what they are.
    var conditionTimes: [String: (status: String, since: String)] = [:]
    private var isNeverToStart = false
    var hasAddress = false

    init(_ node: TestNode, _ pod: KubernetesObject) {
        self.node = node
        self.pod = pod
        number = node.takeNumber()
        let spec = pod["spec"]
        let hasInitial = !(spec?["initContainers"]?.elements ?? []).isEmpty
        containers =
            (spec?["initContainers"]?.elements ?? []).map {
                PodContainer($0, $0["restartPolicy"]?.string == "Always" ? .sidecar : .initial)
            } + (spec?["containers"]?.elements ?? []).map { PodContainer($0, .main) }
        for index in containers.indices where containers[index].kind == .main && !hasInitial {
            containers[index].state = .waiting(reason: "ContainerCreating", message: "")
        }
    }

    nonisolated var address: String { node.machine.podAddress(number) }
    var directory: String { "\(node.machine.directory)/pods/\(pod.uid)" }
    private var policy: String { pod["spec", "restartPolicy"]?.string ?? "Always" }
    private var hasRun: Bool { containers.contains { $0.runs > 0 } }

    // MARK: The course of its life

    func run() async {
        while !Task.isCancelled {
            guard let present = node.objects.pods[pod.key], present.uid == pod.uid else {
                // It was deleted without waiting.
                await removeAll()
                return
            }
            pod = present
            if pod.isBeingDeleted, !isEnding {
                end(within: pod["metadata", "deletionGracePeriodSeconds"]?.integer ?? 30)
            }
            if let limit = pod["spec", "activeDeadlineSeconds"]?.integer, failure == nil, !isEnding,
                ContinuousClock.now - bornAt > .seconds(limit)
            {
                failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
                end(within: 0)
            }
            await step()
            await report()
            if isOver {
                await removeSandbox()
                if pod.isBeingDeleted {
                    await deleteObject()
                    await removeAll()
                    return
                }
            }
            try? await Task.sleep(for: node.options.tick)
        }
    }

    /// Nothing runs any more, and nothing will.
    private var isOver: Bool {
        guard !containers.contains(where: \.isRunning) else { return false }
        return isEnding || hasFinished
    }

    /// The pod has done its work, or cannot.
    private var hasFinished: Bool {
        if isNeverToStart { return true }
        let mains = containers.filter { $0.kind == .main }
        return mains.allSatisfy { container in
            container.ending.map { !container.isRestarted(policy, after: $0.code) } ?? false
        }
    }

    private func step() async {
        for index in containers.indices { notice(index) }
        if isEnding || hasFinished {
            stopInOrder()
        } else {
            await refreshVolumes()
            await startNext()
            for index in containers.indices where containers[index].isRunning { ask(index) }
        }
        for index in containers.indices {
            if let killAt = containers[index].killAt, ContinuousClock.now >= killAt {
                containers[index].run?.signal(SIGKILL)
            }
        }
    }

    /// Whether a run has ended.
    private func notice(_ index: Int) {
        guard containers[index].isRunning, let run = containers[index].run, let code = run.status else { return }
        let container = containers[index]
        let ending = PodContainer.Ending(
            code: code, reason: code == 0 ? "Completed" : "Error", message: message(container, run, code),
            startedAt: run.startedAt, finishedAt: Int64(time(nil)))
        containers[index].killAt = nil
        containers[index].state = .terminated(ending)
        guard !isEnding, container.isRestarted(policy, after: code) else {
            if container.kind == .initial, code != 0 { isNeverToStart = true }
            return
        }
        let options = node.options
        let doubled = options.restartPause * (1 << min(max(container.runs - 2, 0), 20))
        let pause = container.runs == 1 ? .zero : min(doubled, options.longestRestartPause)
        containers[index].nextStart = .now + pause
        guard pause > .zero else { return }
        containers[index].last = ending
        containers[index].state = .waiting(
            reason: "CrashLoopBackOff",
            message: "back-off \(pause) restarting failed container=\(container.name) pod=\(pod.name)")
    }

    private func message(_ container: PodContainer, _ run: ContainerRun, _ code: Int32) -> String {
        var bytes = (try? Data(contentsOf: URL(filePath: run.messageFile))) ?? Data()
        if bytes.isEmpty, code != 0, container.spec["terminationMessagePolicy"]?.string == "FallbackToLogsOnError" {
            let log = (try? Data(contentsOf: URL(filePath: run.log))) ?? Data()
            bytes = log.suffix(2048)
        }
        return String(decoding: bytes.prefix(4096), as: UTF8.self)
    }

    /// The next ones that may run: the first after those that have done their part.
    private func startNext() async {
        for index in containers.indices {
            let container = containers[index]
            switch container.state {
            case .running: break
            case .terminated(let ending):
                if container.kind == .initial, ending.code == 0 { continue }
                if container.isRestarted(policy, after: ending.code) { await start(index) }
            case .waiting: await start(index)
            }
            switch container.kind {
            case .main: continue
            case .sidecar: if !containers[index].isStarted { return }
            case .initial: if containers[index].ending?.code != 0 { return }
            }
        }
    }

    private func start(_ index: Int) async {
        if let next = containers[index].nextStart, ContinuousClock.now < next { return }
        let container = containers[index]
        do {
            // In the order of a kubelet: volumes, the network, the container.
            let mounts = try mounts(container)
            if sandbox == nil {
                sandbox = try await node.machine.sandbox(hostName: hostName, number: number)
            }
            guard let sandbox else { return }
            hasAddress = true
            var plan = try plan(container, mounts)
            if let ending = container.ending { containers[index].last = ending }
            let directory = "\(directory)/\(container.name)/\(container.runs)"
            try makeDirectory(directory)
            try Data().write(to: URL(filePath: "\(directory)/message"))
            chmod("\(directory)/message", 0o666)
            plan.mounts.append(
                .init(
                    source: "\(directory)/message",
                    target: container.spec["terminationMessagePath"]?.string ?? "/dev/termination-log",
                    isReadOnly: false))
            let log = logFile(container.name, container.runs)
            try makeDirectory((log as NSString).deletingLastPathComponent)
            let run = try ContainerRun(plan, directory: directory, log: log, sandbox: sandbox.process)
            containers[index].run = run
            containers[index].runs += 1
            try await run.waitUntilStarted()
            containers[index].state = .running
            let now = ContinuousClock.now
            containers[index].startup = Probe(.startup, container.spec["startupProbe"], now: now)
            containers[index].readiness = Probe(.readiness, container.spec["readinessProbe"], now: now)
            containers[index].liveness = Probe(.liveness, container.spec["livenessProbe"], now: now)
        } catch let missing as ContainerEnvironment.Missing {
            wait(index, "CreateContainerConfigError", missing.what)
        } catch let missing as MissingImage {
            wait(index, "ErrImagePull", missing.message)
        } catch let missing as MissingVolume {
            wait(index, "ContainerCreating", missing.message)
        } catch {
            wait(index, "RunContainerError", "\(error)")
        }
    }

    private func wait(_ index: Int, _ reason: String, _ message: String) {
        var reason = reason
        // As a kubelet has it, that is not pulling all the time.
        if reason == "ErrImagePull", case .waiting(let before, _) = containers[index].state,
            before.hasSuffix("Pull") || before.hasSuffix("PullBackOff")
        {
            reason = "ImagePullBackOff"
        }
        containers[index].state = .waiting(reason: reason, message: message)
        containers[index].nextStart = .now + .milliseconds(200)
    }

    // MARK: Ends

    private func end(within seconds: Int) {
        isEnding = true
        endAt = .now + .seconds(seconds)
    }

    /// Sidecars after the others, the last one first.
    private func stopInOrder() {
        let grace = pod["spec", "terminationGracePeriodSeconds"]?.integer ?? 30
        let deadline = isEnding ? endAt : .now + .seconds(grace)
        let others = containers.indices.filter { containers[$0].kind != .sidecar && containers[$0].isRunning }
        if !others.isEmpty {
            for index in others { stop(index, at: deadline) }
            if ContinuousClock.now < deadline { return }
        }
        for index in containers.indices.reversed()
        where containers[index].kind == .sidecar && containers[index].isRunning {
            stop(index, at: deadline)
            if ContinuousClock.now < deadline { return }
        }
    }

    private func stop(_ index: Int, at deadline: ContinuousClock.Instant) {
        guard containers[index].isRunning, let run = containers[index].run else { return }
        if let before = containers[index].killAt {
            containers[index].killAt = min(before, deadline)
            return
        }
        containers[index].killAt = deadline
        let hook = containers[index].spec[["lifecycle", "preStop", "exec", "command"]]?.elements.compactMap(\.string)
        Task {
            if let hook { _ = try? await run.exec(hook, timeout: max(deadline - .now, .milliseconds(1))) }
            run.signal(SIGTERM)
        }
    }

    private func removeSandbox() async {
        guard let keeper = sandbox?.keeper else { return }
        sandbox = nil
        keeper.signal(SIGKILL)
        _ = try? await keeper.wait()
    }

    private func removeAll() async {
        for container in containers { container.run?.signal(SIGKILL) }
        for container in containers {
            while let run = container.run, run.status == nil { try? await Task.sleep(for: .milliseconds(5)) }
        }
        await removeSandbox()
        try? FileManager.default.removeItem(atPath: directory)
    }

    private func deleteObject() async {
        var options = DeleteOptions(uid: pod.uid)
        options.gracePeriod = 0
        while !Task.isCancelled, node.objects.pods[pod.key]?.uid == pod.uid {
            do {
                let left = try await node.client.delete(.pods, namespace: pod.namespace, name: pod.name, options)
                // Somebody's finalizers keep it.
                if left == nil { return }
            } catch {
                if error.isConflict { return }
            }
            try? await Task.sleep(for: .milliseconds(100))
        }
    }

    // MARK: Probes

    private func ask(_ index: Int) {
        guard let run = containers[index].run, containers[index].killAt == nil else { return }
        let isStarted = containers[index].isStarted
        for path in isStarted ? [\PodContainer.readiness, \PodContainer.liveness] : [\PodContainer.startup] {
            guard let probe = containers[index][keyPath: path], !probe.isAsking, ContinuousClock.now >= probe.nextAt
            else { continue }
            containers[index][keyPath: path]?.isAsking = true
            containers[index][keyPath: path]?.nextAt = .now + probe.period
            let (address, ports) = (address, containers[index].ports)
            Task {
                let answer = await probe.ask(run, address: address, ports: ports)
                self.note(index, run, probe.kind, answer)
            }
        }
    }

    private func note(_ index: Int, _ run: ContainerRun, _ kind: Probe.Kind, _ answer: Bool) {
        guard containers[index].run === run else { return }
        let grace = pod["spec", "terminationGracePeriodSeconds"]?.integer ?? 30
        switch kind {
        case .startup: containers[index].startup?.note(answer)
        case .readiness: containers[index].readiness?.note(answer)
        case .liveness: containers[index].liveness?.note(answer)
        }
        let isBad = containers[index].startup?.isGood == false || containers[index].liveness?.isGood == false
        if isBad, !isEnding { stop(index, at: .now + .seconds(grace)) }
    }

    // MARK: What is told

    private func report() async {
        let status = status(hasFinished: hasFinished && isOver, isEnding: isEnding)
        guard status != told else { return }
        do {
            _ = try await node.client.patch(
                .pods, namespace: pod.namespace, name: pod.name,
                ["metadata": ["uid": .text(pod.uid)], "status": status], .status)
            told = status
        } catch {
            // It is said again at the next step.
        }
    }

    var hostName: String { pod["spec", "hostname"]?.string ?? String(pod.name.prefix(63)) }

    func makeDirectory(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    }

    private func logFile(_ container: String, _ run: Int) -> String {
        "\(node.machine.logs)/\(pod.namespace ?? "")/\(pod.name)-\(pod.uid)/\(container)/\(run).log"
    }

    private func index(of container: String?) -> Int? {
        guard let container else { return containers.firstIndex { $0.kind == .main } }
        return containers.firstIndex { $0.name == container }
    }

    func run(of container: String?) throws -> ContainerRun {
        guard let index = index(of: container), let run = containers[index].run else {
            throw TestSupportError("there is no container '\(container ?? "")' in pod '\(pod.key)', or it never ran")
        }
        return run
    }

    func log(of container: String?, isPrevious: Bool) -> (bytes: [UInt8], isOver: Bool)? {
        guard let index = index(of: container) else { return nil }
        let wanted = containers[index].runs - (isPrevious ? 2 : 1)
        guard wanted >= 0 else { return nil }
        let bytes = (try? Data(contentsOf: URL(filePath: logFile(containers[index].name, wanted)))) ?? Data()
        return (Array(bytes), isPrevious || containers[index].run?.status != nil)
    }
}
