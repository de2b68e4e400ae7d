import Foundation
import Glibc
import Synchronization
import TestSupport

/// One run of a container, from the start of its first process to its end.
final class ContainerRun: Sendable {
    private struct State: Sendable {
        var status: Int32?
        var process: Int32?
    }

    let plan: ContainerPlan
    let log: String
    /// Seconds since 1970.
    let startedAt: Int64
    private let directory: String
    private let holder: RunningProcess
    private let state = Mutex(State())

    /// Its exit code, or 128 plus the signal that ended it; nil as long as it runs.
    var status: Int32? { state.withLock { $0.status } }

    /// - Parameters:
    ///   - directory: for this run alone.
    ///   - sandbox: the process that has the pod's namespaces.
    init(_ plan: ContainerPlan, directory: String, log: String, sandbox: Int32) throws {
        self.plan = plan
        self.directory = directory
        self.log = log
        startedAt = Int64(time(nil))
        try FileManager.default.createDirectory(
            atPath: "\(directory)/etc", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        for (name, text) in plan.settings {
            try text.write(toFile: "\(directory)/etc/\(name)", atomically: false, encoding: .utf8)
            chmod("\(directory)/etc/\(name)", 0o644)
        }
        let script = plan.script(directory: directory, log: log)
        try script.write(toFile: "\(directory)/start", atomically: false, encoding: .utf8)
        holder = try ProcessRunner.start(
            "nsenter",
            [
                "--target", "\(sandbox)", "--net", "--uts", "--ipc", "--pid", "--", "unshare", "--mount", "--pid",
                "--fork", "--kill-child", "--propagation", "private", "--", "bash", "\(directory)/start",
            ], timeout: .seconds(7200))
        Task { [holder] in
            let result = try? await holder.wait()
            // What keeps the namespaces cannot end as its child did, and says so, when that was by SIGKILL.
            let text = result?.stderr ?? "unshare: "
            let isKilled = text.hasPrefix("unshare: ") && result?.status ?? 1 == 1
            if !isKilled, !text.isEmpty { self.append(text) }
            self.state.withLock { $0.status = isKilled ? 137 : result?.status ?? 137 }
        }
    }

    private func append(_ text: String) {
        guard let file = FileHandle(forWritingAtPath: log) else { return }
        defer { try? file.close() }
        _ = try? file.seekToEnd()
        try? file.write(contentsOf: Data(text.utf8))
    }

    /// Until its own program runs, or it has ended.
    func waitUntilStarted() async throws {
        while status == nil, (try? Data(contentsOf: URL(filePath: "\(directory)/started")))?.isEmpty != false {
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// The container's first process, by its number here.
    private var process: Int32? {
        if let known = state.withLock({ $0.process }) { return known }
        guard let unshare = ProcessTree.children(of: holder.processID).first,
            let first = ProcessTree.children(of: unshare).first
        else { return nil }
        state.withLock { $0.process = first }
        return first
    }

    /// To its first process, which may have none of it.
    func signal(_ number: Int32) {
        guard status == nil else { return }
        if let process { kill(process, number) } else if number == SIGKILL { holder.signal(number) }
    }

    /// Runs a command in it, as its user.
    func exec(_ command: [String], stdin: String = "", timeout: Duration) async throws -> ProcessResult {
        guard status == nil, let process else { throw TestSupportError("the container does not run") }
        return try await ProcessRunner.run(
            "nsenter",
            ["--target", "\(process)", "--mount", "--net", "--uts", "--ipc", "--pid", "--root", "--"]
                + plan.asUser(command), stdin: stdin, timeout: timeout)
    }

    /// The file that it may leave a last word in.
    var messageFile: String { "\(directory)/message" }
}
