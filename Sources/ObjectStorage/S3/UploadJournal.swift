import BackupModel
import Glibc
import HTTP
import RepositoryStorage

/// Notes on this host which uploads in parts are on their way, so that those of a run that was killed can be ended by
/// the next: listing them is a permission that backups do not need.
///
/// Each run has a file of its own and holds a lock on it for as long as it lives; a file whose lock is free is a dead
/// run's. A line is `begin` or `end`, bucket, key and id, percent-encoded. Not synced: with the machine's power an
/// upload may be forgotten, which costs space and harms nothing.
actor UploadJournal {
    private static let suffix = ".uploads"

    private let directory: String
    private let bucket: String
    private var descriptor: Int32 = -1
    private var path: String?
    private var open: Set<String> = []
    private var hasLooked = false

    /// - Parameter bucket: with its service; of one journal directory many may make use.
    init(_ directory: String, bucket: String) {
        self.directory = directory
        self.bucket = bucket
    }

    deinit {
        guard descriptor >= 0 else { return }
        // The lock goes with the descriptor: until then nobody else touches the file.
        if open.isEmpty, let path { unlink(path) }
        close(descriptor)
    }

    func begin(_ key: String, _ id: String) {
        open.insert(id)
        write("begin", key, id)
    }

    func end(_ id: String) {
        guard open.remove(id) != nil else { return }
        write("end", "", id)
        // Nothing in flight: a kill from here on leaves nothing to do.
        if open.isEmpty, descriptor >= 0 { ftruncate(descriptor, 0) }
    }

    /// Once in a run: ends what dead runs left in this bucket.
    /// - Parameter abort: by key and id; whether it is gone.
    func endLeftOver(_ abort: @Sendable (String, String) async -> Bool) async {
        if hasLooked { return }
        hasLooked = true
        for name in (try? LocalFile.names(in: directory)) ?? [] where name.hasSuffix(Self.suffix) {
            await endFile("\(directory)/\(name)", abort)
        }
    }

    private func endFile(_ path: String, _ abort: @Sendable (String, String) async -> Bool) async {
        let file = Glibc.open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return }
        defer { close(file) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0, let bytes = try? LocalFile.readAll(path) else { return }
        let uploads = Self.unfinished(String(decoding: bytes, as: UTF8.self))
        var isDone = true
        for upload in uploads {
            if upload.bucket == bucket {
                if !(await abort(upload.key, upload.id)) { isDone = false }
            } else {
                isDone = false
            }
        }
        if isDone { unlink(path) }
    }

    /// What a journal's lines leave open.
    static func unfinished(_ text: String) -> [(bucket: String, key: String, id: String)] {
        var open: [(bucket: String, key: String, id: String)] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: false)
            guard words.count == 4, let bucket = PercentEncoding.decode(String(words[1])),
                let key = PercentEncoding.decode(String(words[2])), let id = PercentEncoding.decode(String(words[3]))
            else { continue }
            if words[0] == "begin" { open.append((bucket, key, id)) } else { open.removeAll { $0.id == id } }
        }
        return open
    }

    private func write(_ verb: String, _ key: String, _ id: String) {
        if descriptor < 0, !openFile() { return }
        let line =
            "\(verb) \(PercentEncoding.encode(bucket)) \(PercentEncoding.encode(key)) \(PercentEncoding.encode(id))\n"
        let bytes = Array(line.utf8)
        // One that cannot be noted may be left over by a kill: no reason to stop a backup.
        _ = Glibc.write(descriptor, bytes, bytes.count)
    }

    private func openFile() -> Bool {
        guard (try? LocalFile.makeDirectories(directory)) != nil else { return false }
        let path = "\(directory)/\(getpid())-\(String(UInt32.random(in: .min ... .max), radix: 36))\(Self.suffix)"
        let file = Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard file >= 0 else { return false }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            close(file)
            return false
        }
        descriptor = file
        self.path = path
        return true
    }
}
