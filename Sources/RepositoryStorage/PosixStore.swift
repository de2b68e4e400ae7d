import BackupModel
import Glibc
import Synchronization

/// A repository in a directory of a local or network file system.
///
/// - Calls block the thread that they are made on: give tasks that make many of them an executor with threads of its
///   own. No call hops to another.
/// - New files and directories have exactly the modes asked for, whatever the umask of the process at `init`, unless
///   the umask is to be heeded (`neutral-umask=n`).
/// - `.atomic` and `.create` write to `<name>.<unique>.pgbackrest.tmp` in the same directory: it ends as pgBackRest's
///   temporary files do, which no reader takes for an object, but is never the name that another writer uses, be it
///   pgBackRest, so that concurrent writers cannot touch each other's bytes. A killed process leaves it behind; it goes
///   with its directory. Listings do not show such files.
/// - Links above the repository are followed; one inside it is listed as a link.
package final class PosixStore: RepositoryStore {
    package let root: String
    package let capabilities: StoreCapabilities = [.createIfAbsent, .directories, .symlinks, .hardLinks]
    package var location: String { "posix:\(root)" }
    package let concurrency = StoreConcurrency.local

    let fileMode: UInt32
    let directoryMode: UInt32
    /// Whether the umask takes bits away from the modes asked for. Almost never so; a chmod is a round trip on NFS.
    let mustSetFileMode: Bool
    let mustSetDirectoryMode: Bool
    /// System paths of directories that got new subdirectories for `.inPlace` objects and were not synced yet.
    private let unsynced = Mutex<Set<[UInt8]>>([])

    package init(root: String, fileMode: UInt32 = 0o640, directoryMode: UInt32 = 0o750, neutralUmask: Bool = true) {
        var root = root[...]
        while root.utf8.count > 1, root.utf8.last == UInt8(ascii: "/") { root = root.dropLast() }
        self.root = String(root)
        self.fileMode = fileMode
        self.directoryMode = directoryMode
        let mask = neutralUmask ? SystemFile.processMask() : 0
        mustSetFileMode = fileMode & mask != 0
        mustSetDirectoryMode = directoryMode & mask != 0
    }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try open(path, range: range)
    }

    package func open(_ path: String, range: Range<UInt64>?) throws(StorageError) -> PosixReader {
        try StoragePath.validate(path)
        return try storage { () throws(SystemFailure) in try PosixReader(systemPath(path), range: range) }
    }

    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try StoragePath.validate(path)
        return try PosixWriter(self, systemPath(path), mode)
    }

    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try StoragePath.validateDirectory(directory)
        let entries = try storage { () throws(SystemFailure) in
            try PosixListing.entries(of: systemPath(directory), prefix: prefix)
        }
        return ListPage(entries: entries, next: nil)
    }

    package func info(_ path: String) async throws -> ObjectInfo? {
        try StoragePath.validateDirectory(path)
        let facts = try storage { () throws(SystemFailure) in try SystemFile.status(systemPath(path)) }
        return facts.map { PosixListing.info(name: path, $0) }
    }

    package func delete(_ paths: [String]) async throws {
        for path in paths { try StoragePath.validate(path) }
        try storage { () throws(SystemFailure) in
            var changed: Set<[UInt8]> = []
            for path in paths {
                let file = systemPath(path)
                if try SystemFile.remove(file) { changed.insert(Array(SystemDirectory.parent(of: file).utf8)) }
            }
            for directory in changed { try syncIfThere(String(decoding: directory, as: UTF8.self)) }
        }
    }

    package func deleteTree(_ directory: String) async throws {
        try StoragePath.validateDirectory(directory)
        let path = systemPath(directory)
        try storage { () throws(SystemFailure) in
            let descriptor: Int32
            do throws(SystemFailure) {
                // The root may be a link to where the repository lies.
                let flags = O_RDONLY | O_DIRECTORY | (directory.isEmpty ? 0 : O_NOFOLLOW)
                descriptor = try SystemFile.open(path, flags, .openDirectory)
            } catch {
                if error.isMissing || error.number == ELOOP { return }
                throw error
            }
            defer { _ = Glibc.close(descriptor) }
            try SystemDirectory.removeContents(descriptor, path: path)
            if directory.isEmpty { return try syncIfThere(path) }
            if rmdir(path) != 0, errno != ENOENT { throw SystemFailure(.removeDirectory, path) }
            try syncIfThere(SystemDirectory.parent(of: path))
        }
    }

    package func makeDirectory(_ path: String) async throws {
        try StoragePath.validateDirectory(path)
        try storage { () throws(SystemFailure) in
            try makeDirectories(systemPath(path), durable: true)
            if let facts = try SystemFile.status(systemPath(path)), facts.st_mode & S_IFMT == S_IFREG {
                throw SystemFailure(.makeDirectory, systemPath(path), number: EEXIST)
            }
        }
    }

    package func syncAll(under directory: String) async throws {
        try StoragePath.validateDirectory(directory)
        try storage { () throws(SystemFailure) in
            let path = systemPath(directory)
            guard try syncTree(path) else { return }
            // The name of the directory itself, in every directory above it that may be new.
            var above = directory
            while !above.isEmpty {
                above = StoragePath.parent(of: above)
                try SystemDirectory.sync(systemPath(above))
            }
            unsynced.withLock { $0 = $0.filter { !SystemDirectory.contains(path.utf8, $0) } }
            try syncNew(above: path)
        }
    }

    package func link(_ path: String, to target: String) async throws {
        try StoragePath.validate(path)
        guard !target.isEmpty, !target.utf8.contains(0) else {
            throw StorageError(BackupError(.parameterInvalid, "'\(path)' cannot be a link to an empty or broken name"))
        }
        try storage { () throws(SystemFailure) in
            let file = systemPath(path)
            let temporary = temporaryName(for: file)
            try creatingParents(of: file, durable: true) { () throws(SystemFailure) in
                if symlink(target, temporary) != 0 { throw SystemFailure(.link, file) }
            }
            do throws(SystemFailure) {
                try SystemFile.rename(temporary, to: file)
            } catch {
                _ = unlink(temporary)
                throw error
            }
            try syncName(of: file)
        }
    }
}

extension PosixStore {
    package func hardLink(_ path: String, to existing: String) async throws {
        try StoragePath.validate(path)
        try StoragePath.validate(existing)
        try storage { () throws(SystemFailure) in
            let file = systemPath(path)
            try creatingParents(of: file, durable: false) { () throws(SystemFailure) in
                if Glibc.link(systemPath(existing), file) == 0 { return }
                guard errno == EEXIST else { throw SystemFailure(.link, file) }
                _ = try SystemFile.remove(file)
                if Glibc.link(systemPath(existing), file) != 0 { throw SystemFailure(.link, file) }
            }
        }
    }
}

// What the writer shares.
extension PosixStore {
    func systemPath(_ path: String) -> String {
        if path.isEmpty { return root }
        return root == "/" ? "/" + path : root + "/" + path
    }

    /// Runs `body` and makes what it throws the error of this store.
    func storage<Value>(_ body: () throws(SystemFailure) -> Value) throws(StorageError) -> Value {
        do throws(SystemFailure) {
            return try body()
        } catch {
            throw storageError(error)
        }
    }

    func storageError(_ failure: SystemFailure) -> StorageError {
        StorageError(
            failure.error(in: location), isMissing: failure.isMissing, isRetryable: failure.isRetryable,
            isAlreadyThere: failure.number == EEXIST, isDenied: failure.isDenied)
    }

    /// Unique on all hosts that share the file system, and short enough where `file`'s own name is not far too long.
    func temporaryName(
        for file: String, unique: String = String(UInt64.random(in: .min ... .max), radix: 36)
    ) -> String {
        let directory = SystemDirectory.parent(of: file)
        let base = file.utf8.dropFirst(directory == "/" ? 1 : directory.utf8.count + 1)
        let unique = "." + unique + StoragePath.temporarySuffix
        var kept = String(base) ?? "object"
        while kept.utf8.count + unique.utf8.count > Int(NAME_MAX), !kept.isEmpty { kept.removeLast() }
        return "\(directory == "/" ? "" : directory)/\(kept)\(unique)"
    }

    /// Runs `create`, and once more with the directories above `file` made when they were missing: most files find
    /// them there, and pay nothing.
    func creatingParents<Value>(
        of file: String, durable: Bool, _ create: () throws(SystemFailure) -> Value
    ) throws(SystemFailure) -> Value {
        // An expiry may remove the directory again in between; not for ever.
        for _ in 0..<3 {
            do throws(SystemFailure) {
                return try create()
            } catch {
                guard error.number == ENOENT else { throw error }
            }
            try makeDirectories(SystemDirectory.parent(of: file), durable: durable)
        }
        return try create()
    }

    func makeDirectories(_ path: String, durable: Bool) throws(SystemFailure) {
        let changed = try SystemDirectory.make(path, mode: directoryMode, exactMode: mustSetDirectoryMode)
        if durable {
            for directory in changed { try SystemDirectory.sync(directory) }
        } else if !changed.isEmpty {
            unsynced.withLock { $0.formUnion(changed.map { Array($0.utf8) }) }
        }
    }

    /// Makes the name of a file durable, with those of directories above it that `.inPlace` objects left unsynced.
    func syncName(of file: String) throws(SystemFailure) {
        try SystemDirectory.sync(SystemDirectory.parent(of: file))
        try syncNew(above: file)
    }

    private func syncNew(above path: String) throws(SystemFailure) {
        let new = unsynced.withLock { $0.filter { SystemDirectory.contains($0, path.utf8) } }
        if new.isEmpty { return }
        for directory in new { try syncIfThere(String(decoding: directory, as: UTF8.self)) }
        unsynced.withLock { $0.subtract(new) }
    }

    private func syncIfThere(_ directory: String) throws(SystemFailure) {
        do throws(SystemFailure) {
            try SystemDirectory.sync(directory)
        } catch {
            if !error.isMissing { throw error }
        }
    }

    /// Syncs every directory from `path` down; false when it is not there.
    private func syncTree(_ path: String) throws(SystemFailure) -> Bool {
        do throws(SystemFailure) {
            for child in try SystemDirectory.subdirectories(of: path) { _ = try syncTree(child) }
            try SystemDirectory.sync(path)
            return true
        } catch {
            if error.isMissing { return false }
            throw error
        }
    }
}
