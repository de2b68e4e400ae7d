import Glibc
import HTTP
import TestSupport

/// A question that a container is asked again and again.
struct Probe: Sendable {
    enum Kind: Sendable { case startup, readiness, liveness }

    let kind: Kind
    let spec: ServiceJSON
    private(set) var successes = 0
    private(set) var failures = 0
    var nextAt: ContinuousClock.Instant
    var isAsking = false
    /// nil before it was decided.
    private(set) var isGood: Bool?

    init?(_ kind: Kind, _ spec: ServiceJSON?, now: ContinuousClock.Instant) {
        guard let spec else { return nil }
        self.kind = kind
        self.spec = spec
        nextAt = now + .seconds(spec["initialDelaySeconds"]?.integer ?? 0)
    }

    var period: Duration { .seconds(max(1, spec["periodSeconds"]?.integer ?? 10)) }
    var timeout: Duration { .seconds(max(1, spec["timeoutSeconds"]?.integer ?? 1)) }

    mutating func note(_ answer: Bool) {
        isAsking = false
        if answer {
            (successes, failures) = (successes + 1, 0)
            if successes >= spec["successThreshold"]?.integer ?? 1 { isGood = true }
        } else {
            (successes, failures) = (0, failures + 1)
            if failures >= spec["failureThreshold"]?.integer ?? 3 { isGood = false }
        }
    }

    /// - Parameters:
    ///   - address: of the pod.
    ///   - ports: of the container, by name.
    func ask(_ run: ContainerRun, address: String, ports: [String: Int]) async -> Bool {
        func port(_ value: ServiceJSON?) -> Int { value?.integer ?? ports[value?.string ?? ""] ?? 0 }
        do {
            if let exec = spec["exec"] {
                let command = exec["command"]?.elements.compactMap(\.string) ?? []
                return try await run.exec(command, timeout: timeout).status == 0
            }
            if let get = spec["httpGet"] {
                let host = get["host"]?.string ?? address
                let scheme = (get["scheme"]?.string ?? "HTTP").lowercased()
                let headers = (get["httpHeaders"]?.elements ?? []).flatMap {
                    ["-H", "\($0["name"]?.string ?? ""): \($0["value"]?.string ?? "")"]
                }
                let result = try await ProcessRunner.run(
                    "curl",
                    ["-sk", "-o", "/dev/null", "-w", "%{http_code}", "-m", "\(timeout.components.seconds)"] + headers
                        + ["\(scheme)://\(host):\(port(get["port"]))\(get["path"]?.string ?? "/")"])
                return Int(result.stdout).map { (200..<400).contains($0) } ?? false
            }
            if let socket = spec["tcpSocket"] {
                let place = "\(socket["host"]?.string ?? address)/\(port(socket["port"]))"
                return try await ProcessRunner.run(
                    "bash", ["-c", "exec 3<> /dev/tcp/\(place)"], timeout: timeout
                ).status == 0
            }
            return true
        } catch {
            return false
        }
    }
}
