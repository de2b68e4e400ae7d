import CLinux
import Glibc

/// Directories by system call. All paths are the system's; all calls block.
enum SystemDirectory {
    struct Entry {
        /// As the kernel tells it, with the closing NUL.
        var name: [CChar]
        /// `DT_…`
        var type: UInt8
        var text: String { String(decoding: name.dropLast().lazy.map(UInt8.init(bitPattern:)), as: UTF8.self) }
    }

    /// Makes the entries of a directory durable.
    static func sync(_ path: String) throws(SystemFailure) {
        let descriptor = try SystemFile.open(path, O_RDONLY | O_DIRECTORY, .openDirectory)
        defer { _ = Glibc.close(descriptor) }
        // EINVAL: a file system that has no such thing as the sync of a directory.
        if SystemFile.uninterrupted({ fsync(descriptor) }) != 0, errno != EINVAL {
            throw SystemFailure(.syncDirectory, path)
        }
    }

    /// Makes a directory and what is missing above it. Returns the directories that got a new entry, topmost first:
    /// they are not synced.
    /// - Parameter exactMode: sets `mode` again after creation, for processes whose mask would take bits away.
    static func make(_ path: String, mode: UInt32, exactMode: Bool) throws(SystemFailure) -> [String] {
        var above: [String] = []
        var made = mkdir(path, mode) == 0
        if !made, errno == ENOENT, parent(of: path) != path {
            above = try make(parent(of: path), mode: mode, exactMode: exactMode)
            made = mkdir(path, mode) == 0
        }
        guard made else {
            if errno == EEXIST { return above }
            throw SystemFailure(.makeDirectory, path)
        }
        if exactMode, chmod(path, mode) != 0 { throw SystemFailure(.setMode, path) }
        return above + [parent(of: path)]
    }

    static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The names in the open directory `descriptor`, which is closed, with their kinds (`DT_…`), in no order.
    static func names(consuming descriptor: Int32, path: String) throws(SystemFailure) -> [Entry] {
        guard let stream = fdopendir(descriptor) else {
            let failure = SystemFailure(.listDirectory, path)
            _ = Glibc.close(descriptor)
            throw failure
        }
        defer { closedir(stream) }
        var result: [Entry] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw SystemFailure(.listDirectory, path) }
                return result
            }
            guard let name = linux_entry_name(entry), strcmp(name, ".") != 0, strcmp(name, "..") != 0 else { continue }
            let bytes = Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1))
            result.append(Entry(name: bytes, type: entry.pointee.d_type))
        }
    }

    /// The paths of the directories in `path`, links not among them.
    static func subdirectories(of path: String) throws(SystemFailure) -> [String] {
        let descriptor = try SystemFile.open(path, O_RDONLY | O_DIRECTORY, .listDirectory)
        var result: [String] = []
        for entry in try names(consuming: descriptor, path: path) {
            let child = path + "/" + entry.text
            if entry.type == UInt8(DT_DIR) {
                result.append(child)
            } else if entry.type == UInt8(DT_UNKNOWN), let facts = try SystemFile.status(child),
                facts.st_mode & S_IFMT == S_IFDIR
            {
                result.append(child)
            }
        }
        return result
    }

    /// Whether `path` is `directory` or lies under it, byte for byte: `String` takes names for equal that differ only
    /// in Unicode normalisation.
    static func contains(_ directory: some Collection<UInt8>, _ path: some Collection<UInt8>) -> Bool {
        guard path.starts(with: directory) else { return false }
        let slash = UInt8(ascii: "/")
        return path.count == directory.count || directory.elementsEqual(CollectionOfOne(slash))
            || path.dropFirst(directory.count).first == slash
    }

    /// Removes all that lies in the open directory `descriptor`, links not followed. The descriptor stays open.
    static func removeContents(_ descriptor: Int32, path: String) throws(SystemFailure) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        if copy < 0 { throw SystemFailure(.openDirectory, path) }
        for entry in try names(consuming: copy, path: path) {
            let child = path + "/" + entry.text
            if entry.type != UInt8(DT_DIR) {
                if unlinkat(descriptor, entry.name, 0) == 0 || errno == ENOENT { continue }
                // EISDIR: file systems that do not tell the kind.
                guard errno == EISDIR else { throw SystemFailure(.remove, child) }
            }
            try removeDirectory(in: descriptor, entry.name, path: child)
        }
    }

    private static func removeDirectory(
        in parent: Int32, _ name: [CChar], path: String
    ) throws(SystemFailure) {
        let descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        if descriptor < 0 {
            if errno == ENOENT { return }
            throw SystemFailure(.openDirectory, path)
        }
        defer { _ = Glibc.close(descriptor) }
        try removeContents(descriptor, path: path)
        if unlinkat(parent, name, AT_REMOVEDIR) != 0, errno != ENOENT {
            throw SystemFailure(.removeDirectory, path)
        }
    }
}
