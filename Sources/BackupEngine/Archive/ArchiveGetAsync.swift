import BackupModel
import Glibc
import Logging
import PostgresFormats
import RepositoryStorage

/// `archive-get` with `archive-async`, as PostgreSQL calls it: takes the segment from the spool, and has a background
/// process fetch the next ones when less than half of the queue is left.
struct ArchiveGetAsync {
    private let context: EngineContext
    private let segment: WALSegment
    private let destination: String
    private let spool: ArchiveSpool
    private let queueSize: UInt64

    init(_ context: EngineContext, _ segment: WALSegment, destination: String) throws(BackupError) {
        self.context = context
        self.segment = segment
        self.destination = destination
        spool = try ArchiveSpool(context.configuration, .get)
        queueSize = context.configuration.size(.archiveGetQueueMax) ?? 128 << 20
    }

    /// False when no repository has the segment.
    func run() async throws -> Bool {
        let name = segment.description
        do throws(BackupError) {
            try spool.prepare()
            if try spool.holds(name) { return try take(refills: true) }
            if context.configuration.bool(.archiveMissingRetry) {
                try spool.remove([name + SpoolStatus.doneSuffix])
            } else if case .done(let warning)? = try? spool.status(of: name) {
                return tellMissing(warning)
            }
        } catch {
            return try await getWithoutSpool(error.message)
        }
        let queue = try queue(from: segment)
        let wait = BackgroundWait(
            context: context, spool: spool, name: name, arguments: arguments(queue.missing))
        do throws(BackgroundWait.Failure) {
            try spoolRemoving(queue.stale)
            return try await wait.run(timeout: context.archiveTimeout) { () throws(BackupError) -> Bool? in
                if try spool.holds(name) { return try take(refills: false) }
                switch try spool.status(of: name) {
                case nil: return nil
                case .done(let warning)?: return tellMissing(warning)
                case .failed(let code, let message)?: throw BackupError(code, message)
                }
            }
        } catch {
            switch error {
            case .failed(let error): throw error
            case .noAnswer(let reason): return try await getWithoutSpool(reason)
            case .timeout:
                throw BackupError(
                    .archiveTimeout,
                    "unable to get WAL file '\(name)' from the archive asynchronously after \(context.archiveTimeout.components.seconds) second(s)",
                    hint: "look into the log of the background process, \(context.backgroundLogFile); "
                        + "it may still be at work")
            }
        }
    }

    private func spoolRemoving(_ names: [String]) throws(BackgroundWait.Failure) {
        do {
            try spool.remove(names)
        } catch {
            throw .noAnswer(error.message)
        }
    }

    private func tellMissing(_ warning: String?) -> Bool {
        if let warning { context.logger.warning("\(warning)") }
        context.logger.notice("unable to find \(segment) in the archive asynchronously")
        return false
    }

    /// Moves the segment to where PostgreSQL wants it.
    private func take(refills: Bool) throws(BackupError) -> Bool {
        let source = spool.path(segment.description)
        if rename(source, destination) != 0 {
            guard errno == EXDEV else {
                throw systemError(.fileMove, "unable to move '\(source)' to '\(destination)'", errno)
            }
            try copyAcross(source)
        }
        context.logger.notice("found \(segment) in the archive asynchronously")
        if refills { try refill() }
        return true
    }

    /// To another file system: PostgreSQL never sees half a file.
    private func copyAcross(_ source: String) throws(BackupError) {
        let partial = destination + StoragePath.temporarySuffix
        let input = open(source, O_RDONLY | O_CLOEXEC)
        guard input >= 0 else { throw systemError(.fileOpen, "unable to open '\(source)'", errno) }
        defer { close(input) }
        let output = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard output >= 0 else { throw systemError(.fileOpen, "unable to open '\(partial)' for writing", errno) }
        defer { close(output) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        do throws(BackupError) {
            while true {
                let count = try readFully(input, source, into: buffer)
                if count == 0 { break }
                try writeFully(output, partial, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            guard rename(partial, destination) == 0 else {
                throw systemError(.fileMove, "unable to rename '\(partial)' to '\(destination)'", errno)
            }
        } catch {
            unlink(partial)
            throw error
        }
        unlink(source)
    }

    /// Has more fetched when little is left. PostgreSQL has its segment: what goes wrong here shows with the next.
    private func refill() throws(BackupError) {
        guard let size = try? segmentSize() else { return }
        let left = (try? spool.names())?.filter { WALSegment($0) != nil }.count ?? 0
        guard !ArchiveGetQueue.isHalfFull(left, queueSize: queueSize, segmentSize: size),
            let queue = try? queue(from: segment.next(segmentSize: size)), !queue.missing.isEmpty
        else { return }
        do throws(BackupError) {
            if try context.isArchiveLocked() { return }
            try spool.remove(queue.stale)
            _ = try BackgroundProcess.start(context.configuration, arguments(queue.missing))
        } catch {
            context.logger.warning("the next WAL is not fetched ahead: \(error.message)")
        }
    }

    private func segmentSize() throws(BackupError) -> UInt64 {
        try ClusterDirectory.control(try context.dataDirectory()).walSegmentSize
    }

    private func queue(from first: WALSegment) throws(BackupError) -> ArchiveGetQueue {
        ArchiveGetQueue(
            from: first, spooled: try spool.names(), queueSize: queueSize, segmentSize: try segmentSize())
    }

    private func arguments(_ segments: [WALSegment]) -> [String] {
        context.configuration.arguments(for: .async, parameters: segments.map(\.description))
    }

    /// A spool that cannot be used must not end recovery.
    private func getWithoutSpool(_ reason: String) async throws -> Bool {
        let hint =
            "'\(segment)' is fetched synchronously; see to spool directory '\(spool.directory)' "
            + "and to log file '\(context.backgroundLogFile)'"
        context.logger.warning("\(reason)\nHINT: \(hint)")
        return try await ArchiveGet(context).getNow()
    }
}
