import Glibc

/// Which process this is, in a way that tells it from every other that had or will have its id.
package struct ProcessIdentity: Sendable, Equatable {
    package var host: String
    /// Of the kernel's run and of the process id's name space: ids can be compared only where both are the same. Two
    /// containers may well share a host name.
    package var boot: String
    package var namespace: String
    package var processID: Int32
    /// Clock ticks after boot; 0 when unknown.
    package var startTime: UInt64

    package init(host: String, boot: String, namespace: String, processID: Int32, startTime: UInt64) {
        self.host = host
        self.boot = boot
        self.namespace = namespace
        self.processID = processID
        self.startTime = startTime
    }

    package static func current() -> ProcessIdentity { running(as: getpid()) }

    /// A process that runs here and now.
    package static func running(as processID: Int32) -> ProcessIdentity {
        var name = [CChar](repeating: 0, count: 256)
        let hasName = gethostname(&name, name.count - 1) == 0
        let host = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        var link = [CChar](repeating: 0, count: 256)
        let linkLength = max(readlink("/proc/self/ns/pid", &link, link.count), 0)
        return ProcessIdentity(
            host: hasName ? host : "unknown",
            boot: text("/proc/sys/kernel/random/boot_id").filter { $0 != "\n" },
            namespace: String(decoding: link.prefix(linkLength).map(UInt8.init(bitPattern:)), as: UTF8.self),
            processID: processID, startTime: running(processID)?.startTime ?? 0)
    }

    /// Whether it is certain, seen from this process, that `other` does not run any more.
    package func knowsGone(_ other: ProcessIdentity) -> Bool {
        guard other.host == host, sharesNumbers(with: other) else { return false }
        // Asked of kill(2): /proc hides the processes of other users where it is mounted with hidepid.
        if kill(other.processID, 0) != 0, errno == ESRCH { return true }
        guard let now = Self.running(other.processID) else { return false }
        return now.isDead || (other.startTime != 0 && now.startTime != 0 && now.startTime != other.startTime)
    }

    /// Whether the number of `other` means the same process, or none, seen from this one.
    package func sharesNumbers(with other: ProcessIdentity) -> Bool {
        !boot.isEmpty && other.boot == boot && !namespace.isEmpty && other.namespace == namespace && other.processID > 0
    }

    /// The third and the 22nd field of /proc/<pid>/stat, see proc(5).
    private static func running(_ process: Int32) -> (isDead: Bool, startTime: UInt64)? {
        let stat = text("/proc/\(process)/stat")
        // The second field is the name of the program in parentheses and may hold anything.
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        guard fields.count > 19 else { return nil }
        return (["Z", "X"].contains(fields[0]), UInt64(fields[19]) ?? 0)
    }

    private static func text(_ path: String) -> String {
        (try? LocalFile.readAll(path, limit: 1 << 16)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}
