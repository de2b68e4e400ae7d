import Logging
import Synchronization
import Testing

@testable import Telemetry

@Suite struct SizeTextTests {
    @Test(
        arguments: [
            (0, "0B"), (512, "512B"), (1023, "1023B"), (1024, "1KB"), (1075, "1KB"), (1076, "1.1KB"),
            (48_026, "46.9KB"),
            (1_048_575, "1024KB"), (1_048_576, "1MB"), (23_068_672, "22MB"), (3_113_851_290, "2.9GB"),
            (5 << 40, "5120GB"), (UInt64.max, "17179869184GB"),
        ] as [(UInt64, String)])
    func sizesAreAsPgBackRestPrintsThem(bytes: UInt64, expected: String) {
        #expect(SizeText.bytes(bytes) == expected)
    }

    @Test(
        arguments: [
            (0, "0s"), (59, "59s"), (60, "1m00s"), (125, "2m05s"), (3720, "1h02m"), (86_399, "23h59m"),
            (273_600, "3d04h"),
        ] as [(UInt64, String)])
    func durations(seconds: UInt64, expected: String) {
        #expect(SizeText.duration(seconds: seconds) == expected)
    }
}

@Suite struct ProgressTests {
    @Test(arguments: [
        (
            ProgressSnapshot(done: 1_288_490_188, total: 3_113_851_289, rate: 220_200_960),
            "progress: 41% (1.2GB of 2.9GB, 210MB/s, 9s left)"
        ),
        (ProgressSnapshot(done: 0, total: 1024, rate: 0), "progress: 0% (0B of 1KB, 0B/s)"),
        (ProgressSnapshot(done: 0, total: 0, rate: 0), "progress: 100% (0B of 0B, 0B/s)"),
        (ProgressSnapshot(done: 2048, total: 1024, rate: 1024), "progress: 100% (2KB of 1KB, 1KB/s, 0s left)"),
        (ProgressSnapshot(done: 2048, total: nil, rate: 1024), "progress: 2KB, 1KB/s"),
        (
            ProgressSnapshot(done: .max - 1, total: .max, rate: 1),
            "progress: 100% (17179869184GB of 17179869184GB, 1B/s, 1s left)"
        ),
    ])
    func messages(snapshot: ProgressSnapshot, expected: String) {
        #expect(snapshot.message == expected)
    }

    @Test(arguments: [
        (60, " 50% [##############..............]  1KB/2KB  1KB/s  1s left"),
        (200, " 50% [####################....................]  1KB/2KB  1KB/s  1s left"),
        (37, " 50% [##...]  1KB/2KB  1KB/s  1s left"),
        (30, " 50% 1KB/2KB  1KB/s  1s left"),
        (6, " 50% 1"),
        (0, ""),
    ])
    func linesFitTheTerminal(width: Int, expected: String) {
        let line = ProgressSnapshot(done: 1024, total: 2048, rate: 1024).line(width: width)
        #expect(line == expected)
        #expect(line.utf8.count <= width)
    }

    @Test func ratesAreSmooth() {
        var meter = RateMeter(start: .zero)
        #expect(meter.sample(at: .seconds(1), done: 1000) == 1000)
        #expect(meter.sample(at: .seconds(1), done: 5000) == 1000)
        // A stall of one second weighs a tenth or so.
        #expect((850...950).contains(meter.sample(at: .seconds(2), done: 1000)))
        // A counter that falls is a stall, not a trap.
        #expect(meter.sample(at: .seconds(3), done: 0) < 950)
    }

    @Test func oneLinePerInterval() throws {
        let time = Mutex(Duration.zero)
        let messages = MessageLog()
        let reporter = ProgressReporter(
            total: 1000, logger: Logger(label: "p") { _ in messages.handler }, output: nil, interval: .seconds(10),
            now: { time.withLock { $0 } })
        for second in 1...25 {
            time.withLock { $0 = .seconds(second) }
            reporter.add(bytes: 10)
            reporter.tick()
        }
        #expect(
            messages.lines == [
                "progress: 10% (100B of 1000B, 10B/s, 1m30s left)", "progress: 20% (200B of 1000B, 10B/s, 1m20s left)",
            ])
        reporter.finish()
        time.withLock { $0 = .seconds(100) }
        reporter.tick()
        #expect(messages.lines.count == 2)
        #expect(reporter.bytesDone == 250)
    }
}

private final class MessageLog: Sendable {
    private let messages = Mutex<[String]>([])
    var lines: [String] { messages.withLock { $0 } }
    var handler: any LogHandler { Handler(log: self) }

    private struct Handler: LogHandler {
        let log: MessageLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { log.messages.withLock { $0.append(event.message.description) } }
    }
}
