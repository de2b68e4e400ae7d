import Glibc

/// What must be looked at each time, since it may have changed. Blocking.
extension ArchiveShortcut {
    /// Whether all that the options came from, the program, and the cluster are as they were.
    package var holds: Bool {
        files.allSatisfy(\.holds)
            && FileFacts.systemIdentifier(dataDirectory: dataDirectory) == systemIdentifier
    }

    /// Whether a stop file is there, or that cannot be told.
    package var isStopped: Bool {
        [stanza, "all"].contains { access("\(lockPath)/\($0).stop", F_OK) == 0 || errno != ENOENT }
    }

    package var walDirectory: String { "\(dataDirectory)/pg_wal" }
}

extension ArchiveShortcut.FileState {
    /// Whether it is the file that was seen, or in another container one with the same in it.
    var holds: Bool {
        guard let now = FileFacts(path) else { return false }
        if now.text == facts { return true }
        return !content.isEmpty && now.changed != nil && FileContent.text(path) == content
    }
}
