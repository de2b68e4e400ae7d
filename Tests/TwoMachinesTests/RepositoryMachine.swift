import Foundation
import Glibc
import TestSupport

/// A repository host in a network namespace of its own, with a volume that is mounted nowhere else. What is here, where
/// PostgreSQL runs, reaches it through one cable.
final class RepositoryMachine: Sendable {
    /// Of the host on its end of the cable, which is its certificate's name too.
    let address: String
    /// Of the database host on its end.
    let databaseAddress: String
    let programs: PermafrostPrograms
    let scratch: ScratchDirectory
    let certificates: String
    let configFile: String
    /// Where its volume is, there.
    let volume: String
    let lockPath: String
    private let namespace: String
    private let cable: String
    /// Keeps the namespaces, whatever becomes of the server.
    private let holder: RunningProcess

    static let port = 8432

    /// - Parameters:
    ///   - size: of the volume, as tmpfs takes it.
    ///   - options: for section `[global]` of the host, besides `tls-server-auth=db=main`.
    init(for cluster: PostgresCluster, size: String = "1g", options: [String: String] = [:]) async throws {
        scratch = cluster.scratch
        programs = try PermafrostPrograms.locate()
        let number = Int.random(in: 0..<16_000)
        namespace = "pf-host-\(number)"
        cable = "pfc\(number)"
        address = "10.\(200 + number / 4000).\(number / 64 % 250).\(number % 64 * 4 + 2)"
        databaseAddress = address.split(separator: ".").dropLast().joined(separator: ".") + ".\(number % 64 * 4 + 1)"
        volume = try scratch.makeDirectory("volume")
        lockPath = try scratch.makeDirectory("host-lock")
        certificates = try scratch.makeDirectory("tls")
        configFile = scratch.subpath("host.conf")

        try await Self.root("ip", "netns", "add", namespace)
        let (namespace, cable) = (namespace, cable)
        scratch.atEnd {
            _ = try? await ProcessRunner.run("ip", ["link", "del", cable])
            _ = try? await ProcessRunner.run("ip", ["netns", "del", namespace])
        }
        try await Self.root("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        try await Self.root("ip", "addr", "add", "\(databaseAddress)/30", "dev", cable)
        try await Self.root("ip", "link", "set", cable, "up")
        for arguments in [
            ["addr", "add", "\(address)/30", "dev", "eth0"], ["link", "set", "eth0", "up"],
            ["link", "set", "lo", "up"],
        ] {
            try await ProcessRunner.run("ip", ["-n", namespace] + arguments).expecting(0)
        }
        let mount =
            "mount -t tmpfs -o size=\(size),mode=0700 tmpfs \(volume) && chown postgres \(volume) && echo ready && exec sleep 3600"
        holder = try ProcessRunner.start(
            "ip", ["netns", "exec", namespace, "unshare", "--mount", "--propagation", "private", "bash", "-c", mount],
            timeout: .seconds(3600))
        let process = holder
        scratch.atEnd {
            process.signal(SIGKILL); _ = try? await process.wait()
        }

        try await tls("init", "Test CA")
        try await tls("issue", address)
        try await tls("issue", "db")
        try configure(options)
        try await waitFor("the volume") { try await self.there("mountpoint", "-q", self.volume).status == 0 }
    }

    func configure(_ options: [String: String]) throws {
        var all = [
            "repo1-path": volume, "lock-path": lockPath, "log-level-console": "info", "log-level-file": "off",
            "spool-path": try scratch.makeDirectory("host-spool"),
            "tls-server-address": "*", "tls-server-port": "\(Self.port)",
            "tls-server-ca-file": "\(certificates)/ca.crt", "tls-server-cert-file": "\(certificates)/\(address).crt",
            "tls-server-key-file": "\(certificates)/\(address).key", "tls-server-auth": "db=main",
        ]
        all.merge(options) { $1 }
        let lines = all.sorted { $0.key < $1.key }.flatMap { key, value in
            value.split(separator: "\n").map { "\(key)=\($0)\n" }
        }
        try scratch.write("[global]\n" + lines.joined(), to: "host.conf")
    }

    /// The options of a database host that keeps its repository here.
    func clientOptions(as client: String = "db") -> [String: String] {
        [
            "repo1-host": address, "repo1-host-type": "tls", "repo1-host-port": "\(Self.port)",
            "repo1-host-ca-file": "\(certificates)/ca.crt", "repo1-host-cert-file": "\(certificates)/\(client).crt",
            "repo1-host-key-file": "\(certificates)/\(client).key",
        ]
    }

    /// The options of an agent on the database host.
    func agentOptions() -> [String: String] {
        [
            "tls-server-address": databaseAddress, "tls-server-ca-file": "\(certificates)/ca.crt",
            "tls-server-cert-file": "\(certificates)/\(databaseAddress).crt",
            "tls-server-key-file": "\(certificates)/\(databaseAddress).key", "tls-server-auth": "cron=main",
        ]
    }

    /// A configuration by which the host has the agent run commands.
    func writeControl(pgPath: String) throws -> String {
        try scratch.write(
            """
            [global]
            log-level-file=off
            log-level-console=info
            lock-path=\(lockPath)
            [main]
            pg1-path=\(pgPath)
            pg1-host=\(databaseAddress)
            pg1-host-type=tls
            pg1-host-ca-file=\(certificates)/ca.crt
            pg1-host-cert-file=\(certificates)/cron.crt
            pg1-host-key-file=\(certificates)/cron.key

            """, to: "control.conf")
        return scratch.subpath("control.conf")
    }

    func tls(_ arguments: String...) async throws {
        try await ProcessRunner.run(
            programs.launcher, ["tls", "--tls-path=\(certificates)"] + arguments, asUser: ProcessRunner.serverUser
        ).expecting(0)
    }

    // MARK: The server

    /// Starts it and waits until it serves.
    func serve() async throws -> RunningProcess {
        let server = try start(programs.launcher, "--config=\(configFile)", "server")
        let address = address
        scratch.atEnd {
            server.signal(SIGKILL); _ = try? await server.wait()
        }
        try await waitFor("the server at \(address)") {
            let probe = try await ProcessRunner.run("bash", ["-c", "exec 3<>/dev/tcp/\(address)/\(Self.port)"])
            return probe.status == 0
        }
        return server
    }

    /// Runs a program on the host, as the server's user.
    func there(_ program: String, _ arguments: String...) async throws -> ProcessResult {
        try await there(program, arguments)
    }

    func there(_ program: String, _ arguments: [String]) async throws -> ProcessResult {
        try await start(program, arguments).wait()
    }

    private func start(_ program: String, _ arguments: String...) throws -> RunningProcess {
        try start(program, arguments)
    }

    /// Lets the host see an empty directory in the place of `path`.
    func hide(_ path: String) async throws {
        try await ProcessRunner.run(
            "nsenter", ["--target", try sleeper(), "--mount", "--", "mount", "-t", "tmpfs", "tmpfs", path]
        ).expecting(0)
    }

    /// Starts a program on the host, as the server's user.
    func start(_ program: String, _ arguments: [String]) throws -> RunningProcess {
        // The holder's own children make the namespaces: the one that sleeps has them all.
        let inside = [
            "nsenter", "--target", try sleeper(), "--mount", "--net", "--", "setpriv", "--reuid=postgres",
            "--regid=postgres", "--init-groups", "--",
        ]
        return try ProcessRunner.start(
            inside[0], Array(inside.dropFirst()) + [program] + arguments, timeout: .seconds(600))
    }

    private func sleeper() throws -> String {
        // `ip netns exec` and `unshare` become the shell, and that becomes `sleep`: one process all along, a child of none of ours.
        let group = holder.processID
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
            guard let id = Int32(name), getpgid(id) == group,
                let command = try? String(contentsOfFile: "/proc/\(id)/comm", encoding: .utf8), command == "sleep\n"
            else { continue }
            return name
        }
        throw TestSupportError("the repository machine is not up yet")
    }

    // MARK: The cable

    /// At the far end: here the way there stays the only one.
    func cut() async throws { try await Self.root("ip", "-n", namespace, "link", "set", "eth0", "down") }
    func heal() async throws { try await Self.root("ip", "-n", namespace, "link", "set", "eth0", "up") }

    @discardableResult
    private static func root(_ program: String, _ arguments: String...) async throws -> ProcessResult {
        try await ProcessRunner.run(program, arguments).expecting(0)
    }
}

extension ScratchDirectory {
    /// For a database host whose repository is elsewhere.
    func removeDirectory(_ path: String) throws { try FileManager.default.removeItem(atPath: path) }
}
