import ArchiveShortcut
import BackupEngine
import BackupModel
import Glibc
import Logging

/// A stanza, with the directories and the process that belong to pushing its WAL. Blocking, as local files do.
final class WatchedStanza {
    typealias Answered = [(asker: PushAhead.Asker, answer: AgentAnswer)]

    let name: String
    private let spoolPath: String
    private let failures: PushFailures
    private let logger: Logger
    /// nil while it is not known how PostgreSQL archives.
    private(set) var served: ServedStanza?
    var push = PushAhead()
    private(set) var run: BackgroundRun?
    /// The first file of the run, or of the last one that was completed.
    private var first: String?
    private var statusWatch: Int32?
    private var spoolWatch: Int32?

    init(_ name: String, spoolPath: String, failures: PushFailures, logger: Logger) {
        self.failures = failures
        self.name = name
        self.spoolPath = spoolPath
        self.logger = logger
    }

    /// A process that runs goes on.
    func close(_ watch: DirectoryWatch) {
        if let run, run.descriptor >= 0 { Glibc.close(run.descriptor) }
        run = nil
        for number in [statusWatch, spoolWatch].compactMap({ $0 }) { watch.unwatch(number) }
    }

    /// Learns anew how PostgreSQL archives, and where: a directory may be another one under its old name.
    func refresh(_ watch: DirectoryWatch) {
        served = ServedStanza(name, spoolPath: spoolPath)
        guard let served else { return }
        func renew(_ number: inout Int32?, _ path: String) {
            let new = watch.watch(path)
            if let old = number, old != new { watch.unwatch(old) }
            number = new
        }
        renew(&statusWatch, served.statusDirectory)
        renew(&spoolWatch, served.spool.directory)
    }

    /// Pushes what is ready, if anything is.
    func look(_ watch: DirectoryWatch, _ now: ContinuousClock.Instant) -> Answered {
        refresh(watch)
        do throws(BackupError) {
            guard let served, let file = try served.nextFile() else {
                first = nil
                return answered(push.looked(.nothing))
            }
            // As when the clock was set back, so that whatever the spool tells is older than the file.
            guard file != first else {
                return failed("'\(file)' waits still after it was pushed: has the clock been set?", now)
            }
            run = BackgroundRun(try served.push())
            first = file
            return answered(push.looked(.work))
        } catch {
            return failed(error.description, now)
        }
    }

    func ended(_ end: BackgroundRun.End, _ now: ContinuousClock.Instant) -> Answered {
        run = nil
        if end.kind != .completed { first = nil }
        if end.kind == .failed { return failed("the background process ended \(end.text)", now) }
        let wasFailing = push.isFailing
        defer {
            if !push.isFailing { failures.set(nil, of: name) }
            if wasFailing, !push.isFailing { logger.notice("WAL of stanza '\(name)' is pushed again") }
        }
        return answered(push.ended(end.kind, now))
    }

    private func failed(_ reason: String, _ now: ContinuousClock.Instant) -> Answered {
        first = nil
        failures.set(reason, of: name)
        if !push.isFailing {
            logger.warning(
                """
                unable to push WAL of stanza '\(name)': \(reason)
                HINT: PostgreSQL keeps it and calls archive-push, whose log and that of archive-push-async say why
                """)
        }
        return answered(push.ended(.failed, now))
    }

    /// A name that is new in a watched directory.
    func appeared(_ file: String, in directory: Int32) -> Answered {
        if directory == statusWatch, file.hasSuffix(ArchivePushQueue.readySuffix) { push.changed() }
        guard directory == spoolWatch else { return [] }
        if file.hasSuffix(SpoolStatus.doneSuffix) {
            if push.isFailing { logger.notice("WAL of stanza '\(name)' is pushed again") }
            push.succeeded()
            failures.set(nil, of: name)
            return answered(push.told(of: String(file.dropLast(SpoolStatus.doneSuffix.utf8.count))))
        }
        guard file.hasSuffix(SpoolStatus.failedSuffix) else { return [] }
        let failed = String(file.dropLast(SpoolStatus.failedSuffix.utf8.count))
        return answered(push.told(of: failed == SpoolStatus.global ? nil : failed))
    }

    /// It is served no more.
    func leaveAll() -> Answered {
        failures.set(nil, of: name)
        return answered(push.told(of: nil))
    }

    /// By what the spool says; what it says nothing of is left to who asks.
    private func answered(_ questions: [PushAhead.Question]) -> Answered {
        questions.map { ($0.asker, served?.answer($0.fileName) ?? .left) }
    }
}
