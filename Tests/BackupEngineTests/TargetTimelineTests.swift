import PostgresFormats
import Testing

@testable import BackupEngine

/// The rest of it reads an archive: `InPlaceTests`.
@Suite struct TargetTimelineTests {
    @Test(
        "a history that has a switch point before its timeline began tells where recovery stopped",
        arguments: [
            ("", nil), ("1\t0/5000000\tx", nil),
            ("1\t0/5000000\tx\n2\t0/9000000\tx", nil),
            // Stopped on the first timeline, aimed at the second.
            ("1\t0/9000000\tx\n2\t0/5000000\tx", 1), ("1\t0/9000000\tx\n2\t0/9000000\tx", 1),
            ("1\t0/3000000\tx\n2\t0/9000000\tx\n3\t0/5000000\tx", 2),
            ("1\t0/3000000\tx\n2\t0/9000000\tx\n3\t0/2000000\tx", 1),
            // Such a history itself was gone on with: its first timeline counts up to the earlier switch point alone.
            ("1\t0/9000000\tx\n2\t0/5000000\tx\n4\t0/7000000\tx", nil),
            ("1\t0/9000000\tx\n2\t0/5000000\tx\n4\t0/4000000\tx", 1),
        ] as [(String, UInt32?)])
    func stopped(_ text: String, _ timeline: UInt32?) throws {
        let bytes = Array(text.utf8)
        #expect(TargetTimeline.stopped(try TimelineHistory(timeline: 9, parsing: bytes.span.bytes)) == timeline)
    }
}
