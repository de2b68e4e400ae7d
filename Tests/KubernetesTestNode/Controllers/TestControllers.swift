import Foundation
import HTTP
package import KubernetesClient
import Synchronization
package import TestSupport

/// Small stand-ins for the controllers that a cluster comes with: StatefulSets, Deployments, Jobs, claims of volumes and
/// endpoints of Services. They look at everything again and again, and change what is not as it should be.
package final class TestControllers: Sendable {
    package struct Options: Sendable {
        /// Before a Job's next pod when one failed; doubled each time.
        package var jobPause = Duration.milliseconds(200)
        package var pass = Duration.milliseconds(50)

        package init() {}
    }

    let client: KubernetesClient
    let objects: ClusterObjects
    let machine: NodeMachine
    let options: Options
    /// When pods of a Job failed last, by the Job.
    let failedAt = Mutex<[String: ContinuousClock.Instant]>([:])
    /// The phases of all pods that a Job ever had.
    let jobPods = Mutex<[String: [String: String]]>([:])
    let claimDirectories = Mutex<[String: String]>([:])

    package init(
        _ client: KubernetesClient, _ objects: ClusterObjects, _ machine: NodeMachine, _ options: Options = Options()
    ) {
        self.client = client
        self.objects = objects
        self.machine = machine
        self.options = options
    }

    /// They end with the scratch directory.
    package func start(_ scratch: ScratchDirectory) {
        let task = Task {
            while !Task.isCancelled {
                await self.pass()
                try? await Task.sleep(for: self.options.pass)
            }
        }
        scratch.atEnd {
            task.cancel()
            await task.value
        }
    }

    private func pass() async {
        for claim in objects.claims.objects() {
            await attempt { () async throws(KubernetesError) in try await self.bind(claim) }
        }
        releaseVolumes()
        for set in objects.statefulSets.objects() {
            await attempt { () async throws(KubernetesError) in try await self.reconcile(statefulSet: set) }
        }
        for deployment in objects.deployments.objects() {
            await attempt { () async throws(KubernetesError) in try await self.reconcile(deployment: deployment) }
        }
        for job in objects.jobs.objects() {
            await attempt { () async throws(KubernetesError) in try await self.reconcile(job: job) }
        }
        for service in objects.services.objects() {
            await attempt { () async throws(KubernetesError) in try await self.reconcile(service: service) }
        }
    }

    /// What failed is tried again with the next pass, with newer objects.
    private func attempt(_ body: () async throws(KubernetesError) -> Void) async {
        do throws(KubernetesError) { try await body() } catch {
            if !error.isConflict, !error.isAlreadyExists, !error.isNotFound, !error.isCancelled, !Task.isCancelled,
                error.status != nil
            {
                FileHandle.standardError.write(Data("controller: \(error.message)\n".utf8))
            }
        }
    }

    // MARK: For all of them

    /// Pods that an object owns, as the server has them: what was made a moment ago may not be seen yet elsewhere.
    func ownedPods(_ owner: KubernetesObject) async throws(KubernetesError) -> [KubernetesObject] {
        try await client.list(.pods, namespace: owner.namespace).objects.filter { pod in
            pod.ownerReferences.contains { $0.uid == owner.uid }
        }
    }

    /// A pod by a template; its name is still to be given.
    static func pod(_ template: ServiceJSON, of owner: KubernetesObject, labels: [String: String]) -> KubernetesObject {
        var pod = KubernetesObject(.pods, namespace: owner.namespace, name: "")
        pod["metadata", "name"] = nil
        pod.labels = (template[["metadata", "labels"]]?.texts ?? [:]).merging(labels) { $1 }
        pod.annotations = template[["metadata", "annotations"]]?.texts ?? [:]
        pod.ownerReferences = [owner.owner()]
        pod["spec"] = template["spec"] ?? [:]
        return pod
    }

    /// Eight letters that change with what a template says.
    static func hash(_ template: ServiceJSON) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in template.description.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let letters = Array("bcdfghjklmnpqrstvwxz2456789")
        return String((0..<8).map { letters[Int((hash >> (UInt64($0) * 7)) % UInt64(letters.count))] })
    }

    func delete(_ pod: KubernetesObject) async throws(KubernetesError) {
        guard !pod.isBeingDeleted else { return }
        try await client.delete(.pods, namespace: pod.namespace, name: pod.name, DeleteOptions(uid: pod.uid))
    }

    func write(_ type: ResourceType, _ status: ServiceJSON, of object: KubernetesObject) async throws(KubernetesError) {
        // A merge leaves what is not named.
        let differs = status.members.contains { name, value in
            (object["status", name] ?? .null) != value
        }
        guard differs else { return }
        _ = try await client.patch(
            type, namespace: object.namespace, name: object.name,
            ["metadata": ["uid": .text(object.uid)], "status": status], .status)
    }

    /// A count as a status has it: none is not said.
    static func count(_ number: Int) -> ServiceJSON { number == 0 ? .null : ServiceJSON(number) }

    static func now() -> String { ServiceTime.rfc3339(Int64(Date().timeIntervalSince1970)) }

    /// A condition as it was, when nothing but the time would change.
    static func condition(
        _ type: String, _ holds: Bool, _ reason: String, _ message: String, in object: KubernetesObject,
        hasUpdateTime: Bool = false
    ) -> ServiceJSON {
        var condition: ServiceJSON = [
            "type": .text(type), "status": holds ? "True" : "False", "reason": .text(reason), "message": .text(message),
        ]
        let old = object["status", "conditions"]?.elements.first { $0["type"]?.string == type }
        let isSame = ["status", "reason", "message"].allSatisfy { old?[$0] == condition[$0] }
        if isSame, let old { return old }
        let isHeld = old?["status"] == condition["status"]
        condition["lastTransitionTime"] = isHeld ? old?["lastTransitionTime"] : .text(now())
        if hasUpdateTime { condition["lastUpdateTime"] = .text(now()) }
        return condition
    }
}
