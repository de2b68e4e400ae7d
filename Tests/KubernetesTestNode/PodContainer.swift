import Glibc
import HTTP

/// One container of a pod through all its runs.
struct PodContainer {
    enum Kind { case initial, sidecar, main }
    enum State {
        case waiting(reason: String, message: String)
        case running
        case terminated(Ending)
    }

    struct Ending {
        var code: Int32
        var reason: String
        var message: String
        var startedAt: Int64
        var finishedAt: Int64

        var json: ServiceJSON {
            var json: ServiceJSON = [
                "exitCode": ServiceJSON(Int(code)), "reason": .text(reason),
                "startedAt": .text(ServiceTime.rfc3339(startedAt)),
                "finishedAt": .text(ServiceTime.rfc3339(finishedAt)),
            ]
            if !message.isEmpty { json["message"] = .text(message) }
            return json
        }
    }

    let spec: ServiceJSON
    let kind: Kind
    var state = State.waiting(reason: "PodInitializing", message: "")
    var last: Ending?
    var run: ContainerRun?
    /// Runs begun.
    var runs = 0
    /// Not before.
    var nextStart: ContinuousClock.Instant?
    var startup: Probe?
    var readiness: Probe?
    var liveness: Probe?
    /// Was told to end; is killed at that time.
    var killAt: ContinuousClock.Instant?

    init(_ spec: ServiceJSON, _ kind: Kind) {
        self.spec = spec
        self.kind = kind
    }

    var name: String { spec["name"]?.string ?? "" }
    var image: String { spec["image"]?.string ?? "" }
    var isRunning: Bool { if case .running = state { true } else { false } }
    var ending: Ending? { if case .terminated(let ending) = state { ending } else { nil } }
    var isStarted: Bool { isRunning && startup?.isGood != false && (startup == nil || startup?.isGood == true) }
    var isReady: Bool { isStarted && killAt == nil && (readiness == nil || readiness?.isGood == true) }
    var ports: [String: Int] {
        (spec["ports"]?.elements ?? []).reduce(into: [:]) { ports, port in
            if let name = port["name"]?.string { ports[name] = port["containerPort"]?.integer }
        }
    }

    /// By the pod's policy and the container's own.
    func isRestarted(_ policy: String, after code: Int32) -> Bool {
        if kind == .sidecar { return true }
        switch policy {
        case "Never": return false
        case "OnFailure": return code != 0
        default: return kind == .main || code != 0
        }
    }

    var status: ServiceJSON {
        var state: ServiceJSON =
            switch state {
            case .waiting(let reason, _): ["waiting": ["reason": .text(reason)]]
            case .running: ["running": ["startedAt": .text(ServiceTime.rfc3339(run?.startedAt ?? 0))]]
            case .terminated(let ending): ["terminated": ending.json]
            }
        if case .waiting(_, let message) = self.state, !message.isEmpty {
            state[["waiting", "message"]] = .text(message)
        }
        let isFinished = kind == .initial && ending?.code == 0
        return [
            "name": .text(name), "image": .text(image), "imageID": .text(image),
            "restartCount": ServiceJSON(max(0, runs - 1)), "ready": .bool(isReady || isFinished),
            "started": .bool(isStarted), "state": state,
            "lastState": last.map { ["terminated": $0.json] } ?? [:],
        ]
    }
}
