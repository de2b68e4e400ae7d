import HTTP
import KubernetesClient

extension TestControllers {
    func reconcile(statefulSet set: KubernetesObject) async throws(KubernetesError) {
        let spec = set["spec"] ?? [:]
        let template = spec["template"] ?? [:]
        let revision = "\(set.name)-\(Self.hash(template))"
        let wanted = spec["replicas"]?.integer ?? 1
        var pods: [Int: KubernetesObject] = [:]
        for pod in objects.pods.objects(ownedBy: set.uid) {
            if pod.name.hasPrefix(set.name + "-"), let number = Int(pod.name.dropFirst(set.name.count + 1)) {
                pods[number] = pod
            }
        }
        try await writeStatus(of: set, Array(pods.values), revision: revision)
        guard !set.isBeingDeleted else { return }
        let isOrdered = spec["podManagementPolicy"]?.string != "Parallel"

        for number in 0..<max(wanted, 0) {
            guard let pod = pods[number] else {
                try await makeClaims(set, number)
                _ = try await client.create(.pods, Self.pod(set, number, template, revision: revision))
                if isOrdered { return }
                continue
            }
            if ["Failed", "Succeeded"].contains(pod.phase) {
                try await delete(pod)
                return
            }
            if isOrdered, !pod.isReady || pod.isBeingDeleted { return }
        }
        for number in pods.keys.sorted(by: >) where number >= wanted {
            guard let pod = pods[number] else { continue }
            try await delete(pod)
            if isOrdered { return }
        }
        guard spec[["updateStrategy", "type"]]?.string != "OnDelete" else { return }
        let partition = spec[["updateStrategy", "rollingUpdate", "partition"]]?.integer ?? 0
        for number in (0..<max(wanted, 0)).reversed() where number >= partition {
            guard let pod = pods[number] else { return }
            if pod.labels["controller-revision-hash"] != revision {
                try await delete(pod)
                return
            }
            if !pod.isReady || pod.isBeingDeleted { return }
        }
    }

    private static func claims(_ set: KubernetesObject) -> [ServiceJSON] {
        set["spec", "volumeClaimTemplates"]?.elements ?? []
    }

    private static func claimName(_ claim: ServiceJSON, _ set: KubernetesObject, _ number: Int) -> String {
        "\(claim[["metadata", "name"]]?.string ?? "")-\(set.name)-\(number)"
    }

    private static func pod(
        _ set: KubernetesObject, _ number: Int, _ template: ServiceJSON, revision: String
    ) -> KubernetesObject {
        var pod = pod(
            template, of: set,
            labels: [
                "controller-revision-hash": revision, "apps.kubernetes.io/pod-index": String(number),
                "statefulset.kubernetes.io/pod-name": "\(set.name)-\(number)",
            ])
        pod.name = "\(set.name)-\(number)"
        pod["spec", "hostname"] = .text(pod.name)
        pod["spec", "subdomain"] = set["spec", "serviceName"]
        let own = claims(set).map { claim -> ServiceJSON in
            [
                "name": claim[["metadata", "name"]] ?? "",
                "persistentVolumeClaim": ["claimName": .text(claimName(claim, set, number))],
            ]
        }
        let names = Set(own.compactMap { $0["name"]?.string })
        let others = (pod["spec", "volumes"]?.elements ?? []).filter { !names.contains($0["name"]?.string ?? "") }
        pod["spec", "volumes"] = .array(own + others)
        return pod
    }

    private func makeClaims(_ set: KubernetesObject, _ number: Int) async throws(KubernetesError) {
        for template in Self.claims(set) {
            let key = ObjectKey(namespace: set.namespace, name: Self.claimName(template, set, number))
            guard objects.claims[key] == nil else { continue }
            var claim = KubernetesObject(.persistentVolumeClaims, namespace: set.namespace, name: key.name)
            claim.labels = (template[["metadata", "labels"]]?.texts ?? [:]).merging(
                set["spec", "selector", "matchLabels"]?.texts ?? [:]
            ) { $1 }
            claim.annotations = template[["metadata", "annotations"]]?.texts ?? [:]
            claim["spec"] = template["spec"]
            do throws(KubernetesError) {
                _ = try await client.create(.persistentVolumeClaims, claim)
            } catch {
                if !error.isAlreadyExists { throw error }
            }
        }
    }

    private func writeStatus(
        of set: KubernetesObject, _ pods: [KubernetesObject], revision: String
    ) async throws(KubernetesError) {
        let ready = pods.filter { $0.isReady && !$0.isBeingDeleted }.count
        let updated = pods.filter { $0.labels["controller-revision-hash"] == revision && !$0.isBeingDeleted }.count
        let before = set["status", "currentRevision"]?.string ?? revision
        let isWhole = updated == pods.count && updated == ready && ready == set["spec", "replicas"]?.integer ?? 1
        let current = isWhole ? revision : before
        let status: ServiceJSON = [
            "observedGeneration": ServiceJSON(set.generation), "replicas": ServiceJSON(pods.count),
            "readyReplicas": Self.count(ready), "availableReplicas": ServiceJSON(ready),
            "currentReplicas": Self.count(
                pods.filter { $0.labels["controller-revision-hash"] == current && !$0.isBeingDeleted }.count),
            "updatedReplicas": Self.count(updated), "currentRevision": .text(current),
            "updateRevision": .text(revision), "collisionCount": 0,
        ]
        try await write(.statefulSets, status, of: set)
    }
}
