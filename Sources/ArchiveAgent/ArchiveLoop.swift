import ArchiveShortcut
import BackupModel
import Glibc
import Logging
import PostgresFormats

/// Waits for what concerns archiving, and does it; for one thread.
final class ArchiveLoop {
    private let spoolPath: String
    private let socket: AskerSocket?
    private let commands: Int32
    private let failures: PushFailures
    private let logger: Logger
    private let watch = DirectoryWatch()
    private var stanzas: [String: WatchedStanza] = [:]
    /// The stanza that an asker waits for.
    private var askers: [AskerSocket.Asker: String] = [:]
    private var nextScan = ContinuousClock.now

    /// Between two looks at everything: for stanzas that are new, and for what nobody has told.
    private var interval: Duration { watch.descriptor >= 0 ? .seconds(10) : .seconds(1) }

    init(spoolPath: String, socket: AskerSocket?, commands: Int32, failures: PushFailures, logger: Logger) {
        self.failures = failures
        self.spoolPath = spoolPath
        self.socket = socket
        self.commands = commands
        self.logger = logger
    }

    func close() {
        socket?.close()
        for stanza in stanzas.values { stanza.close(watch) }
        Glibc.close(commands)
    }

    /// One wait, and what is due after it. False when it is to end.
    func step() -> Bool {
        let now = ContinuousClock.now
        socket?.expire(now)
        if nextScan <= now { scan(now) }
        for stanza in stanzas.values where stanza.push.isDue(now) { finish(stanza.look(watch, now)) }

        let asked = socket?.polled(now) ?? []
        let running = stanzas.values.compactMap(\.run)
        var polled = [
            pollfd(fd: commands, events: Int16(POLLIN), revents: 0),
            pollfd(fd: watch.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        polled += asked.map(\.poll)
        polled += running.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        _ = poll(&polled, nfds_t(polled.count), milliseconds(until: deadline(now), now, running))

        if polled[0].revents != 0, !obey() { return false }
        reap()
        heed(watch.read())
        for (index, entry) in asked.enumerated() where polled[2 + index].revents != 0 {
            if let asker = entry.asker { attend(asker) } else { socket?.accept(ContinuousClock.now) }
        }
        return true
    }

    // MARK: - Waiting

    private func deadline(_ now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        var deadline = nextScan
        if let time = socket?.deadline { deadline = min(deadline, time) }
        for stanza in stanzas.values {
            switch stanza.push.due {
            case nil: break
            case .now?: deadline = now
            case .at(let time)?: deadline = min(deadline, time)
            }
        }
        return deadline
    }

    private func milliseconds(
        until deadline: ContinuousClock.Instant, _ now: ContinuousClock.Instant, _ running: [BackgroundRun]
    ) -> Int32 {
        let left = Int32(clamping: Int(max(0, (deadline - now) / .milliseconds(1)).rounded(.up)))
        // Of a process that has no descriptor the end is not told.
        return running.contains { $0.descriptor < 0 } ? min(left, 50) : left
    }

    // MARK: - What has happened

    private func obey() -> Bool {
        var byte: UInt8 = 0
        while true {
            let count = read(commands, &byte, 1)
            if count < 0, errno == EINTR { continue }
            // The other end is closed when nobody is left who could stop this.
            if count == 0 { return false }
            guard count > 0 else { return true }
            switch ArchiveAgent.Command(rawValue: byte) {
            case .stop?, nil: return false
            case .tryAgain?:
                nextScan = .now
                for stanza in stanzas.values { stanza.push.tryAgain() }
            }
        }
    }

    private func reap() {
        for stanza in stanzas.values {
            guard let run = stanza.run, let end = run.end() else { continue }
            finish(stanza.ended(end, ContinuousClock.now))
        }
    }

    private func heed(_ events: [DirectoryWatch.Event]) {
        for event in events {
            switch event {
            case .lost: nextScan = .now
            case .appeared(let directory, let name):
                for stanza in stanzas.values { finish(stanza.appeared(name, in: directory)) }
            }
        }
    }

    private func attend(_ asker: AskerSocket.Asker) {
        switch socket?.read(asker) {
        case nil, .nothingYet?: break
        case .gone?:
            if let name = askers.removeValue(forKey: asker) { stanzas[name]?.push.gone(asker) }
        case .request(let request)?:
            guard let stanza = stanza(request.stanza), WALFileName(request.fileName) != nil,
                socket?.tell(asker, .working) == true
            else {
                socket?.tell(asker, .left)
                return
            }
            if stanza.served?.answer(request.fileName) == .done {
                socket?.tell(asker, .done)
            } else if stanza.push.asked(by: asker, for: request.fileName, ContinuousClock.now) {
                askers[asker] = stanza.name
            } else {
                socket?.tell(asker, .left)
            }
        }
    }

    // MARK: - Stanzas

    private func scan(_ now: ContinuousClock.Instant) {
        nextScan = now + interval
        for name in FileFacts.names("\(spoolPath)/archive") ?? [] where !name.hasPrefix(".") { _ = stanza(name) }
        for (name, stanza) in stanzas {
            stanza.refresh(watch)
            stanza.push.changed()
            if stanza.served == nil, stanza.run == nil {
                finish(stanza.leaveAll())
                stanza.close(watch)
                stanzas[name] = nil
            }
        }
    }

    /// nil when it is not served.
    private func stanza(_ name: String) -> WatchedStanza? {
        if let known = stanzas[name], known.served != nil { return known }
        guard !name.contains("/"), name != ".", name != ".." else { return nil }
        let stanza = stanzas[name] ?? WatchedStanza(name, spoolPath: spoolPath, failures: failures, logger: logger)
        stanza.refresh(watch)
        guard stanza.served != nil else { return nil }
        if stanzas[name] == nil {
            stanzas[name] = stanza
            logger.notice("WAL of stanza '\(name)' is pushed as soon as it is ready")
        }
        return stanza
    }

    /// Answers them by what the spool says now.
    private func finish(_ answered: WatchedStanza.Answered) {
        for (asker, answer) in answered {
            askers[asker] = nil
            socket?.tell(asker, answer)
        }
    }
}
