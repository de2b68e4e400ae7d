import Foundation
import Logging
import Testing

@testable import Telemetry

/// A directory with files that stand for standard output and standard error.
private final class Outputs {
    let directory = FileManager.default.temporaryDirectory.appending(path: "telemetry-\(UUID().uuidString)")
    let descriptors: LogOutput.Descriptors

    init() throws {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let path = directory.path
        let files = ["out", "err"].map { open("\(path)/\($0)", O_RDWR | O_CREAT | O_APPEND, 0o600) }
        descriptors = LogOutput.Descriptors(console: files[0], standardError: files[1])
    }

    deinit {
        close(descriptors.console)
        close(descriptors.standardError)
        try? FileManager.default.removeItem(at: directory)
    }

    func text(_ name: String) throws -> String {
        try String(contentsOf: directory.appending(path: name), encoding: .utf8)
    }

    func logger(
        _ console: LogLevel, _ file: LogLevel, _ standardError: LogLevel, format: LogFormat = .text,
        path: String? = "stanza-backup.log"
    ) -> Logger {
        let output = LogOutput(
            levels: .init(console: console, file: file, standardError: standardError), format: format,
            filePath: path.map { directory.appending(path: $0).path }, timestamps: false, descriptors: descriptors)
        return Logger(label: "test") { LineLogHandler(label: $0, output: output) }
    }
}

@Suite struct LogOutputTests {
    @Test func eachOutputHasItsLevel() throws {
        let outputs = try Outputs()
        let logger = outputs.logger(.info, .detail, .error)
        logger.error("e", metadata: ["code": "55"])
        logger.warning("w")
        logger.notice("i")
        logger.info("d")
        logger.debug("hidden")
        #expect(try outputs.text("out") == "P00   WARN: w\nP00   INFO: i\n")
        #expect(try outputs.text("err") == "ERROR: [055]: e\n")
        let expected =
            "-------------------PROCESS START-------------------\n"
            + "P00  ERROR: [055]: e\nP00   WARN: w\nP00   INFO: i\nP00 DETAIL: d\n"
        #expect(try outputs.text("stanza-backup.log") == expected)
    }

    @Test func runsAreAppendedWithSeparators() throws {
        let outputs = try Outputs()
        for number in 1...2 { outputs.logger(.off, .info, .off).notice("run \(number)") }
        // A run that says nothing leaves nothing.
        _ = outputs.logger(.off, .info, .off)
        let banner = "-------------------PROCESS START-------------------\n"
        #expect(
            try outputs.text("stanza-backup.log") == "\(banner)P00   INFO: run 1\n\n\(banner)P00   INFO: run 2\n")
        #expect(try outputs.text("out").isEmpty)
    }

    @Test func aLogFileThatCannotBeOpenedIsOneWarning() throws {
        let outputs = try Outputs()
        let logger = outputs.logger(.warn, .info, .off, path: "missing/deeper/x.log")
        logger.warning("goes on")
        let text = try outputs.text("out")
        #expect(text.hasPrefix("P00   WARN: unable to open log file '"))
        #expect(text.contains("missing/deeper/x.log': No such file or directory\n"))
        #expect(text.hasSuffix("\nP00   WARN: goes on\n"))
        #expect(text.components(separatedBy: "WARN").count == 3)
    }

    @Test func jsonHasNoSeparator() throws {
        let outputs = try Outputs()
        let logger = outputs.logger(.info, .info, .off, format: .json)
        logger.notice("i", metadata: ["repo": .stringConvertible(1)])
        for name in ["out", "stanza-backup.log"] {
            let lines = try outputs.text(name).split(separator: "\n")
            #expect(lines.count == 1)
            #expect(lines[0].hasSuffix(#""level":"info","logger":"test","msg":"i","repo":1}"#))
        }
    }

    @Test func nothingIsBuiltForLevelsThatAreOff() throws {
        let outputs = try Outputs()
        let logger = outputs.logger(.warn, .off, .off)
        func costly() -> Logger.Message {
            Issue.record("the message of a disabled level was built")
            return ""
        }
        logger.notice(costly())
        logger.trace(costly())
        #expect(outputs.logger(.off, .off, .off).logLevel == .critical)
    }

    @Test func threadsDoNotMixLines() async throws {
        let outputs = try Outputs()
        let logger = outputs.logger(.info, .off, .off)
        await withTaskGroup { group in
            for task in 0..<4 {
                group.addTask { for number in 0..<50 { logger.notice("task \(task) line \(number)\nsecond") } }
            }
        }
        let lines = try outputs.text("out").split(separator: "\n")
        #expect(lines.count == 400)
        for (index, line) in lines.enumerated() {
            #expect(index % 2 == 0 ? line.hasPrefix("P00   INFO: task") : line == "            second")
        }
    }

    @Test func factsOfTheLoggerAndTheMessageAreMerged() throws {
        let outputs = try Outputs()
        var logger = outputs.logger(.info, .off, .off, format: .json)
        logger[metadataKey: "stanza"] = "main"
        logger[metadataKey: "repo"] = "1"
        logger.notice("x", metadata: ["repo": "2"])
        #expect(try outputs.text("out").hasSuffix(#""msg":"x","repo":"2","stanza":"main"}"# + "\n"))
    }

    @Test func logFilesAreNamedAsPgBackRestDoes() {
        #expect(LogSetup.filePath(logPath: "/l", stanza: "main", command: "backup") == "/l/main-backup.log")
        #expect(LogSetup.filePath(logPath: "/l", stanza: nil, command: "info") == "/l/all-info.log")
    }
}

/// On a terminal of our own.
@Suite struct ProgressLineTests {
    @Test func logLinesPushTheProgressDown() throws {
        var (controller, terminal): (Int32, Int32) = (-1, -1)
        try #require(openpty(&controller, &terminal, nil, nil, nil) == 0)
        defer {
            close(terminal)
            close(controller)
        }
        setenv("TERM", "xterm", 1)
        let output = LogOutput(
            levels: .init(console: .info, file: .off, standardError: .off), timestamps: false,
            descriptors: .init(console: terminal, standardError: terminal))
        #expect(output.drawsProgress)
        output.draw(progress: "half")
        Logger(label: "t") { LineLogHandler(label: $0, output: output) }.notice("said")
        output.draw(progress: "half")
        output.draw(progress: "")

        let clear = "\r\u{1B}[K"
        let expected = "\(clear)half\(clear)P00   INFO: said\r\nhalf\(clear)"
        var text: [UInt8] = []
        // What was written at once may come in pieces.
        while text.count < expected.utf8.count {
            var bytes = [UInt8](repeating: 0, count: 4096)
            var ready = pollfd(fd: controller, events: Int16(POLLIN), revents: 0)
            guard poll(&ready, 1, 10_000) == 1 else { break }
            let count = read(controller, &bytes, bytes.count)
            guard count > 0 else { break }
            text += bytes[..<count]
        }
        #expect(String(decoding: text, as: UTF8.self) == expected)
    }
}
