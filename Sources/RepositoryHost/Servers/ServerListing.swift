import BackupEngine
import BackupModel
import Glibc
import PostgresFormats
import RepositoryFormats

/// What a data directory holds, as lines in a file without a name: a million files are not kept in memory.
final class ServerListing: Sendable {
    private let descriptor: Int32
    /// Bytes.
    let size: UInt64
    /// Where the files lie that WAL does not cover: those that may be read.
    private let locations: [String: String]

    fileprivate init(descriptor: Int32, size: UInt64, locations: [String: String]) {
        self.descriptor = descriptor
        self.size = size
        self.locations = locations
    }

    deinit { close(descriptor) }

    /// - Parameter directory: for the file, which needs about 100 bytes for each that is found. Blocking.
    static func make(_ scan: DataDirectoryScan, in directory: String) throws(BackupError) -> ServerListing {
        var writer = try ListingWriter(directory)
        do throws(BackupError) {
            try scan.run(into: &writer)
            try writer.flush()
        } catch {
            close(writer.descriptor)
            throw error
        }
        return ServerListing(descriptor: writer.descriptor, size: writer.size, locations: writer.locations)
    }

    /// Fills `buffer` from `offset` on, or to the end. Blocking.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BackupError) -> Int {
        try readPiece(descriptor, "the listing", at: offset, into: buffer)
    }

    /// A piece of a file that was listed; nil when it is gone. Blocking.
    /// - Throws: `.access` for what was not listed, or is covered by WAL and so no matter of the primary alone.
    func read(
        _ name: String, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(BackupError) -> (count: Int, version: String)? {
        guard ListingLine.isName(name), let location = locations[name] else {
            throw BackupError(.access, "'\(name)' is none of the files that may be read here")
        }
        // Links were followed when the file was listed: what is one now is none of PostgreSQL's doing.
        let descriptor = open(location, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            let reason = errno
            if reason == ENOENT { return nil }
            throw systemError(.fileOpen, "unable to open '\(location)' for reading", reason)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw BackupError(.fileOpen, "'\(location)' is no file any more")
        }
        let version = "\(status.st_dev)-\(status.st_ino)"
        if name == "pg_data/\(ClusterDirectory.controlFile)" {
            return (try ControlFileReader.read(descriptor, path: location, into: buffer), version)
        }
        return (try readPiece(descriptor, location, at: offset, into: buffer), version)
    }
}

private func readPiece(
    _ descriptor: Int32, _ path: String, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
) throws(BackupError) -> Int {
    guard let place = off_t(exactly: offset), let base = buffer.baseAddress else { return 0 }
    var done = 0
    while done < buffer.count {
        let (next, overflow) = place.addingReportingOverflow(off_t(done))
        if overflow { break }
        let count = pread(descriptor, base + done, buffer.count - done, next)
        if count == 0 { break }
        if count < 0 {
            if errno == EINTR { continue }
            throw systemError(.fileRead, "unable to read '\(path)'", errno)
        }
        done += count
    }
    return done
}

private struct ListingWriter: ScanSink {
    let descriptor: Int32
    private(set) var size: UInt64 = 0
    private(set) var locations: [String: String] = [:]
    private var buffer: [UInt8] = []

    private static let bufferSize = 64 << 10

    init(_ directory: String) throws(BackupError) {
        let path = "\(directory)/listing.\(String(UInt64.random(in: .min ... .max), radix: 36))"
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw systemError(.fileOpen, "unable to make a file for a listing in '\(directory)'", errno)
        }
        unlink(path)
    }

    mutating func take(_ entry: DataDirectoryScan.Entry) throws(BackupError) {
        if case .file(let file, let location) = entry, !CopyPlan.isCoveredByWAL(file.name) {
            locations[file.name] = location
        }
        buffer += ListingLine.text(entry).utf8
        if buffer.count >= Self.bufferSize {
            if Task.isCancelled { throw BackupError(.terminated, "terminated while the data directory was listed") }
            try flush()
        }
    }

    mutating func flush() throws(BackupError) {
        var done = 0
        while done < buffer.count {
            let count = buffer.withUnsafeBytes { bytes in
                bytes.baseAddress.map { write(descriptor, $0 + done, bytes.count - done) } ?? 0
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw systemError(.fileWrite, "unable to write a listing", errno)
            }
            done += count
        }
        size += UInt64(buffer.count)
        buffer.removeAll(keepingCapacity: true)
    }
}
