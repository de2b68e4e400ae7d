package import Glibc

/// Answers a call from the spool where that is all that the program would do. Blocking.
package struct SpoolAnswer {
    private let call: ArchiveCall
    private let shortcut: ArchiveShortcut
    private let spool: String
    private let user: uid_t

    /// nil when there is any doubt: then the program itself must answer.
    /// - Parameters:
    ///   - arguments: with `argv[0]`.
    ///   - environment: `NAME=value`.
    ///   - program: the path of the program that answers otherwise.
    ///   - user: who must have left the shortcut.
    package init?(arguments: [String], environment: [String], program: String, user: uid_t = geteuid()) {
        // The program refuses to archive as root.
        guard user != 0, let call = ArchiveCall(arguments), let stanza = SpoolHint.stanza(call) else { return nil }
        let root = SpoolHint.path(call)
        let path = ArchiveShortcut.path(spoolPath: root, stanza: stanza, kind: call.kind)
        guard let bytes = FileFacts.contents(path, ownedBy: user), let shortcut = ArchiveShortcut(bytes),
            shortcut.isForLauncher, shortcut.program == program, shortcut.words == call.words,
            shortcut.stanza == stanza,
            let relevant = ArchiveEnvironment.relevant(environment), shortcut.environment == relevant,
            shortcut.holds
        else { return nil }
        self.call = call
        self.user = user
        self.shortcut = shortcut
        spool = "\(root)/archive/\(stanza)/\(call.kind == .push ? "out" : "in")"
    }

    /// The exit status; nil when the program must answer, and nothing has been done.
    package func give() -> Int32? {
        var start = timespec()
        clock_gettime(CLOCK_REALTIME, &start)
        var log: Int32?
        if !shortcut.log.file.isEmpty {
            let descriptor = open(shortcut.log.file, O_WRONLY | O_APPEND | O_CLOEXEC)
            guard descriptor >= 0 else { return nil }
            log = descriptor
        }
        guard let message = call.kind == .push ? pushed() ?? pushedByAgent() : taken() else {
            if let log { close(log) }
            return nil
        }
        shortcut.log.write(call, message, start: start, to: log)
        return 0
    }

    /// What there is to say when the file has been pushed without a warning.
    private func pushed() -> String? {
        guard !shortcut.isStopped, let file = waitingFile(), let done = status("\(spool)/\(file.name).ok"),
            done.st_size == 0, !isBefore(done, file.ready)
        else { return nil }
        return "pushed WAL file '\(file.name)' to the archive asynchronously"
    }

    /// As ``pushed()``, after the agent has pushed it.
    private func pushedByAgent() -> String? {
        guard shortcut.isForAgent, !shortcut.agentSocket.isEmpty, !shortcut.isStopped, let file = waitingFile(),
            file.directory == shortcut.walDirectory
        else { return nil }
        // What has been told of the file with a warning is the program's.
        if let done = status("\(spool)/\(file.name).ok"), !isBefore(done, file.ready) { return nil }
        let request = AgentRequest(stanza: shortcut.stanza, fileName: String(file.name))
        guard AgentSocket(path: shortcut.agentSocket, user: user).ask(request, timeout: shortcut.timeout) else {
            return nil
        }
        // The spool is the proof, not the agent's word.
        return pushed()
    }

    /// The file that PostgreSQL calls for; nil when it does not wait.
    private func waitingFile() -> (directory: Substring, name: Substring, ready: stat)? {
        let path = absolute(call.parameters[0])
        guard let slash = path.lastIndex(of: "/") else { return nil }
        let (directory, name) = (path[..<slash], path[path.index(after: slash)...])
        // An .ok that is older than .ready is of a file that had the name before.
        guard !name.isEmpty, let ready = status("\(directory)/archive_status/\(name).ready") else { return nil }
        return (directory, name, ready)
    }

    /// What there is to say when the segment was moved from the spool, and enough is left there.
    private func taken() -> String? {
        let name = call.parameters[0]
        guard isSegment(name), let names = FileFacts.names(spool), names.contains(name) else { return nil }
        let left = names.count(where: isSegment) - 1
        guard left * 2 >= shortcut.queueLength else { return nil }
        guard rename("\(spool)/\(name)", absolute(call.parameters[1])) == 0 else { return nil }
        return "found \(name) in the archive asynchronously"
    }

    private func absolute(_ path: String) -> String {
        path.utf8.first == UInt8(ascii: "/") ? path : "\(shortcut.dataDirectory)/\(path)"
    }

    private func isSegment(_ name: String) -> Bool {
        name.utf8.count == 24
            && name.utf8.allSatisfy {
                $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") || $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "F")
            }
    }

    private func status(_ path: String) -> stat? {
        var facts = stat()
        return lstat(path, &facts) == 0 ? facts : nil
    }

    private func isBefore(_ left: stat, _ right: stat) -> Bool {
        (left.st_mtim.tv_sec, left.st_mtim.tv_nsec) < (right.st_mtim.tv_sec, right.st_mtim.tv_nsec)
    }
}
