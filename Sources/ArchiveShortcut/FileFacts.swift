package import Glibc

/// By what it shows that a file is still the one that was seen. Blocking.
package struct FileFacts {
    /// Device, inode, size, times of content and of change; `-` when there is no such file.
    package let text: String
    /// Seconds since 1970 of the last change of any kind; nil when there is no such file.
    package let changed: Int?

    /// nil when it cannot be told whether there is one.
    package init?(_ path: String) {
        var facts = stat()
        guard stat(path, &facts) == 0 else {
            guard errno == ENOENT || errno == ENOTDIR else { return nil }
            text = "-"
            changed = nil
            return
        }
        text =
            "\(facts.st_dev) \(facts.st_ino) \(facts.st_size) \(facts.st_mtim.tv_sec).\(facts.st_mtim.tv_nsec) "
            + "\(facts.st_ctim.tv_sec).\(facts.st_ctim.tv_nsec)"
        changed = facts.st_ctim.tv_sec
    }

    /// Whether two paths lead to one file or directory.
    package static func isSameFile(_ left: String, _ right: String) -> Bool {
        var (one, other) = (stat(), stat())
        return stat(left, &one) == 0 && stat(right, &other) == 0 && one.st_dev == other.st_dev
            && one.st_ino == other.st_ino
    }

    /// All bytes of a file; nil when it cannot be read or has more than `limit`.
    package static func contents(_ path: String, limit: Int = 1 << 20, ownedBy owner: uid_t? = nil) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG, facts.st_size <= limit else {
            return nil
        }
        if let owner, facts.st_uid != owner || facts.st_mode & 0o022 != 0 { return nil }
        let size = Int(facts.st_size)
        return [UInt8](unsafeUninitializedCapacity: size + 1) { buffer, count in
            while count <= size {
                let got = read(descriptor, buffer.baseAddress.map { $0 + count }, size + 1 - count)
                if got < 0, errno == EINTR { continue }
                if got <= 0 { break }
                count += got
            }
        }
    }

    /// The system identifier in a cluster's `global/pg_control`: its first eight bytes, in the host's byte order.
    package static func systemIdentifier(dataDirectory: String) -> UInt64? {
        let descriptor = open("\(dataDirectory)/global/pg_control", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var value: UInt64 = 0
        return read(descriptor, &value, 8) == 8 ? value : nil
    }

    /// The names in a directory; nil when it cannot be read.
    package static func names(_ directory: String) -> [String]? {
        guard let stream = opendir(directory) else { return nil }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            names.append(name)
        }
        return names
    }
}
