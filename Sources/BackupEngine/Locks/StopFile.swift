package import BackupModel
import Glibc
import RepositoryStorage

/// The files that `stop` leaves for `start`: `<lock-path>/<stanza>.stop`, and `all.stop` for every stanza.
package enum StopFile {
    /// Throws `.stop` when the stanza, or all of them, are stopped.
    package static func check(stanza: String, lockPath: String) throws(BackupError) {
        if try exists(stanza: stanza, lockPath: lockPath) {
            throw BackupError(
                .stop, "stop file exists for stanza \(stanza)", hint: "run 'start' for the stanza when it may go on")
        }
        if try exists(stanza: nil, lockPath: lockPath) {
            throw BackupError(
                .stop, "stop file exists for all stanzas", hint: "run 'start' without a stanza when they may go on")
        }
    }

    /// - Parameter stanza: nil for the file that stops all.
    package static func exists(stanza: String?, lockPath: String) throws(BackupError) -> Bool {
        let path = path(stanza, lockPath)
        if access(path, F_OK) == 0 { return true }
        let number = errno
        if number == ENOENT || number == ENOTDIR { return false }
        throw BackupError(.fileInfo, "unable to look for '\(path)': \(String(cString: strerror(number)).lowercased())")
    }

    /// False when it was there already.
    package static func create(stanza: String?, lockPath: String) throws(BackupError) -> Bool {
        if try exists(stanza: stanza, lockPath: lockPath) { return false }
        try LocalFile.makeDirectories(lockPath, mode: 0o770)
        try LocalFile.writeDurably(path(stanza, lockPath), [])
        return true
    }

    /// False when there was none.
    package static func remove(stanza: String?, lockPath: String) throws(BackupError) -> Bool {
        try LocalFile.remove(path(stanza, lockPath))
    }

    /// Asks the processes that hold locks of the stanza, or of all, to end (SIGTERM). Returns their ids.
    package static func terminateHolders(stanza: String?, lockPath: String) throws(BackupError) -> [Int32] {
        var asked: [Int32] = []
        for name in try LocalFile.names(in: lockPath) where isLock(name, of: stanza) {
            guard let process = LockFile.holder("\(lockPath)/\(name)")?.processID, process > 1, process != getpid(),
                !asked.contains(process)
            else { continue }
            if kill(process, SIGTERM) == 0 { asked.append(process) }
        }
        return asked
    }

    /// The whole name is looked at: stanza `main` must not stop what belongs to `main-2`.
    static func isLock(_ name: String, of stanza: String?) -> Bool {
        guard name.hasSuffix(".lock") else { return false }
        guard let stanza else { return true }
        guard name.hasPrefix("\(stanza)-") else { return false }
        let parts = name.dropFirst(stanza.count + 1).dropLast(".lock".count).split(
            separator: "-", omittingEmptySubsequences: false)
        return LockType(rawValue: String(parts[0])) != nil
            && (parts.count == 1 || parts.count == 2 && Int(parts[1]) != nil)
    }

    private static func path(_ stanza: String?, _ lockPath: String) -> String { "\(lockPath)/\(stanza ?? "all").stop" }
}
