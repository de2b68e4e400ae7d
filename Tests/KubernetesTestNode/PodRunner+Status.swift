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
        let reason = phase == "Succeeded" ? "PodCompleted" : "ContainersNotReady"
        let conditions = [
            condition("PodScheduled", true, ""),
            condition("Initialized", isInitialized || hasFinished, "ContainersNotInitialized"),
            condition("ContainersReady", areReady, reason), condition("Ready", areReady, reason),
        ]
        let hasAddress = containers.contains { $0.runs > 0 }
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

    private func condition(_ type: String, _ holds: Bool, _ reason: String) -> ServiceJSON {
        let value = holds ? "True" : "False"
        if conditionTimes[type]?.status != value {
            conditionTimes[type] = (value, ServiceTime.rfc3339(Int64(time(nil))))
        }
        var condition: ServiceJSON = ["type": .text(type), "status": .text(value)]
        condition["lastTransitionTime"] = conditionTimes[type].map { .text($0.since) }
        if !holds, !reason.isEmpty { condition["reason"] = .text(reason) }
        return condition
    }
}
