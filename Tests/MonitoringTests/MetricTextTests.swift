import BackupModel
import HTTP
import Jobs
import Testing

@testable import BackupEngine
@testable import Monitoring

struct MetricTextTests {
    @Test func `samples as Prometheus reads them`() {
        var family = MetricFamily("repository_bytes", .gauge, "Stored bytes.")
        #expect(family.text([]).isEmpty)
        family.add(12, [(name: "stanza", value: "a\"b\\c\nd")])
        family.add(0.25, [])
        #expect(
            family.text([(name: "cluster", value: "x")]) == """
                # HELP permafrost_repository_bytes Stored bytes.
                # TYPE permafrost_repository_bytes gauge
                permafrost_repository_bytes{cluster="x",stanza="a\\"b\\\\c\\nd"} 12
                permafrost_repository_bytes{cluster="x"} 0.25

                """)
    }

    @Test func `a histogram counts what is no longer than each bound`() {
        var histogram = DurationHistogram()
        for seconds in [0.5, 1, 4, 90_000] { histogram.add(seconds: seconds) }
        var family = MetricFamily("job_duration_seconds", .histogram, "x")
        histogram.add(to: &family, [])
        let lines = family.text([]).split(separator: "\n")
        #expect(lines.contains(#"permafrost_job_duration_seconds_bucket{le="1"} 2"#))
        #expect(lines.contains(#"permafrost_job_duration_seconds_bucket{le="5"} 3"#))
        #expect(lines.contains(#"permafrost_job_duration_seconds_bucket{le="86400"} 3"#))
        #expect(lines.contains(#"permafrost_job_duration_seconds_bucket{le="+Inf"} 4"#))
        #expect(lines.contains("permafrost_job_duration_seconds_sum 90005.5"))
        #expect(lines.contains("permafrost_job_duration_seconds_count 4"))
    }

    @Test(arguments: [("cluster", true), ("_a9", true), ("9a", false), ("", false), ("a-b", false), ("ä", false)])
    func `names of labels`(name: String, isAllowed: Bool) { #expect(MetricFamily.isLabel(name) == isAllowed) }

    @Test func `what was measured, and what could not be`() {
        var good = RepositoryMeasure(key: 1)
        good.lastBackups = [.full: 1000, .incr: 1500]
        good.firstRestorable = 1000
        good.lastRestorable = 1990
        good.bytes = 4096
        good.gaps = 2
        var bad = RepositoryMeasure(key: 2)
        bad.failure = BackupError(.hostConnect, "no connection")
        var measure = StanzaMeasure(stanza: "main", repositories: [good, bad])
        measure.lag = ArchiveLag(segments: 3, bytes: 48 << 20)
        measure.volumes = [1: (size: 100, free: 30)]
        let text = StanzaMetrics.families([measure], now: 2000).map { $0.text([]) }.joined()
        for line in [
            #"backup_last_success_timestamp_seconds{stanza="main",repo="1",type="full"} 1000"#,
            #"backup_last_success_age_seconds{stanza="main",repo="1",type="incr"} 500"#,
            #"first_restorable_timestamp_seconds{stanza="main",repo="1"} 1000"#,
            #"last_restorable_timestamp_seconds{stanza="main",repo="1"} 1990"#,
            #"wal_gaps{stanza="main",repo="1"} 2"#, #"repository_bytes{stanza="main",repo="1"} 4096"#,
            #"repository_volume_bytes{stanza="main",repo="1"} 100"#,
            #"repository_volume_free_bytes{stanza="main",repo="1"} 30"#,
            #"repository_up{stanza="main",repo="1"} 1"#, #"repository_up{stanza="main",repo="2"} 0"#,
            #"wal_lag_segments{stanza="main"} 3"#, #"wal_lag_bytes{stanza="main"} 50331648"#,
        ] {
            #expect(text.contains("\npermafrost_\(line)\n"), "\(line)")
        }
        #expect(!text.contains(#"bytes{stanza="main",repo="2"}"#))
    }
}

struct MonitorTests {
    private func monitor(
        _ change: (inout Monitor.Options) -> Void = { _ in },
        measure: @escaping @Sendable () async -> [StanzaMeasure] = { [] }
    ) -> Monitor {
        var options = Monitor.Options()
        change(&options)
        return Monitor(options, jobs: { [] }, measure: measure, lag: { _ in nil })
    }

    private func ask(
        _ monitor: Monitor, _ path: String..., method: String = "GET", client: ClientIdentity = .anonymous
    ) async -> (status: Int, text: String) {
        let response = await monitor.respond(
            to: ServerRequest(method: method, path: path, client: client, body: NoBody()))
        guard case .bytes(let bytes) = response.body else { return (response.status, "a stream") }
        return (response.status, String(decoding: bytes, as: UTF8.self))
    }

    private struct NoBody: HTTPBody {
        func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int { 0 }
        func close() async {}
    }

    @Test func `alive, ready, and neither`() async {
        let good = monitor()
        #expect(await ask(good, "healthz") == (200, "ok\n"))
        #expect(await ask(good, "readyz") == (200, "ok\n"))
        #expect(await ask(good, "readyz", method: "POST").status == 405)
        #expect(await ask(good, "readyz", "x").status == 404)
        good.stop()
        #expect(await ask(good, "readyz") == (503, "stopping\n"))
        #expect(await ask(good, "healthz") == (200, "ok\n"))
        let expired = monitor { $0.certificateEnd = { 1 } }
        #expect(await ask(expired, "readyz") == (503, "the certificate has expired\n"))
        #expect(await ask(expired, "metrics").text.contains("certificate_end_timestamp_seconds 1\n"))
    }

    @Test func `a client sees its own stanzas; who is on the port for metrics sees all`() async {
        let monitor = monitor {
            $0.labels = [(name: "cluster", value: "c")]
            $0.shows = { stanza, client in client == .certificate(commonName: stanza) }
        } measure: {
            [
                StanzaMeasure(stanza: "one", repositories: [RepositoryMeasure(key: 1)]),
                StanzaMeasure(stanza: "two", repositories: [RepositoryMeasure(key: 1)]),
            ]
        }
        let all = await ask(monitor, "metrics").text
        #expect(all.contains(#"{cluster="c",stanza="one",repo="1"}"#) && all.contains(#"stanza="two""#))
        let own = await ask(monitor, "metrics", client: .certificate(commonName: "two")).text
        #expect(!own.contains(#"stanza="one""#) && own.contains(#"stanza="two""#))
    }

    @Test func `repositories are looked at when somebody asks, and not again for a while`() async {
        let count = Counter()
        let monitor = monitor {
            $0.interval = .seconds(3600)
        } measure: {
            count.add()
            return []
        }
        #expect(count.value == 0)
        await withTaskGroup { group in
            for _ in 0..<8 { group.addTask { _ = await ask(monitor, "metrics") } }
        }
        #expect(count.value == 1)
        _ = await ask(monitor, "metrics")
        #expect(count.value == 1)
    }
}
