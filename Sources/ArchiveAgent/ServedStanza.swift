import ArchiveShortcut
import BackupEngine
import BackupModel
import CLinux
import Glibc
import PostgresFormats

/// A stanza whose WAL is pushed ahead: by the shortcut that PostgreSQL's own call has left, so with the words, variables
/// and files of that call, and only while they mean what they meant then. Blocking.
struct ServedStanza {
    let shortcut: ArchiveShortcut
    let spool: ArchiveSpool

    /// nil when no call of PostgreSQL has left one, or something has changed since: the next call leaves another.
    init?(_ stanza: String, spoolPath: String) {
        let path = ArchiveShortcut.path(spoolPath: spoolPath, stanza: stanza, kind: .push)
        // It says what is run: by nobody else's hand.
        guard let bytes = FileFacts.contents(path, ownedBy: geteuid()), let shortcut = ArchiveShortcut(bytes),
            shortcut.stanza == stanza, shortcut.isForAgent, shortcut.holds
        else { return nil }
        self.shortcut = shortcut
        spool = ArchiveSpool(directory: "\(spoolPath)/archive/\(stanza)/\(ArchiveSpool.Direction.push.rawValue)")
        do throws(BackupError) { try spool.prepare() } catch { return nil }
    }

    var statusDirectory: String { "\(shortcut.walDirectory)/archive_status" }

    /// The first file that a run would push; nil when there is none. Only while PostgreSQL runs: the directory of one that
    /// is being put back, or that another server has replaced, is nobody's to archive.
    func nextFile() throws(BackupError) -> String? {
        guard !shortcut.isStopped, try ClusterDirectory.isRunning(shortcut.dataDirectory) else { return nil }
        return try ArchivePushQueue(
            walDirectory: shortcut.walDirectory, spool, segmentSize: 16 << 20, batchSize: 16 << 30
        ).files.first
    }

    /// What the spool tells of a file; nil when it tells nothing.
    func answer(_ fileName: String) -> AgentAnswer? {
        do throws(BackupError) {
            _ = try spool.removeOutdated(fileName, statusDirectory: statusDirectory)
            return switch try spool.status(of: fileName) {
            case .done(nil)?: .done
            case .done?, .failed?: .left
            case nil: nil
            }
        } catch {
            return .left
        }
    }

    /// The words of the call, in the role of its background process.
    var words: [String] {
        shortcut.words.flatMap { word in
            word == ArchiveCall.Kind.push.rawValue
                ? ["\(word):\(CommandRole.async.rawValue)", shortcut.walDirectory] : [word]
        }
    }

    /// The variables of the call that decide about options, over those of this process, without its own.
    func environment(_ own: [String]) -> [String] {
        let others = ["PGBACKREST_", "PERMAFROST_", "NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_"]
        return own.filter { entry in !others.contains { entry.hasPrefix($0) } } + shortcut.environment
    }

    /// Starts the background process of the call: it takes the archive lock, pushes what is ready and ends. It goes on when
    /// this process ends.
    func push() throws(BackupError) -> pid_t {
        var arguments = words.map { strdup($0) } + [nil]
        var variables = environment(ArchiveEnvironment.entries()).map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var processID = pid_t()
        let status = linux_spawn_session(&processID, shortcut.program, &arguments, &variables, -1, -1)
        guard status == 0 else {
            throw systemError(.execute, "unable to start '\(shortcut.program)'", status)
        }
        return processID
    }
}
