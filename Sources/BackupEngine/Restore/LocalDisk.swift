import BackupModel
import Glibc

/// Facts about one local file.
struct LocalFileStatus: Sendable {
    enum Kind: Sendable, Equatable { case file, directory, link, special }
    var kind: Kind
    /// Permission bits.
    var mode: UInt16
    var user: UInt32
    var group: UInt32
    var size: UInt64
    /// Seconds since 1970.
    var modified: Int64
    var device: UInt64
}

/// The local file system, blocking. Everything throws ``BackupError`` with the path and the system's words.
enum LocalDisk {
    static func failure(_ code: ErrorCode, _ attempt: String, _ path: String, _ number: Int32 = errno) -> BackupError {
        let hint =
            number == EACCES || number == EPERM ? "is the command run as the owner of the data directory?" : nil
        return BackupError(code, "unable to \(attempt) '\(path)': \(String(cString: strerror(number)))", hint: hint)
    }

    /// nil when there is nothing.
    static func status(_ path: String, followingLinks: Bool = false) throws(BackupError) -> LocalFileStatus? {
        var facts = stat()
        guard (followingLinks ? stat(path, &facts) : lstat(path, &facts)) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw failure(.fileInfo, "get info for", path)
        }
        return LocalFileStatus(facts)
    }

    /// Names in a directory, ascending, without `.` and `..`; nil when there is no such directory.
    static func names(in path: String) throws(BackupError) -> [String]? {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return nil }
            throw failure(.pathOpen, "list directory", path)
        }
        defer { closedir(directory) }
        let nameOffset = MemoryLayout<dirent>.offset(of: \dirent.d_name) ?? 19
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else {
                if errno != 0 { throw failure(.pathOpen, "list directory", path) }
                return names.sorted()
            }
            let bytes = (UnsafeRawPointer(entry) + nameOffset).assumingMemoryBound(to: CChar.self)
            guard let name = String(validatingCString: bytes) else {
                throw BackupError(.pathOpen, "directory '\(path)' holds a name that is not UTF-8")
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    /// All of a small file; nil when there is none.
    static func read(_ path: String) throws(BackupError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure(.fileOpen, "open file", path)
        }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw failure(.fileRead, "read file", path)
            }
            if count == 0 { return content }
            content += chunk[..<count]
        }
    }

    static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, path: String) throws(BackupError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if written < 0 {
                if errno == EINTR { continue }
                throw failure(.fileWrite, "write file", path)
            }
            rest = rest.dropFirst(written)
        }
    }

    /// Replaces a file durably (its name after ``sync(directory:)``).
    static func replace(
        _ path: String, with content: [UInt8], mode: UInt16, owner: FileOwner?, modified: Int64? = nil
    ) throws(BackupError) {
        var pieces = [content][...]
        try replace(path, mode: mode, owner: owner, modified: modified) { piece in
            guard let next = pieces.popFirst() else { return false }
            piece = next
            return true
        }
    }

    /// As above, with content that comes in pieces.
    /// - Parameter next: puts the next piece into an empty array; false when there was none left.
    static func replace(
        _ path: String, mode: UInt16, owner: FileOwner?, modified: Int64? = nil, next: (inout [UInt8]) -> Bool
    ) throws(BackupError) {
        let temporary = path + ".pgbackrest.tmp"
        try write(next, to: temporary, mode: mode, owner: owner, modified: modified)
        try rename(temporary, to: path)
    }

    private static func write(
        _ next: (inout [UInt8]) -> Bool, to path: String, mode: UInt16, owner: FileOwner?, modified: Int64?
    ) throws(BackupError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure(.fileOpen, "create file", path) }
        defer { close(descriptor) }
        var piece: [UInt8] = []
        while next(&piece) {
            try piece.withUnsafeBufferPointer { (bytes) throws(BackupError) in
                try writeAll(UnsafeRawBufferPointer(bytes), to: descriptor, path: path)
            }
            piece.removeAll(keepingCapacity: true)
        }
        if let owner { try change(owner: owner, of: descriptor, path: path) }
        guard fchmod(descriptor, mode_t(mode)) == 0 else { throw failure(.fileMode, "set mode of", path) }
        if let modified { try change(modified: modified, of: descriptor, path: path) }
        guard fsync(descriptor) == 0 else { throw failure(.fileSync, "sync file", path) }
    }

    static func rename(_ path: String, to other: String) throws(BackupError) {
        guard Glibc.rename(path, other) == 0 else { throw failure(.fileMove, "move to '\(other)' file", path) }
    }

    static func change(owner: FileOwner, of descriptor: Int32, path: String) throws(BackupError) {
        guard fchown(descriptor, owner.user, owner.group) == 0 else { throw failure(.fileOwner, "set owner of", path) }
    }

    /// Sets the time of modification, in seconds since 1970.
    static func change(modified: Int64, of descriptor: Int32, path: String) throws(BackupError) {
        let time = timespec(tv_sec: time_t(modified), tv_nsec: 0)
        let times = [time, time]
        guard futimens(descriptor, times) == 0 else { throw failure(.fileWrite, "set time of", path) }
    }

    static func makeDirectory(_ path: String) throws(BackupError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw failure(.pathCreate, "create directory", path) }
    }

    /// Makes a directory and what is missing above it.
    static func makeDirectories(_ path: String, owner: FileOwner?) throws(BackupError) {
        if try status(path, followingLinks: true) != nil { return }
        let parent = parent(of: path)
        if parent != path { try makeDirectories(parent, owner: owner) }
        try makeDirectory(path)
        try adjustDirectory(path, mode: 0o700, owner: owner)
    }

    /// Sets mode and owner of a directory where they differ.
    static func adjustDirectory(_ path: String, mode: UInt16, owner: FileOwner?) throws(BackupError) {
        guard let present = try status(path, followingLinks: true) else { return }
        if let owner, present.user != owner.user || present.group != owner.group {
            guard chown(path, owner.user, owner.group) == 0 else { throw failure(.fileOwner, "set owner of", path) }
        }
        if present.mode != mode {
            guard chmod(path, mode_t(mode)) == 0 else { throw failure(.fileMode, "set mode of", path) }
        }
    }

    static func linkDestination(_ path: String) throws(BackupError) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        guard count >= 0 else { throw failure(.fileInfo, "read link", path) }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Without links; the path itself where there is nothing.
    static func realPath(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    static func makeLink(_ path: String, to destination: String, owner: FileOwner?) throws(BackupError) {
        guard symlink(destination, path) == 0 else { throw failure(.fileOpen, "create link", path) }
        if let owner {
            guard lchown(path, owner.user, owner.group) == 0 else { throw failure(.fileOwner, "set owner of", path) }
        }
    }

    /// Removes a file or link; absent is no error.
    static func removeFile(_ path: String) throws(BackupError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw failure(.fileRemove, "remove file", path) }
    }

    /// Removes a directory with all in it, following no link; absent is no error.
    static func removeTree(_ path: String) throws(BackupError) {
        guard let found = try names(in: path) else { return }
        for name in found {
            let child = "\(path)/\(name)"
            if try status(child)?.kind == .directory {
                try removeTree(child)
            } else {
                try removeFile(child)
            }
        }
        guard rmdir(path) == 0 || errno == ENOENT else { throw failure(.pathRemove, "remove directory", path) }
    }

    /// Bytes of all files in a directory, following no link; 0 where there is none.
    static func size(of path: String) throws(BackupError) -> UInt64 {
        var size: UInt64 = 0
        for name in try names(in: path) ?? [] {
            let child = "\(path)/\(name)"
            guard let status = try status(child) else { continue }
            size &+= status.kind == .directory ? try self.size(of: child) : status.size
        }
        return size
    }

    static func sync(directory path: String) throws(BackupError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(.pathOpen, "open directory", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(.pathSync, "sync directory", path) }
    }

    /// Bytes that may still be written under `path`, or under the nearest directory above it that exists; and the
    /// device they are on.
    static func room(_ path: String) throws(BackupError) -> (device: UInt64, bytes: UInt64)? {
        var directory = path
        while directory != "/", try status(directory, followingLinks: true) == nil { directory = parent(of: directory) }
        var facts = statvfs()
        guard statvfs(directory, &facts) == 0, let device = try status(directory, followingLinks: true)?.device else {
            return nil
        }
        let blocks = UInt64(geteuid() == 0 ? facts.f_bfree : facts.f_bavail)
        let (bytes, overflow) = blocks.multipliedReportingOverflow(by: UInt64(facts.f_frsize))
        return overflow ? nil : (device, bytes)
    }
}

/// Paths as text.
extension LocalDisk {
    static func withoutTrailingSlash(_ path: String) -> String {
        var path = path[...]
        while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
        return String(path)
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func lastComponent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return path }
        return String(path[path.index(after: slash)...])
    }

    /// Joins `path` to `base` unless it is absolute, and takes `.` and `..` out.
    static func resolve(_ path: String, in base: String) -> String {
        var parts: [Substring] = []
        for part in (path.hasPrefix("/") ? path : "\(base)/\(path)").split(separator: "/") {
            switch part {
            case ".": continue
            case "..": _ = parts.popLast()
            default: parts.append(part)
            }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// `program` as PostgreSQL can start it from any directory.
    static func absoluteProgramPath(_ program: String) -> String {
        if program.hasPrefix("/") { return program }
        if program.contains("/") {
            guard let directory = getcwd(nil, 0) else { return program }
            defer { free(directory) }
            return resolve(program, in: String(cString: directory))
        }
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        for directory in path.split(separator: ":") where directory.hasPrefix("/") {
            let candidate = "\(directory)/\(program)"
            if access(candidate, X_OK) == 0 { return candidate }
        }
        return (try? linkDestination("/proc/self/exe")) ?? program
    }
}

extension LocalFileStatus {
    fileprivate init(_ facts: stat) {
        kind =
            switch facts.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            case S_IFLNK: .link
            default: .special
            }
        mode = UInt16(facts.st_mode & 0o7777)
        user = facts.st_uid
        group = facts.st_gid
        size = UInt64(max(0, facts.st_size))
        modified = Int64(facts.st_mtim.tv_sec)
        device = UInt64(facts.st_dev)
    }
}
