import BackupModel
import RepositoryStorage

/// What the lock object of a stanza says.
struct StanzaLockBody: Equatable {
    /// Unique for each taking of the lock.
    var owner: String
    var process: ProcessIdentity
    /// Grows with every change of owner, over releases too: it is never less than the second it was taken in.
    var epoch: UInt64
    /// Seconds since 1970: who has not renewed it by then holds it no more.
    var expires: Int64

    init(owner: String, process: ProcessIdentity, epoch: UInt64, expires: Int64) {
        self.owner = owner
        self.process = process
        self.epoch = epoch
        self.expires = expires
    }

    init?(_ bytes: [UInt8]) {
        guard let json = FlatJSON(bytes), let owner = json[text: "owner"], let host = json[text: "host"],
            let processID = json[number: "pid"].flatMap({ Int32(exactly: $0) }), let epoch = json[number: "epoch"],
            let expires = json[number: "expires"].flatMap({ Int64(exactly: $0) })
        else { return nil }
        self.init(
            owner: owner,
            process: ProcessIdentity(
                host: host, boot: json[text: "boot"] ?? "", namespace: json[text: "namespace"] ?? "",
                processID: processID, startTime: json[number: "start"] ?? 0),
            epoch: epoch, expires: expires)
    }

    var bytes: [UInt8] {
        var json = FlatJSON()
        json[text: "boot"] = process.boot
        json[number: "epoch"] = epoch
        json[number: "expires"] = UInt64(max(expires, 0))
        json[text: "host"] = process.host
        json[text: "namespace"] = process.namespace
        json[text: "owner"] = owner
        json[number: "pid"] = UInt64(max(process.processID, 0))
        json[number: "start"] = process.startTime
        return json.bytes
    }
}

/// What both kinds of lock objects have in common.
extension StanzaLockBody {
    /// nil when there is none.
    static func read(
        _ path: String, _ repository: Repository, stanza: String
    ) async throws(BackupError) -> StanzaLockBody? {
        guard let bytes = try await repository.readWhole(path, limit: 1 << 16) else { return nil }
        guard let body = StanzaLockBody(bytes) else {
            throw BackupError(
                .lockAcquire, "'\(path)' in \(repository.name) is no lock of Permafrost",
                hint: "remove it when no command runs for stanza '\(stanza)'")
        }
        return body
    }

    static func busy(_ body: StanzaLockBody?, _ repository: Repository, stanza: String, now: Int64) -> BackupError {
        let hint = "wait until its command is done; after a crash on another host the lock runs out by itself"
        guard let body else {
            return BackupError(
                .lockAcquire, "unable to acquire the lock of stanza '\(stanza)' in \(repository.name): others take it",
                hint: hint)
        }
        let left = max(body.expires - now, 0)
        return BackupError(
            .lockAcquire,
            "unable to acquire the lock of stanza '\(stanza)' in \(repository.name): process \(body.process.processID) on "
                + "host '\(body.process.host)' holds it for another \(left)s unless it renews it", hint: hint)
    }

    static func lost(to body: StanzaLockBody?, _ repository: Repository, stanza: String) -> BackupError {
        let who = body.map { "process \($0.process.processID) on host '\($0.process.host)' has it" } ?? "it was removed"
        return BackupError(
            .lockAcquire, "the lock of stanza '\(stanza)' in \(repository.name) was lost: \(who)",
            hint: "the repository could not be reached for too long, or the clocks of the hosts differ")
    }
}
