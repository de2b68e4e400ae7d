import Foundation
import Glibc
package import TestSupport

/// The machine that pods run on: a process and a network namespace on this one, with a bridge that pods and this machine
/// are on. All of it, pods and their mounts too, goes with the namespaces' first process, and that with the tests'.
package final class NodeMachine: Sendable {
    /// This machine as pods see it: where what they need can listen, on any port.
    package let address: String
    package let directory: String
    /// What containers have said, one file for each run: `NAMESPACE/POD-UID/CONTAINER/0.log`. Kept when a test fails.
    package let logs: String
    private let prefix: String
    private let cable: String
    private let keeper: RunningProcess
    /// The first process in the namespaces, by its number here.
    let first: Int32

    /// Ends with the scratch directory.
    package init(_ scratch: ScratchDirectory) async throws {
        guard geteuid() == 0 else { throw TestSupportError("a node for pods needs root") }
        let parent = "/tmp/pf-node-\(getpid())-\(Int.random(in: 0..<1_000_000))"
        directory = parent
        logs = try scratch.makeDirectory("node-logs")
        let number = try await Self.freeNumber()
        prefix = "10.\(210 + number / 250).\(number % 250)"
        cable = "pfk\(number)"
        address = "\(prefix).254"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
        keeper = try ProcessRunner.start(
            "bash", ["-c", Self.keeping, "\(getpid())", directory], timeout: .seconds(7200))
        let (keeper, cable, directory) = (keeper, cable, directory)
        scratch.atEnd {
            keeper.signal(SIGKILL)
            _ = try? await keeper.wait()
            // Its end goes with the namespace, which is a moment after the last process in it.
            _ = try? await ProcessRunner.run("ip", ["link", "del", cable])
            if ProcessInfo.processInfo.environment["PERMAFROST_KEEP"] != "1" {
                _ = try? await ProcessRunner.run("rm", ["-rf", directory])
            }
        }
        first = try await Self.first(of: keeper)
        try await ProcessRunner.run(
            "bash", ["-c", Self.wiring, "wiring", cable, "\(first)", prefix]
        ).expecting(0)
    }

    private static let keeping = """
        unshare --pid --net --fork --kill-child -- bash -c 'while :; do sleep 1000; done' & child=$!
        while kill -0 "$0" && kill -0 $child; do sleep 0.2; done 2> /dev/null
        kill -9 $child; rm -rf "$1"
        """

    private static let wiring = """
        set -e
        cable=$1 first=$2 prefix=$3
        ip link add $cable type veth peer name host0 netns $first
        ip addr add $prefix.254/24 dev $cable
        ip link set $cable up
        nsenter --target $first --net bash -e -c '
            ip link set lo up
            # Or it has the lowest of those that are on it, and another one with the next pod.
            ip link add br0 address 0a:00:00:00:01:01 type bridge
            ip addr add '$prefix'.1/24 dev br0
            ip link set host0 master br0
            ip link set host0 up
            ip link set br0 up'
        """

    private static func freeNumber() async throws -> Int {
        let routes = try await ProcessRunner.run("ip", ["-o", "addr"]).stdout
        for _ in 0..<50 {
            let number = Int.random(in: 0..<10_000)
            if !routes.contains("10.\(210 + number / 250).\(number % 250).") { return number }
        }
        throw TestSupportError("no network was found for a node")
    }

    private static func first(of keeper: RunningProcess) async throws -> Int32 {
        var found: Int32?
        try await waitFor("the node's namespaces", every: .milliseconds(10)) {
            guard let unshare = ProcessTree.child(of: keeper.processID, named: "unshare"),
                let bash = ProcessTree.child(of: unshare, named: "bash")
            else { return false }
            found = bash
            return true
        }
        guard let found else { throw TestSupportError("the node's namespaces are not there") }
        return found
    }

    /// Starts a program that pods reach, at ``outside`` and on any port: a server that is none of theirs.
    package func start(_ program: String, _ arguments: [String]) throws -> RunningProcess {
        try ProcessRunner.start(
            "nsenter", ["--target", "\(first)", "--net", "--pid", "--", program] + arguments, timeout: .seconds(7200))
    }

    /// The address that programs of ``start(_:_:)`` have.
    package var outside: String { "\(prefix).1" }

    // MARK: Networks of pods

    /// A network, a host name and shared memory for the containers of one pod.
    /// - Returns: the process that keeps them, and its number here.
    func sandbox(hostName: String, number: Int) async throws -> (keeper: RunningProcess, process: Int32) {
        let keeper = try ProcessRunner.start(
            "nsenter",
            [
                "--target", "\(first)", "--net", "--pid", "--", "unshare", "--net", "--uts", "--ipc", "--", "bash",
                "-c", #"hostname "$0"; ip link set lo up; exec sleep 1000000"#, hostName,
            ], timeout: .seconds(7200))
        do {
            var found: Int32?
            try await waitFor("the sandbox of pod '\(hostName)'", every: .milliseconds(5)) {
                found = ProcessTree.child(of: keeper.processID, named: "sleep")
                return found != nil
            }
            guard let found else { throw TestSupportError("the sandbox of pod '\(hostName)' is not there") }
            let script = """
                set -e
                # One address on the wire for one on the network: neighbours remember it.
                mac=$(printf '0a:00:00:00:00:%02x' \(number))
                ip link add v\(number) type veth peer name eth0 address $mac netns \(found)
                ip link set v\(number) master br0 up
                nsenter --target \(found) --net -- bash -e -c '
                    ip addr add \(podAddress(number))/24 dev eth0
                    ip link set eth0 up
                    ip route add default via \(address)'
                """
            try await ProcessRunner.run("nsenter", ["--target", "\(first)", "--net", "--", "bash", "-c", script])
                .expecting(0)
            return (keeper, found)
        } catch {
            keeper.signal(SIGKILL)
            throw error
        }
    }

    func podAddress(_ number: Int) -> String { "\(prefix).\(number)" }

    /// Numbers that pods may have on the network.
    static let podNumbers = 2..<250
}

/// Processes by `/proc`.
enum ProcessTree {
    static func children(of process: Int32) -> [Int32] {
        let text = (try? String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { Int32($0) }
    }

    static func child(of process: Int32, named name: String) -> Int32? {
        children(of: process).first {
            (try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8)) == name + "\n"
        }
    }
}
