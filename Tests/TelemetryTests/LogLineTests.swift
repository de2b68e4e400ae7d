import Foundation
import Logging
import Testing

@testable import Telemetry

private func line(
    _ level: LogLevel, _ message: String, facts: Logger.Metadata = [:], origin: String = "", dryRun: Bool = false
) -> LogLine {
    LogLine(
        time: LogTime(seconds: 1_795_232_400, milliseconds: 7), level: level, logger: "backup", message: message,
        facts: facts, origin: origin, isDryRun: dryRun)
}

@Suite struct LogLineTests {
    @Test(arguments: [
        (line(.info, "backup command begin"), "P00   INFO: backup command begin\n"),
        (line(.warn, "a\nb\n"), "P00   WARN: a\n            b\n"),
        (line(.detail, "match", facts: ["process": "3"]), "P03 DETAIL: match\n"),
        (
            line(.error, "no\nHINT: x", facts: ["code": .stringConvertible(55)]),
            "P00  ERROR: [055]: no\n            HINT: x\n"
        ),
        (line(.warn, "coded", facts: ["code": "55"]), "P00   WARN: coded\n"),
        (line(.debug, "m", origin: "Engine::plan"), "P00  DEBUG:     Engine::plan: m\n"),
        (line(.trace, "m\nn", origin: "E::p"), "P00  TRACE:         E::p: m\n                    n\n"),
        (line(.info, "remove", dryRun: true), "P00   INFO: [DRY-RUN] remove\n"),
        (line(.info, ""), "P00   INFO: \n"),
    ])
    func textIsPgBackRests(line: LogLine, expected: String) {
        #expect(line.text(timestamps: false) == expected)
    }

    @Test func laterLinesStandUnderTheFirst() {
        let lines = line(.info, "one\ntwo").text(timestamps: true).split(separator: "\n")
        #expect(lines[0].contains(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.007 P00   INFO: one$/))
        #expect(lines[1] == String(repeating: " ", count: 36) + "two")
        #expect(lines[0].utf8.count == lines[1].utf8.count)
    }

    @Test func standardErrorHasNeitherTimeNorAlignment() {
        let text = line(.error, "no\nmore", facts: ["code": "32"]).text(timestamps: true, forStandardError: true)
        #expect(text == "ERROR: [032]: no\n       more\n")
    }

    @Test func timeIsUTCInJSON() {
        #expect(LogTime(seconds: 0, milliseconds: 5).universal == "1970-01-01T00:00:00.005Z")
        #expect(LogTime(seconds: 1_795_232_400, milliseconds: 123).universal == "2026-11-21T03:40:00.123Z")
    }

    @Test func jsonIsReadBackAsItWas() throws {
        let message = "quote \" backslash \\ line\nfeed \t tab \u{1} control, ünïcode 🧊"
        let facts: Logger.Metadata = [
            "number": .stringConvertible(UInt64.max), "flag": .stringConvertible(true), "text": "12",
            "ratio": .stringConvertible(0.5), "nan": .stringConvertible(Double.nan),
            "list": ["a", "b"], "object": ["z": "1", "a": "2"], "msg": "mine",
        ]
        let json = line(.detail, message, facts: facts).json()
        #expect(json.hasSuffix("}\n") && !json.dropLast().contains("\n"))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        #expect(object["ts"] as? String == "2026-11-21T03:40:00.007Z")
        #expect(object["level"] as? String == "detail")
        #expect(object["logger"] as? String == "backup")
        #expect(object["msg"] as? String == message)
        #expect(object["fact.msg"] as? String == "mine")
        #expect(object["number"] as? UInt64 == .max)
        #expect(object["flag"] as? Bool == true)
        #expect(object["text"] as? String == "12")
        #expect(object["nan"] as? String == "nan")
        #expect(object["list"] as? [String] == ["a", "b"])
        #expect(object["object"] as? [String: String] == ["z": "1", "a": "2"])
    }

    @Test func levelsAreOrderedAndMapped() {
        #expect(LogLevel.allCases.sorted() == LogLevel.allCases)
        #expect(LogLevel.allCases.map(\.rawValue) == ["off", "error", "warn", "info", "detail", "debug", "trace"])
        for level in LogLevel.allCases where level != .off {
            #expect(level.loggerLevel.map { LogLevel($0) } == level)
        }
        #expect(LogLevel(.critical) == .error)
    }
}
