import Glibc
import HTTP
import KubernetesClient

extension PodRunner {
    /// - Parameters:
    ///   - hasFinished: all containers have ended for good.
    ///   - isEnding: the pod is told to end.
    func status(hasFinished: Bool, isEnding: Bool) -> ServiceJSON {
        let initial = containers.filter { $0.kind != .main }
        let mains = containers.filter { $0.kind == .main }
        let isInitialized = initial.allSatisfy { $0.kind == .initial ? $0.ending?.code == 0 : $0.isStarted }
        let hasBegun = mains.contains { $0.runs > 0 }
        let phase =
            if failure != nil {
                "Failed"
            } else if hasFinished {
                containers.contains { $0.kind != .sidecar && ($0.ending?.code ?? 0) != 0 } ? "Failed" : "Succeeded"
            } else {
                hasBegun ? "Running" : "Pending"
            }
        let areReady =
            !isEnding && phase == "Running" && mains.allSatisfy(\.isReady)
            && containers.allSatisfy { $0.kind != .sidecar || $0.isReady }
        let isCompleted = phase == "Succeeded"
        let reason = isCompleted ? "PodCompleted" : "ContainersNotReady"
        let unready = mains.filter { !$0.isReady }.map(\.name)
        let message =
            isCompleted || unready.isEmpty ? "" : "containers with unready status: [\(unready.joined(separator: " "))]"
        var conditions = [
            condition("PodReadyToStartContainers", sandbox != nil),
            condition("Initialized", isInitialized || hasFinished, "ContainersNotInitialized"),
            condition("Ready", areReady, reason, message), condition("ContainersReady", areReady, reason, message),
            condition("PodScheduled", true),
        ]
        if isCompleted { conditions[1]["reason"] = "PodCompleted" }
        var status: ServiceJSON = [
            "phase": .text(phase), "conditions": .array(conditions), "hostIP": .text(node.machine.address),
            "hostIPs": [["ip": .text(node.machine.address)]], "qosClass": "BestEffort",
            "containerStatuses": .array(mains.map(\.status)),
        ]
        if let creation = pod.creationTime { status["startTime"] = .text(ServiceTime.rfc3339(creation)) }
        if !initial.isEmpty { status["initContainerStatuses"] = .array(initial.map(\.status)) }
        if hasAddress {
            status["podIP"] = .text(address)
            status["podIPs"] = [["ip": .text(address)]]
        }
        if let failure {
            status["reason"] = .text(failure.reason)
            status["message"] = .text(failure.message)
        }
        return status
    }

    private func condition(
        _ type: String, _ holds: Bool, _ reason: String = "", _ message: String = ""
    ) -> ServiceJSON {
        let value = holds ? "True" : "False"
        if conditionTimes[type]?.status != value {
            conditionTimes[type] = (value, ServiceTime.rfc3339(Int64(time(nil))))
        }
        var condition: ServiceJSON = ["type": .text(type), "status": .text(value)]
        condition["lastTransitionTime"] = conditionTimes[type].map { .text($0.since) }
        if !holds, !reason.isEmpty { condition["reason"] = .text(reason) }
        if !holds, !message.isEmpty { condition["message"] = .text(message) }
        return condition
    }
}
