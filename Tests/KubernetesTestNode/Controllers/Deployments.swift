import HTTP
import KubernetesClient

/// Without ReplicaSets: a Deployment owns its pods itself.
extension TestControllers {
    func reconcile(deployment: KubernetesObject) async throws(KubernetesError) {
        let spec = deployment["spec"] ?? [:]
        let template = spec["template"] ?? [:]
        let hash = Self.hash(template)
        let wanted = max(0, spec["replicas"]?.integer ?? 1)
        func isCurrent(_ pod: KubernetesObject) -> Bool {
            pod.labels["pod-template-hash"] == hash && !pod.isBeingDeleted
                && !["Failed", "Succeeded"].contains(pod.phase)
        }
        var pods = objects.pods.objects(ownedBy: deployment.uid)
        try await writeStatus(of: deployment, pods, hash: hash, wanted: wanted)
        guard !deployment.isBeingDeleted else { return }
        let isRecreated = spec[["strategy", "type"]]?.string == "Recreate"
        for pod in pods where ["Failed", "Succeeded"].contains(pod.phase) { try await delete(pod) }

        var current = pods.filter(isCurrent)
        let old = pods.filter { $0.labels["pod-template-hash"] != hash }
        if isRecreated, !old.isEmpty {
            for pod in old { try await delete(pod) }
            return
        }
        if current.count < wanted {
            pods = try await ownedPods(deployment)
            current = pods.filter(isCurrent)
            for _ in current.count..<max(wanted, current.count) {
                var pod = Self.pod(template, of: deployment, labels: ["pod-template-hash": hash])
                pod.generateName = "\(deployment.name)-\(hash)-"
                _ = try await client.create(.pods, pod)
            }
            return
        }
        // Those that are not ready first, then the youngest.
        let surplus = current.sorted { ($0.isReady ? 1 : 0, $1.uid) < ($1.isReady ? 1 : 0, $0.uid) }
        for pod in surplus.prefix(current.count - wanted) { try await delete(pod) }
        if current.filter(\.isReady).count >= wanted {
            for pod in old { try await delete(pod) }
        }
    }

    private func writeStatus(
        of deployment: KubernetesObject, _ pods: [KubernetesObject], hash: String, wanted: Int
    ) async throws(KubernetesError) {
        let alive = pods.filter { !$0.isBeingDeleted && !["Failed", "Succeeded"].contains($0.phase) }
        let ready = alive.filter(\.isReady).count
        let updated = alive.filter { $0.labels["pod-template-hash"] == hash }
        let isAvailable = ready >= max(wanted - (wanted + 3) / 4, min(wanted, 1))
        let isDone = updated.count == wanted && alive.count == wanted && updated.allSatisfy(\.isReady)
        let status: ServiceJSON = [
            "observedGeneration": ServiceJSON(deployment.generation), "replicas": Self.count(alive.count),
            "updatedReplicas": Self.count(updated.count), "readyReplicas": Self.count(ready),
            "availableReplicas": Self.count(ready), "unavailableReplicas": Self.count(max(0, wanted - ready)),
            "terminatingReplicas": ServiceJSON(pods.count { $0.isBeingDeleted }),
            "conditions": [
                Self.condition(
                    "Available", isAvailable,
                    isAvailable ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                    isAvailable
                        ? "Deployment has minimum availability." : "Deployment does not have minimum availability.",
                    in: deployment, hasUpdateTime: true),
                Self.condition(
                    "Progressing", true, isDone ? "NewReplicaSetAvailable" : "ReplicaSetUpdated",
                    isDone ? "The Deployment has successfully progressed." : "The Deployment is progressing.",
                    in: deployment, hasUpdateTime: true),
            ],
        ]
        try await write(.deployments, status, of: deployment)
    }
}
