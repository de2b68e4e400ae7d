import Foundation
import HTTP
package import KubernetesClient
import Synchronization
package import TestSupport

/// A small kubelet: takes pods that no node has, and runs them as processes in namespaces of ``NodeMachine``. It knows
/// of the objects alone.
package final class TestNode: Sendable {
    /// What pods need to speak to the API server.
    package struct ServerAccess: Sendable {
        package var host: String
        package var port: Int
        /// PEM.
        package var authority: [UInt8]
        package var token: String

        package init(host: String, port: Int, authority: [UInt8], token: String) {
            self.host = host
            self.port = port
            self.authority = authority
            self.token = token
        }
    }

    package struct Options: Sendable {
        package var name = "node"
        /// By name; a container with another one waits with `ErrImagePull`.
        package var images: [String: NodeImage] = [:]
        /// Addresses of names outside of the cluster: `s3.amazonaws.com`, `*.amazonaws.com`.
        package var names: [String: String] = [:]
        package var server: ServerAccess?
        /// Before a container that ended is started for the second time and so on; doubled each time.
        package var restartPause = Duration.milliseconds(500)
        package var longestRestartPause = Duration.seconds(10)
        /// How often a pod is looked after.
        package var tick = Duration.milliseconds(50)

        package init() {}
    }

    private struct State: Sendable {
        var options: Options
        var runners: [String: PodRunner] = [:]
        var numbers: Set<Int> = []
        var lastNumber = 1
        var tasks: [Task<Void, Never>] = []
        var nameserver: Nameserver?
    }

    package let machine: NodeMachine
    package let objects: ClusterObjects
    let client: KubernetesClient
    private let state: Mutex<State>

    package init(_ client: KubernetesClient, _ objects: ClusterObjects, _ machine: NodeMachine, _ options: Options) {
        self.client = client
        self.objects = objects
        self.machine = machine
        state = Mutex(State(options: options))
    }

    package var options: Options { state.withLock { $0.options } }

    /// For what is started from now on.
    package func set(_ change: @Sendable (inout Options) -> Void) { state.withLock { change(&$0.options) } }

    /// Ends with the scratch directory.
    package func start(_ scratch: ScratchDirectory) async throws {
        let nameserver = try Nameserver(address: machine.address) { [weak self] in self?.addresses(of: $0) }
        var node = KubernetesObject(.nodes, name: options.name)
        node.labels = ["kubernetes.io/hostname": options.name]
        if try await client.find(.nodes, name: options.name) == nil { node = try await client.create(.nodes, node) }
        _ = try await client.patch(
            .nodes, name: options.name,
            [
                "status": [
                    "conditions": [["type": "Ready", "status": "True", "reason": "KubeletReady"]],
                    "addresses": [["type": "InternalIP", "address": .text(machine.address)]],
                ]
            ], .status)
        let task = Task { await self.run() }
        state.withLock { state in
            state.nameserver = nameserver
            state.tasks.append(task)
        }
        scratch.atEnd { await self.stop() }
    }

    package func stop() async {
        let (tasks, nameserver) = state.withLock { state in
            defer { (state.tasks, state.nameserver) = ([], nil) }
            return (state.tasks, state.nameserver)
        }
        nameserver?.stop()
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    // MARK: Pods

    private func run() async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                for pod in objects.pods.objects() where state.withLock({ $0.runners[pod.uid] == nil }) {
                    let holder = pod["spec", "nodeName"]?.string ?? ""
                    if holder.isEmpty {
                        await bind(pod)
                    } else if holder == options.name, !["Succeeded", "Failed"].contains(pod.phase) {
                        let runner = PodRunner(self, pod)
                        state.withLock { $0.runners[pod.uid] = runner }
                        group.addTask {
                            await runner.run()
                            self.state.withLock { _ = $0.numbers.remove(runner.number) }
                        }
                    }
                }
                try? await Task.sleep(for: options.tick)
            }
        }
    }

    private func bind(_ pod: KubernetesObject) async {
        guard !pod.isBeingDeleted else { return }
        _ = try? await client.patch(
            .pods, namespace: pod.namespace, name: pod.name,
            ["metadata": ["uid": .text(pod.uid)], "spec": ["nodeName": .text(options.name)]])
    }

    /// A number on the network that no other pod has, nor had a moment ago.
    func takeNumber() -> Int {
        state.withLock { state in
            let all = Array(NodeMachine.podNumbers)
            let start = all.firstIndex(of: state.lastNumber + 1) ?? 0
            let turn = all[start...] + all[..<start]
            state.lastNumber = turn.first { !state.numbers.contains($0) } ?? all[start]
            state.numbers.insert(state.lastNumber)
            return state.lastNumber
        }
    }

    private func runner(_ namespace: String, _ pod: String) throws -> PodRunner {
        let key = ObjectKey(namespace: namespace, name: pod)
        let found = objects.pods[key].flatMap { pod in state.withLock { $0.runners[pod.uid] } }
        guard let found else { throw TestSupportError("there is no pod '\(key)' on the node") }
        return found
    }

    // MARK: What tests do with them

    /// Runs a command in a container, as its user; the first one of the pod's when none is named.
    package func exec(
        _ namespace: String, _ pod: String, _ container: String? = nil, _ command: [String], stdin: String = "",
        timeout: Duration = .seconds(60)
    ) async throws -> ProcessResult {
        let run = try await runner(namespace, pod).run(of: container)
        return try await run.exec(command, stdin: stdin, timeout: timeout)
    }

    /// Ends the first process of a container at once.
    package func kill(_ namespace: String, _ pod: String, _ container: String? = nil) async throws {
        try await runner(namespace, pod).run(of: container).signal(SIGKILL)
    }

    /// What a container has said; nil when there is no such one, and at its end whether no more will come.
    package func log(
        _ namespace: String, _ pod: String, _ container: String? = nil, isPrevious: Bool = false
    ) async -> (bytes: [UInt8], isOver: Bool)? {
        guard let runner = try? runner(namespace, pod) else { return nil }
        return await runner.log(of: container, isPrevious: isPrevious)
    }

    // MARK: Names

    /// As the DNS of a cluster has them, and those of ``Options/names``.
    func addresses(of name: String) -> [String]? {
        let options = options
        let suffix = ".svc.cluster.local"
        if name.hasSuffix(suffix) {
            let parts = name.dropLast(suffix.count).split(separator: ".").map(String.init)
            if parts == ["kubernetes", "default"] { return (options.server?.host).map { [$0] } }
            guard (2...3).contains(parts.count),
                let endpoints = objects.endpoints[
                    ObjectKey(namespace: parts[parts.count - 1], name: parts[parts.count - 2])]
            else { return nil }
            let all = (endpoints["subsets"]?.elements ?? []).flatMap { $0["addresses"]?.elements ?? [] }
            let found = all.filter { parts.count == 2 || $0["hostname"]?.string == parts[0] }
                .compactMap { $0["ip"]?.string }
            return found.isEmpty ? nil : found
        }
        if let address = options.names[name] { return [address] }
        for (pattern, address) in options.names where pattern.hasPrefix("*.") && name.hasSuffix(pattern.dropFirst()) {
            return [address]
        }
        return nil
    }
}

extension KubernetesObject {
    package var phase: String { self["status", "phase"]?.string ?? "" }
    /// Of a pod.
    package var isReady: Bool { hasCondition("Ready") }

    package func hasCondition(_ type: String) -> Bool {
        self["status", "conditions"]?.elements.contains {
            $0["type"]?.string == type && $0["status"]?.string == "True"
        } ?? false
    }
}
