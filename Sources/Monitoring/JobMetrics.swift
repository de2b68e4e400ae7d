import BackupModel
import HTTP
package import Jobs
import Synchronization

/// Counts of the jobs that have ended since the start.
package final class JobMetrics: Sendable {
    private struct Kind: Hashable, Comparable {
        var stanza: String
        var command: String
        var end: String

        var labels: [(name: String, value: String)] {
            [(name: "stanza", value: stanza), (name: "type", value: command), (name: "end", value: end)]
        }
        static func < (one: Kind, other: Kind) -> Bool {
            (one.stanza, one.command, one.end) < (other.stanza, other.command, other.end)
        }
    }
    private struct State {
        var durations: [Kind: DurationHistogram] = [:]
        /// By stanza: bytes of backups, as read and as stored.
        var bytes: [String: (read: Double, stored: Double)] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    package func ended(_ result: JobResult) {
        let kind = Kind(stanza: result.stanza, command: result.command, end: result.end.rawValue)
        let info = result.info?["backup"]?.elements.first?["info"]
        func size(_ value: ServiceJSON?) -> Double { value?.string.flatMap { Double($0) } ?? 0 }
        let (read, stored) = (size(info?["delta"]), size(info?["repository"]?["delta"]))
        state.withLock { state in
            state.durations[kind, default: DurationHistogram()].add(
                seconds: Double(max(0, result.stop - result.start)))
            guard info != nil else { return }
            let before = state.bytes[result.stanza] ?? (0, 0)
            state.bytes[result.stanza] = (before.read + read, before.stored + stored)
        }
    }

    /// - Parameters:
    ///   - jobs: those that run and those that ended and are still known, newest first.
    ///   - isShown: whether a stanza is for whoever asks.
    func families(_ jobs: [JobRunner.Job], isShown: (String) -> Bool) -> [MetricFamily] {
        let (durations, bytes) = state.withLock { ($0.durations, $0.bytes) }
        var duration = MetricFamily(
            "job_duration_seconds", .histogram, "How long jobs took, by command and how they ended.")
        for (kind, histogram) in durations.sorted(by: { $0.key < $1.key }) where isShown(kind.stanza) {
            histogram.add(to: &duration, kind.labels)
        }
        var moved = MetricFamily("bytes_total", .counter, "Bytes of backups by jobs, as read and as stored.")
        for (stanza, count) in bytes.sorted(by: { $0.key < $1.key }) where isShown(stanza) {
            for (direction, value) in [("read", count.read), ("stored", count.stored)] {
                moved.add(value, [(name: "stanza", value: stanza), (name: "direction", value: direction)])
            }
        }
        var running = MetricFamily("jobs_running", .gauge, "Jobs that run now.")
        var failures = MetricFamily(
            "backup_last_failure_timestamp_seconds", .gauge, "When the last backup by a job failed.")
        var counts: [Kind: Int] = [:]
        var failed: Set<String> = []
        for job in jobs where isShown(job.record.request.stanza) {
            let request = job.record.request
            if job.end == nil {
                counts[Kind(stanza: request.stanza, command: request.command.command.rawValue, end: ""), default: 0] +=
                    1
            }
            guard request.command.command == .backup, job.end == .failed || job.end == .lost, let time = job.stop
            else { continue }
            let type = request.text(.type) ?? "incr"
            for repository in request.texts(.repo) ?? ["1"] {
                guard failed.insert("\(request.stanza)\n\(repository)\n\(type)").inserted else { continue }
                failures.add(
                    Double(time),
                    [
                        (name: "stanza", value: request.stanza), (name: "repo", value: repository),
                        (name: "type", value: type),
                    ])
            }
        }
        for (kind, count) in counts.sorted(by: { $0.key < $1.key }) {
            running.add(Double(count), [(name: "stanza", value: kind.stanza), (name: "type", value: kind.command)])
        }
        return [failures, duration, moved, running]
    }
}

extension JobRequest {
    fileprivate func texts(_ option: OptionName) -> [String]? {
        guard case .texts(let texts)? = options.first(where: { $0.name == option })?.value else { return nil }
        return texts
    }
    fileprivate func text(_ option: OptionName) -> String? { texts(option)?.first }
}
