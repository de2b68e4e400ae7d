package import BackupModel
import Glibc
import Synchronization

/// pgBackRest's locks on this host, under every name that its versions use: no command of either program runs for the
/// same stanza and repository meanwhile. Held until ``release()``, or until the process ends, however that happens.
package final class HostLock: Sendable {
    private struct State {
        var files: [LockFile] = []
        var progress: UInt64?
    }
    private let executionID: String
    private let state: Mutex<State>

    private init(_ files: [LockFile], executionID: String) {
        self.executionID = executionID
        state = Mutex(State(files: files))
    }

    deinit { release() }

    /// Takes the locks of all `types` for the repositories with these keys, or none. Does not wait.
    /// - Parameter executionID: a lock that a process with the same one holds counts as ours.
    /// - Throws: `.lockAcquire` when another process holds one, naming it.
    package static func acquire(
        _ types: [LockType], stanza: String, repositoryKeys: [Int], lockPath: String, executionID: String
    ) throws(BackupError) -> HostLock {
        var held: [LockFile] = []
        do {
            // Always in the same order: of two that start at once, one gets all.
            for type in LockType.allCases where types.contains(type) {
                for (name, isShared) in LockFile.names(type, stanza: stanza, repositoryKeys: repositoryKeys) {
                    let file = try LockFile.lock(
                        "\(lockPath)/\(name)", isShared: isShared, isArchive: type == .archive, executionID: executionID
                    )
                    guard let file else { continue }
                    held.append(file)
                    try file.write(body(executionID))
                }
            }
        } catch {
            for file in held { file.release() }
            throw error
        }
        return HostLock(held, executionID: executionID)
    }

    /// Tells `info`, ours and pgBackRest's, how far a backup or restore is. Writes only when a hundredth of a percent
    /// has changed, so it may be called for every file.
    package func report(sizeTotal: UInt64, sizeDone: UInt64) {
        let done = min(sizeDone, sizeTotal)
        let progress = sizeTotal == 0 ? 10_000 : UInt64(Double(done) / Double(sizeTotal) * 10_000)
        state.withLock { state in
            guard state.progress != progress else { return }
            state.progress = progress
            var body = Self.body(executionID)
            body[number: "pctCplt"] = progress
            body[number: "sz"] = sizeTotal
            body[number: "szCplt"] = done
            // Progress that cannot be shown is no reason to fail what makes it.
            for file in state.files where !file.isArchive { try? file.write(body) }
        }
    }

    package func release() {
        let files = state.withLock { state in
            defer { state.files = [] }
            return state.files
        }
        for file in files { file.release() }
    }

    /// Who holds the lock of one type for one repository, whichever version of which program; nil when nobody does.
    package static func holder(
        _ type: LockType, stanza: String, repositoryKey: Int, lockPath: String
    ) -> LockHolder? {
        // The file of the repository first: it tells more.
        for (name, _) in LockFile.names(type, stanza: stanza, repositoryKeys: [repositoryKey]).reversed() {
            if let holder = LockFile.holder("\(lockPath)/\(name)") { return holder }
        }
        return nil
    }

    private static func body(_ executionID: String) -> FlatJSON {
        var body = FlatJSON()
        body[text: "execId"] = executionID
        body[number: "pid"] = UInt64(getpid())
        return body
    }
}
