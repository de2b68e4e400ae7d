import Glibc
import Synchronization

/// Where log lines go: standard output, standard error and a file, each with its own level, as pgBackRest does it:
/// what goes to standard error does not go to standard output too. The owner of the terminal's last line, where
/// progress is shown.
///
/// One lock orders the lines. An output that cannot be written loses the line: logging never fails a command.
package final class LogOutput: Sendable {
    package struct Levels: Sendable {
        package var console: LogLevel
        package var file: LogLevel
        package var standardError: LogLevel

        package init(console: LogLevel, file: LogLevel, standardError: LogLevel) {
            self.console = console
            self.file = file
            self.standardError = standardError
        }
    }

    /// File descriptors, for tests.
    package struct Descriptors: Sendable {
        package var console: Int32 = 1
        package var standardError: Int32 = 2
        package init() {}
        package init(console: Int32, standardError: Int32) {
            self.console = console
            self.standardError = standardError
        }
    }

    let levels: Levels
    let format: LogFormat
    let timestamps: Bool
    let isDryRun: Bool
    private let descriptors: Descriptors
    /// Whether standard output is a terminal that can redraw its last line.
    package let drawsProgress: Bool
    private let state: Mutex<State>

    private struct State {
        /// -1 when there is none.
        var file: Int32
        var hasBanner = false
        /// What the terminal's last line shows.
        var progress = ""
    }

    /// pgBackRest's separator between the runs in a log file.
    static let banner = "-------------------PROCESS START-------------------\n"

    /// Opens `filePath` for appending. If that fails the console gets one warning, and there is no log file.
    package init(
        levels: Levels, format: LogFormat = .text, filePath: String? = nil, timestamps: Bool = true,
        isDryRun: Bool = false, descriptors: Descriptors = Descriptors()
    ) {
        self.levels = levels
        self.format = format
        self.timestamps = timestamps
        self.isDryRun = isDryRun
        self.descriptors = descriptors
        let terminal = getenv("TERM").map { String(cString: $0) }
        drawsProgress =
            format == .text && levels.console != .off && isatty(descriptors.console) == 1 && terminal != "dumb"

        var file: Int32 = -1
        var problem: Int32 = 0
        if let filePath, levels.file != .off {
            file = open(filePath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
            if file < 0, errno == ENOENT, let slash = filePath.lastIndex(of: "/") {
                mkdir(String(filePath[..<slash]), 0o770)
                file = open(filePath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
            }
            problem = file < 0 ? errno : 0
        }
        state = Mutex(State(file: file))
        if problem != 0, let filePath {
            let reason = strerror(problem).map { String(cString: $0) } ?? "error \(problem)"
            write(
                LogLine(
                    time: .now(), level: .warn, logger: "permafrost",
                    message:
                        "unable to open log file '\(filePath)': \(reason)\nNOTE: process will continue without log file",
                    facts: [:], origin: "", isDryRun: isDryRun))
        }
    }

    deinit { state.withLock { if $0.file >= 0 { close($0.file) } } }

    /// The most talkative of the three.
    var level: LogLevel { max(levels.console, levels.file, levels.standardError) }

    func write(_ line: LogLine) {
        let toError = line.level <= levels.standardError
        let toConsole = !toError && line.level <= levels.console
        let toFile = line.level <= levels.file
        guard toError || toConsole || toFile else { return }
        let json = format == .json ? line.json() : nil
        let full = json ?? (toConsole || toFile ? line.text(timestamps: timestamps) : "")
        let short = json ?? (toError ? line.text(timestamps: timestamps, forStandardError: true) : "")

        state.withLock { state in
            if toError || toConsole {
                // One write for all, so that the terminal does not flicker.
                let shown = state.progress
                if toConsole {
                    put((shown.isEmpty ? "" : Self.clearLine) + full + shown, descriptors.console)
                } else {
                    if !shown.isEmpty { put(Self.clearLine, descriptors.console) }
                    put(short, descriptors.standardError)
                    if !shown.isEmpty { put(shown, descriptors.console) }
                }
            }
            if toFile, state.file >= 0 {
                if !state.hasBanner, format == .text {
                    put((lseek(state.file, 0, SEEK_END) > 0 ? "\n" : "") + Self.banner, state.file)
                }
                state.hasBanner = true
                put(full, state.file)
            }
        }
    }

    /// Shows `text`, which has no line feed, as the terminal's last line; empty clears it. Nothing happens where
    /// ``drawsProgress`` is false.
    package func draw(progress text: String) {
        guard drawsProgress else { return }
        state.withLock { state in
            guard text != state.progress else { return }
            put(Self.clearLine + text, descriptors.console)
            state.progress = text
        }
    }

    /// Columns of the terminal.
    package var terminalWidth: Int {
        var size = winsize()
        guard ioctl(descriptors.console, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    private static let clearLine = "\r\u{1B}[K"

    private func put(_ text: String, _ descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while let start = rest.baseAddress, !rest.isEmpty {
                let count = Glibc.write(descriptor, start, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }
}
