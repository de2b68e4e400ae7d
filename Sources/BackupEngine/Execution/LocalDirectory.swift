package import BackupModel
import Glibc

/// What `stat` says of a file, as the manifest needs it.
package struct FileStatus: Sendable, Equatable {
    package var size: UInt64
    /// Seconds since 1970.
    package var modified: Int64
    /// Permission bits, with set-id and sticky bits.
    package var mode: UInt16
    package var user: UInt32
    package var group: UInt32
    package var isDirectory: Bool
    package var isRegular: Bool
    package var isLink: Bool

    init(_ status: stat) {
        let format = status.st_mode & S_IFMT
        size = format == S_IFREG ? UInt64(max(0, status.st_size)) : 0
        modified = Int64(status.st_mtim.tv_sec)
        mode = UInt16(truncatingIfNeeded: status.st_mode & 0o7777)
        user = status.st_uid
        group = status.st_gid
        isDirectory = format == S_IFDIR
        isRegular = format == S_IFREG
        isLink = format == S_IFLNK
    }
}

/// Names and facts of local files outside repositories. Blocking.
package enum LocalDirectory {
    /// All names but `.` and `..`, in no order; nil when there is no such directory.
    package static func names(_ path: String) throws(BackupError) -> [String]? {
        guard let directory = opendir(path) else {
            let reason = errno
            if reason == ENOENT { return nil }
            throw systemError(.pathOpen, "unable to list '\(path)'", reason)
        }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else {
                if errno != 0 { throw systemError(.pathOpen, "unable to list '\(path)'", errno) }
                return names
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let name else {
                throw BackupError(
                    .featureNotSupported, "a file in '\(path)' has a name that is not UTF-8",
                    hint: "rename or remove it; PostgreSQL itself makes no such files")
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    /// nil when there is no such file.
    package static func status(_ path: String, followLinks: Bool = false) throws(BackupError) -> FileStatus? {
        var status = stat()
        let result = followLinks ? stat(path, &status) : lstat(path, &status)
        if result == 0 { return FileStatus(status) }
        let reason = errno
        if reason == ENOENT || reason == ENOTDIR { return nil }
        throw systemError(.fileInfo, "unable to get information about '\(path)'", reason)
    }

    package static func linkText(_ path: String) throws(BackupError) -> String {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        guard count >= 0 else { throw systemError(.fileInfo, "unable to read link '\(path)'", errno) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}

/// `attempt: reason`, with what to do about the common reasons.
package func systemError(_ code: ErrorCode, _ attempt: String, _ reason: Int32) -> BackupError {
    var hint: String?
    switch reason {
    case EACCES, EPERM: hint = "run as the user that owns it, usually postgres"
    case ENOSPC, EDQUOT: hint = "free some space there and run the same command again"
    default: break
    }
    return BackupError(code, "\(attempt): \(String(cString: strerror(reason)))", hint: hint)
}

/// Names of users and groups by number, each looked up once.
package struct OwnerNames {
    private var users: [UInt32: String?] = [:]
    private var groups: [UInt32: String?] = [:]

    package init() {}

    /// nil when the number has no name.
    package mutating func user(_ id: UInt32) -> String? {
        if let known = users[id] { return known }
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        let status = getpwuid_r(id, &entry, &buffer, buffer.count, &found)
        let name = status == 0 && found != nil ? String(cString: entry.pw_name) : nil
        users[id] = .some(name)
        return name
    }

    package mutating func group(_ id: UInt32) -> String? {
        if let known = groups[id] { return known }
        var entry = group_()
        var found: UnsafeMutablePointer<Glibc.group>?
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        let status = getgrgid_r(id, &entry, &buffer, buffer.count, &found)
        let name = status == 0 && found != nil ? String(cString: entry.gr_name) : nil
        groups[id] = .some(name)
        return name
    }
}

private typealias group_ = Glibc.group
