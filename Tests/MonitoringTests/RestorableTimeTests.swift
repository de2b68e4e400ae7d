import BackupEngine
import PostgresAccess
import PostgresFormats
import Testing

@testable import Monitoring

@Suite struct RestorableTimeTests {
    private static func status(
        _ commit: (Int64, String)?, archived: String?, timeline: UInt32 = 1, started: Int64 = 1
    ) -> ServerStatus {
        var status = ServerStatus(
            isInRecovery: false, version: "17", systemIdentifier: 7, timeline: timeline, lsn: "0/1", started: started)
        status.archiving = ServerStatus.Archiving(
            mode: "on", isCommandSet: true,
            counts: .init(
                archived: 1, failed: 0, lastArchived: archived.map { .init(name: $0, time: 9) }, lastFailed: nil,
                hasFailedLast: false),
            lastCommit: commit.map { LastCommit(time: $0.0, segment: $0.1) })
        return status
    }

    private static func segment(_ number: Int, timeline: Int = 1) -> String {
        "0000000\(timeline)0000000000000\(String(number, radix: 16).count == 1 ? "00" : "0")\(number)"
    }

    @Test func `a moment is told when the commit after it is in the archive, and it never goes back`() {
        var time = RestorableTime()
        time.told(Self.status((1000, Self.segment(3)), archived: nil))
        #expect(time.time == nil)
        time.told(Self.status((2000, Self.segment(4)), archived: Self.segment(2)))
        #expect(time.time == nil)
        time.told(Self.status((2000, Self.segment(5)), archived: Self.segment(3)))
        #expect(time.time == 999)
        // Seen in the fourth segment first, and nothing was committed since.
        time.told(Self.status((2000, Self.segment(5)), archived: Self.segment(4)))
        #expect(time.time == 1999)
        // A clock that was set back.
        time.told(Self.status((500, Self.segment(6)), archived: Self.segment(6)))
        #expect(time.time == 1999)
        time.told(Self.status(nil, archived: Self.segment(9)))
        #expect(time.time == 1999)
    }

    @Test func `what is no segment of the same timeline proves nothing`() {
        var time = RestorableTime()
        time.told(Self.status((1000, Self.segment(3)), archived: "00000002.history"))
        time.told(Self.status((1000, Self.segment(3)), archived: Self.segment(4) + ".00000028.backup"))
        #expect(time.time == nil)
        time.told(Self.status((1000, Self.segment(3)), archived: Self.segment(3)))
        #expect(time.time == 999)
    }

    @Test func `a server that was started again, or has another history, begins anew`() {
        for next in [
            Self.status(nil, archived: nil, started: 2), Self.status(nil, archived: nil, timeline: 2),
        ] {
            var time = RestorableTime()
            time.told(Self.status((1000, Self.segment(3)), archived: Self.segment(3)))
            #expect(time.time == 999)
            time.told(next)
            #expect(time.time == nil)
        }
    }

    @Test func `an archive that stands still keeps the oldest`() {
        var time = RestorableTime()
        for number in 1...500 { time.told(Self.status((Int64(number), Self.segment(3)), archived: nil)) }
        time.told(Self.status((900, Self.segment(9)), archived: Self.segment(3)))
        #expect(time.time == 62, "the 63rd is the last that was kept, and the newest after it")
    }

    @Test func `each segment is read once, and what is in it counts at once`() {
        var time = RestorableTime()
        var read: [WALSegment] = []
        for number in [2, 2, 3, 4] {
            time.note(Self.status((9000, Self.segment(5)), archived: Self.segment(number))) { segment in
                read.append(segment)
                // None has ended in the third; in the fourth one by a clock that was set back.
                return [2: 2000, 4: 1500][segment.number]
            }
            #expect(time.time == 1999)
        }
        #expect(read.map(\.number) == [2, 3, 4])
        // The one that parted from it.
        time.note(Self.status(nil, archived: Self.segment(7), timeline: 2)) { _ in 5000 }
        #expect(time.time == nil)
    }
}

extension RestorableTime {
    /// Where WAL cannot be read.
    fileprivate mutating func told(_ status: ServerStatus) { note(status) { _ in nil } }
}
