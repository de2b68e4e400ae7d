import Foundation
import HTTP
import KubernetesClient
import Synchronization

/// Every claim gets a directory at once.
extension TestControllers {
    func bind(_ claim: KubernetesObject) async throws(KubernetesError) {
        let directory = claim.volumeDirectory(machine)
        claimDirectories.withLock { $0[claim.uid] = directory }
        guard !claim.isBeingDeleted else { return }
        if claim["spec", "volumeName"] == nil {
            _ = try await client.patch(
                .persistentVolumeClaims, namespace: claim.namespace, name: claim.name,
                ["metadata": ["uid": .text(claim.uid)], "spec": ["volumeName": .text("pvc-\(claim.uid)")]])
        }
        let status: ServiceJSON = [
            "phase": "Bound", "accessModes": claim["spec", "accessModes"] ?? ["ReadWriteOnce"],
            "capacity": ["storage": claim["spec", "resources", "requests", "storage"] ?? "1Gi"],
        ]
        try await write(.persistentVolumeClaims, status, of: claim)
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
