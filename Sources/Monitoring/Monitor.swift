import BackupModel
import Glibc
package import HTTP
package import Jobs
import Synchronization

/// `/healthz`, `/readyz` and `/metrics` of an agent or a repository host.
package final class Monitor: ServerHandler {
    package struct Options: Sendable {
        /// That every sample has: `monitor-label`.
        package var labels: [(name: String, value: String)] = []
        /// Who over TLS may see a stanza; where there is no certificate all is shown.
        package var shows: @Sendable (String, ClientIdentity) -> Bool = { _, _ in true }
        /// When this process's certificate ends, in seconds since 1970.
        package var certificateEnd: @Sendable () -> Int64? = { nil }
        /// Repositories are looked at once in this time at most, and not before somebody asks.
        package var interval = Duration.seconds(300)

        package init() {}
    }

    private struct State: Sendable {
        var options: Options
        var measures: [StanzaMeasure] = []
        /// When that was, in seconds since 1970; nil when it is to be done anew.
        var measured: Int64?
        var isMeasuring = false
        var isStopping = false
    }

    private let state: Mutex<State>
    private let jobs: @Sendable () -> [JobRunner.Job]
    private let measure: @Sendable () async -> [StanzaMeasure]
    /// Asked at each request: it changes with every segment, and costs one listing of a local directory.
    private let lag: @Sendable (String) async -> ArchiveLag?
    private let jobMetrics = JobMetrics()

    /// A store that is far away or down may take longer; then it is in the next answer.
    private static let patience = Duration.seconds(5)

    /// - Parameters:
    ///   - jobs: all that are known, newest first.
    ///   - measure: looks at the repositories of all stanzas.
    ///   - lag: of a stanza; nil where its server is not on this host.
    package init(
        _ options: Options, jobs: @escaping @Sendable () -> [JobRunner.Job],
        measure: @escaping @Sendable () async -> [StanzaMeasure],
        lag: @escaping @Sendable (String) async -> ArchiveLag?
    ) {
        state = Mutex(State(options: options))
        self.jobs = jobs
        self.measure = measure
        self.lag = lag
    }

    package func use(_ options: Options) { state.withLock { $0.options = options } }

    /// A job may have changed what is in the repositories.
    package func ended(_ result: JobResult) {
        jobMetrics.ended(result)
        state.withLock { $0.measured = nil }
    }

    /// No request should be sent here any more.
    package func stop() { state.withLock { $0.isStopping = true } }

    package static func handles(_ path: [String]) -> Bool {
        path.count == 1 && ["healthz", "readyz", "metrics"].contains(path[0])
    }

    package func respond(to request: ServerRequest) async -> ServerResponse {
        guard Self.handles(request.path) else { return Self.text(404, "there is nothing at this address\n") }
        guard ["GET", "HEAD"].contains(request.method) else {
            var response = Self.text(405, "this takes GET only\n")
            response.headers["Allow"] = "GET, HEAD"
            return response
        }
        switch request.path[0] {
        // That it answers is all: a database that is down is none of a restart's business.
        case "healthz": return Self.text(200, "ok\n")
        case "readyz":
            let (options, isStopping) = state.withLock { ($0.options, $0.isStopping) }
            if isStopping { return Self.text(503, "stopping\n") }
            if let end = options.certificateEnd(), end < Int64(time(nil)) {
                return Self.text(503, "the certificate has expired\n")
            }
            return Self.text(200, "ok\n")
        default:
            return ServerResponse(
                200, headers: ["Content-Type": "text/plain; version=0.0.4; charset=utf-8"],
                body: .bytes(Array(await metrics(for: request.client).utf8)))
        }
    }

    private func metrics(for client: ClientIdentity) async -> String {
        await measureIfDue()
        let now = Int64(time(nil))
        let (options, all, measured) = state.withLock { ($0.options, $0.measures, $0.measured) }
        let isShown = { (stanza: String) in
            if case .certificate = client { options.shows(stanza, client) } else { true }
        }
        var measures = all.filter { isShown($0.stanza) }
        for index in measures.indices { measures[index].lag = await lag(measures[index].stanza) }
        var families = StanzaMetrics.families(measures, now: now) + jobMetrics.families(jobs(), isShown: isShown)
        var age = MetricFamily(
            "measured_timestamp_seconds", .gauge, "When the repositories were last looked at.")
        if let measured { age.add(Double(measured), []) }
        var build = MetricFamily("build_info", .gauge, "The version that runs.")
        build.add(1, [(name: "version", value: ProgramVersion.number)])
        var certificate = MetricFamily(
            "certificate_end_timestamp_seconds", .gauge, "When the certificate of this server ends.")
        if let end = options.certificateEnd() { certificate.add(Double(end), []) }
        families += [age, certificate, build]
        return families.map { $0.text(options.labels) }.joined()
    }

    /// Whoever asks meanwhile waits for the same.
    private func measureIfDue() async {
        let now = Int64(time(nil))
        let isDue = state.withLock { state in
            let interval = state.options.interval.components.seconds
            // A clock that went back must not keep what is old.
            let isFresh = state.measured.map { $0 <= now && now - $0 < interval } ?? false
            let isDue = !isFresh && !state.isMeasuring
            if isDue { state.isMeasuring = true }
            return isDue
        }
        if isDue {
            Task {
                let measures = await measure()
                state.withLock { state in
                    state.measures = measures
                    state.measured = Int64(time(nil))
                    state.isMeasuring = false
                }
            }
        }
        let end = ContinuousClock.now + Self.patience
        while state.withLock({ $0.isMeasuring }), ContinuousClock.now < end {
            do { try await Task.sleep(for: .milliseconds(20)) } catch { return }
        }
    }

    private static func text(_ status: Int, _ text: String) -> ServerResponse {
        ServerResponse(status, headers: ["Content-Type": "text/plain; charset=utf-8"], body: .bytes(Array(text.utf8)))
    }
}
