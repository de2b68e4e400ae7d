import Glibc

/// Directory entries as facts of the storage contract.
enum PosixListing {
    /// What lies in the directory `path`, by name bytewise; nothing when there is no such directory.
    static func entries(of path: String, prefix: String) throws(SystemFailure) -> [ObjectInfo] {
        let descriptor: Int32
        do throws(SystemFailure) {
            descriptor = try SystemFile.open(path, O_RDONLY | O_DIRECTORY, .listDirectory)
        } catch {
            if error.isMissing { return [] }
            throw error
        }
        defer { _ = Glibc.close(descriptor) }
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        if copy < 0 { throw SystemFailure(.listDirectory, path) }

        var result: [ObjectInfo] = []
        for entry in try SystemDirectory.names(consuming: copy, path: path) {
            let name = entry.text
            guard name.utf8.starts(with: prefix.utf8), !isTemporary(name) else { continue }
            var facts = stat()
            if fstatat(descriptor, entry.name, &facts, AT_SYMLINK_NOFOLLOW) != 0 {
                if errno == ENOENT { continue }
                throw SystemFailure(.info, path + "/" + name)
            }
            var object = info(name: name, facts)
            if object.kind == .link { object.destination = destination(descriptor, entry.name) }
            // Not UTF-8, so no call can name it: nobody shall take it for an object.
            if String(validating: entry.name.dropLast().lazy.map(UInt8.init(bitPattern:)), as: UTF8.self) == nil {
                object.kind = .special
            }
            result.append(object)
        }
        result.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        return result
    }

    static func info(name: String, _ facts: stat) -> ObjectInfo {
        let kind: ObjectInfo.Kind =
            switch facts.st_mode & S_IFMT {
            case S_IFREG: .object
            case S_IFDIR: .directory
            case S_IFLNK: .link
            default: .special
            }
        return ObjectInfo(
            name: name, kind: kind, size: kind == .object ? UInt64(clamping: facts.st_size) : 0,
            modified: Int64(facts.st_mtim.tv_sec))
    }

    /// nil when the link is gone again.
    private static func destination(_ directory: Int32, _ name: [CChar]) -> String? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlinkat(directory, name, &buffer, buffer.count)
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    private static func isTemporary(_ name: String) -> Bool {
        name.utf8.count > StoragePath.temporarySuffix.utf8.count
            && name.utf8.suffix(StoragePath.temporarySuffix.utf8.count).elementsEqual(StoragePath.temporarySuffix.utf8)
    }
}
