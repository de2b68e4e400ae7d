package import BackupModel
import Glibc
import PostgresFormats
import RepositoryStorage

/// A file of the cluster that is open for reading, here or on another host. For one task.
struct SourceReader {
    private let file: SourceFile
    /// -1 for one on another host.
    private(set) var descriptor: Int32 = -1
    private var remote: (any ObjectReader)?

    private init(_ file: SourceFile) { self.file = file }

    /// nil when PostgreSQL has removed it.
    static func open(_ file: SourceFile) async throws -> SourceReader? {
        var reader = SourceReader(file)
        if let files = file.remote {
            guard let opened = try await files.open(file.name) else {
                guard !file.isControlFile else {
                    throw BackupError(.fileMissing, "'\(file.path)' is not there")
                }
                return nil
            }
            reader.remote = opened
            return reader
        }
        reader.descriptor = Glibc.open(file.path, O_RDONLY | O_CLOEXEC)
        if reader.descriptor >= 0 { return reader }
        let reason = errno
        guard reason == ENOENT, !file.isControlFile else {
            throw systemError(.fileOpen, "unable to open '\(file.path)' for reading", reason)
        }
        return nil
    }

    /// Fills `buffer` or reaches the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        guard let remote else { return try readFully(descriptor, file.path, into: buffer) }
        var done = 0
        while done < buffer.count {
            let count = try await remote.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// All of pg_control, as it was at one moment.
    /// - Parameter buffer: of ``PostgresControl/fileSize`` bytes or more.
    func readControl(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        guard remote != nil else { return try ControlFileReader.read(descriptor, path: file.path, into: buffer) }
        let count = try await read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<PostgresControl.fileSize]))
        do throws(BackupError) {
            _ = try PostgresControl(parsing: UnsafeRawBufferPointer(rebasing: buffer[..<count]).bytes)
        } catch {
            throw error.within("'\(file.path)'")
        }
        return count
    }

    /// Back to the first byte.
    mutating func rewind() async throws {
        if let remote {
            await remote.close()
            self.remote = nil
            guard let opened = try await file.remote?.open(file.name) else {
                throw BackupError(.fileMissing, "'\(file.path)' was removed while it was read")
            }
            self.remote = opened
            return
        }
        guard lseek(descriptor, 0, SEEK_SET) == 0 else {
            throw systemError(.fileRead, "unable to read '\(file.path)' again", errno)
        }
    }

    func close() async {
        await remote?.close()
        if descriptor >= 0 { Glibc.close(descriptor) }
    }
}

/// Fills `buffer` or reaches the end of the file.
package func readFully(_ descriptor: Int32, _ path: String, into buffer: UnsafeMutableRawBufferPointer)
    throws(BackupError)
    -> Int
{
    var done = 0
    while done < buffer.count, let base = buffer.baseAddress {
        let count = read(descriptor, base + done, buffer.count - done)
        if count == 0 { break }
        if count < 0 {
            if errno == EINTR { continue }
            throw systemError(.fileRead, "unable to read '\(path)'", errno)
        }
        done += count
    }
    return done
}

/// Reads pg_control whole: PostgreSQL rewrites it in place, so a read may see half of a change.
package enum ControlFileReader {
    package static func read(_ descriptor: Int32, path: String, into buffer: UnsafeMutableRawBufferPointer)
        throws(BackupError)
        -> Int
    {
        let size = PostgresControl.readSize
        var before: [UInt8] = []
        while true {
            guard lseek(descriptor, 0, SEEK_SET) == 0 else {
                throw systemError(.fileRead, "unable to read '\(path)'", errno)
            }
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
            let count = try readFully(descriptor, path, into: target)
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(target)[..<count])
            do throws(BackupError) {
                _ = try PostgresControl(parsing: bytes.bytes)
                break
            } catch {
                // The same bad bytes twice are no torn read.
                let now = Array(bytes)
                if now == before || count < size { throw error.within("'\(path)'") }
                before = now
                usleep(50_000)
            }
        }
        let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[size..<PostgresControl.fileSize])
        rest.initializeMemory(as: UInt8.self, repeating: 0)
        return PostgresControl.fileSize
    }
}
