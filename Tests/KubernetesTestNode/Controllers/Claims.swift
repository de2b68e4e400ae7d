import Foundation
import HTTP
import KubernetesClient
import Synchronization

/// Every claim gets a directory at once.
extension TestControllers {
    func bind(_ claim: KubernetesObject) async throws(KubernetesError) {
        let directory = claim.volumeDirectory(machine)
        claimDirectories.withLock { $0[claim.uid] = directory }
        let isProtected = claim.finalizers.contains(Self.protection)
        guard !claim.isBeingDeleted else {
            if isProtected, !isUsed(claim) {
                try await keep(claim, claim.finalizers.filter { $0 != Self.protection })
            }
            return
        }
        if !isProtected || claim["spec", "volumeName"] == nil {
            try await keep(claim, claim.finalizers.filter { $0 != Self.protection } + [Self.protection])
        }
        let status: ServiceJSON = [
            "phase": "Bound", "accessModes": claim["spec", "accessModes"] ?? ["ReadWriteOnce"],
            "capacity": ["storage": claim["spec", "resources", "requests", "storage"] ?? "1Gi"],
        ]
        try await write(.persistentVolumeClaims, status, of: claim)
    }

    /// A claim that a pod uses stays until that has gone.
    private static let protection = "kubernetes.io/pvc-protection"

    private func isUsed(_ claim: KubernetesObject) -> Bool {
        objects.pods.objects(namespace: claim.namespace).contains { pod in
            !["Failed", "Succeeded"].contains(pod.phase)
                && (pod["spec", "volumes"]?.elements ?? []).contains {
                    $0[["persistentVolumeClaim", "claimName"]]?.string == claim.name
                }
        }
    }

    private func keep(_ claim: KubernetesObject, _ finalizers: [String]) async throws(KubernetesError) {
        _ = try await client.patch(
            .persistentVolumeClaims, namespace: claim.namespace, name: claim.name,
            [
                "metadata": ["uid": .text(claim.uid), "finalizers": ServiceJSON(finalizers)],
                "spec": ["volumeName": .text("pvc-\(claim.uid)")],
            ])
    }

    /// What was in the directory goes with the claim.
    func releaseVolumes() {
        let present = Set(objects.claims.objects().map(\.uid))
        let gone = claimDirectories.withLock { directories in
            let gone = directories.filter { !present.contains($0.key) }
            for uid in gone.keys { directories[uid] = nil }
            return gone.values
        }
        for directory in gone { try? FileManager.default.removeItem(atPath: directory) }
    }
}
