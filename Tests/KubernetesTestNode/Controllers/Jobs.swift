import Foundation
import HTTP
import KubernetesClient
import Synchronization

/// Jobs with one pod at a time.
extension TestControllers {
    func reconcile(job: KubernetesObject) async throws(KubernetesError) {
        let spec = job["spec"] ?? [:]
        if let finished = finishTime(job) {
            if let ttl = spec["ttlSecondsAfterFinished"]?.integer, finished + Int64(ttl) <= Int64(time(nil)) {
                var options = DeleteOptions(propagation: .background, uid: job.uid)
                options.resourceVersion = job.resourceVersion
                try await client.delete(.jobs, namespace: job.namespace, name: job.name, options)
            }
            return
        }
        guard !job.isBeingDeleted else { return }
        var pods = objects.pods.objects(ownedBy: job.uid)
        var facts = JobFacts(pods)
        let failures = max(facts.failed + lost(job, pods), job["status", "failed"]?.integer ?? 0)
        let isSuspended = spec["suspend"]?.bool == true
        let start = job["status", "startTime"]?.string
        let limit = spec["backoffLimit"]?.integer ?? 6

        if facts.succeeded >= spec["completions"]?.integer ?? 1 {
            return try await finish(
                job, facts, failures, "SuccessCriteriaMet", "Complete", "CompletionsReached",
                "Reached expected number of succeeded pods")
        }
        if let target = job["status", "conditions"]?.elements.first(where: { $0["type"]?.string == "FailureTarget" }) {
            return try await fail(
                job, pods, facts, failures, target["reason"]?.string ?? "", target["message"]?.string ?? "")
        }
        if failures > limit || facts.restarts > limit && limit >= 0 && facts.restartsOnFailure {
            return try await fail(
                job, pods, facts, failures, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        }
        if let seconds = spec["activeDeadlineSeconds"]?.integer, let start, !isSuspended,
            let begun = ServiceTime.parseISO8601(start), begun + Int64(seconds) <= Int64(time(nil))
        {
            return try await fail(
                job, pods, facts, failures, "DeadlineExceeded", "Job was active longer than specified deadline")
        }
        if isSuspended {
            for pod in pods where !["Failed", "Succeeded"].contains(pod.phase) { try await delete(pod) }
        } else if facts.active == 0, facts.terminating == 0, isDue(job, failures) {
            pods = try await ownedPods(job)
            facts = JobFacts(pods)
            if facts.active == 0, facts.succeeded == 0, facts.failed <= failures {
                _ = try await client.create(.pods, Self.pod(job))
                facts.active = 1
            }
        }
        var status = Self.status(job, facts, failures)
        if !isSuspended { status["startTime"] = .text(start ?? Self.now()) }
        try await write(.jobs, status, of: job)
    }

    /// Pods that somebody deleted before they had succeeded: they have failed.
    private func lost(_ job: KubernetesObject, _ pods: [KubernetesObject]) -> Int {
        jobPods.withLock { all in
            for pod in pods { all[job.uid, default: [:]][pod.uid] = pod.phase }
            let present = Set(pods.map(\.uid))
            return (all[job.uid] ?? [:]).filter { !present.contains($0.key) && $0.value != "Succeeded" }.count
        }
    }

    private struct JobFacts {
        var active = 0
        var ready = 0
        var succeeded = 0
        var failed = 0
        var terminating = 0
        var restarts = 0
        var restartsOnFailure = false

        init(_ pods: [KubernetesObject]) {
            for pod in pods {
                switch pod.phase {
                case "Succeeded": succeeded += 1
                case "Failed": failed += 1
                // One that was deleted before it ended has failed.
                case _ where pod.isBeingDeleted: terminating += 1
                default:
                    active += 1
                    if pod.isReady { ready += 1 }
                }
                restarts += (pod["status", "containerStatuses"]?.elements ?? []).reduce(0) {
                    $0 + ($1["restartCount"]?.integer ?? 0)
                }
                if pod["spec", "restartPolicy"]?.string == "OnFailure" { restartsOnFailure = true }
            }
        }
    }

    private static func status(_ job: KubernetesObject, _ facts: JobFacts, _ failures: Int) -> ServiceJSON {
        [
            "active": count(facts.active), "succeeded": count(facts.succeeded), "failed": count(failures),
            "ready": ServiceJSON(facts.ready),
            "terminating": ServiceJSON(facts.terminating), "uncountedTerminatedPods": [:],
        ]
    }

    private static func pod(_ job: KubernetesObject) -> KubernetesObject {
        let labels = [
            "batch.kubernetes.io/controller-uid": job.uid, "batch.kubernetes.io/job-name": job.name,
            "controller-uid": job.uid, "job-name": job.name,
        ]
        var pod = pod(job["spec", "template"] ?? [:], of: job, labels: labels)
        pod.generateName = job.name + "-"
        return pod
    }

    private func isDue(_ job: KubernetesObject, _ failures: Int) -> Bool {
        guard failures > 0 else { return true }
        let last = failedAt.withLock { failed in
            let now = ContinuousClock.now
            let key = "\(job.uid) \(failures)"
            if let known = failed[key] { return known }
            failed[key] = now
            return now
        }
        return ContinuousClock.now >= last + options.jobPause * (1 << min(failures - 1, 10))
    }

    private func finishTime(_ job: KubernetesObject) -> Int64? {
        job["status", "conditions"]?.elements.first {
            ["Complete", "Failed"].contains($0["type"]?.string) && $0["status"]?.string == "True"
        }?["lastTransitionTime"]?.string.flatMap(ServiceTime.parseISO8601)
    }

    /// The condition that says how it will end comes before the one that says that it has.
    private func finish(
        _ job: KubernetesObject, _ facts: JobFacts, _ failures: Int, _ first: String, _ last: String,
        _ reason: String, _ message: String
    ) async throws(KubernetesError) {
        var status = Self.status(job, facts, failures)
        var conditions = [
            Self.condition(first, true, reason, message, in: job), Self.condition(last, true, reason, message, in: job),
        ]
        for index in conditions.indices { conditions[index]["lastProbeTime"] = .text(Self.now()) }
        status["conditions"] = .array(conditions)
        status["startTime"] = job["status", "startTime"] ?? .text(Self.now())
        if last == "Complete" { status["completionTime"] = .text(Self.now()) }
        try await write(.jobs, status, of: job)
    }

    private func fail(
        _ job: KubernetesObject, _ pods: [KubernetesObject], _ facts: JobFacts, _ failures: Int, _ reason: String,
        _ message: String
    ) async throws(KubernetesError) {
        let alive = pods.filter { !["Failed", "Succeeded"].contains($0.phase) }
        guard alive.isEmpty else {
            for pod in alive { try await delete(pod) }
            var condition = Self.condition("FailureTarget", true, reason, message, in: job)
            condition["lastProbeTime"] = condition["lastTransitionTime"]
            return try await write(.jobs, ["conditions": [condition]], of: job)
        }
        // Pods that were ended for it have failed too.
        try await finish(job, facts, max(failures, 1), "FailureTarget", "Failed", reason, message)
    }
}
