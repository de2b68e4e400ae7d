import BackupModel
import Testing

@testable import RepositoryFormats

@Suite struct BackupLabelTests {
    @Test(arguments: [
        ("20261121-034000F", BackupType.full, "20261121-034000F"),
        ("20261121-034000F_20261122-034000D", .diff, "20261121-034000F"),
        ("20261121-034000F_20261122-034000I", .incr, "20261121-034000F"),
    ])
    func reads(_ text: String, _ type: BackupType, _ full: String) throws {
        let label = try #require(BackupLabel(text))
        #expect(label.type == type)
        #expect(label.full == full)
        #expect(label.description == text)
    }

    @Test(arguments: [
        "", "F", "20261121-034000", "20261121-034000D", "20261121-034000I", "20261121-034000f", "20261121_034000F",
        "2026112-1034000F", "20261121-03400F", "20261121-0340000F", "20261121-034000F_", "x0261121-034000F",
        "20261121-034000F_20261122-034000F", "20261121-034000D_20261122-034000D", "20261121-034000F-20261122-034000D",
        "20261121-034000F_20261122-034000D ", "20261121-034000F/20261122-034000D", "２0261121-0340F", "../1121-034000F",
        "20261121-034000F_20261122-034000I_20261123-034000I", "20261121-034000\u{0}", "latest", "backup.history",
    ])
    func refuses(_ text: String) { #expect(BackupLabel(text) == nil) }

    @Test func makes() {
        let full = BackupLabel(type: .full, localTime: "20261121-034000", full: nil)
        #expect(full.text == "20261121-034000F")
        let diff = BackupLabel(type: .diff, localTime: "20261122-034000", full: full.text)
        #expect(diff.text == "20261121-034000F_20261122-034000D")
        let incr = BackupLabel(type: .incr, localTime: "20261122-034001", full: full.text)
        #expect(incr.text == "20261121-034000F_20261122-034001I")
        #expect(full < diff && diff < incr)
    }
}
