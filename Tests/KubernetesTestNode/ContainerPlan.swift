import HTTP
import KubernetesClient

/// All that is needed to start a container.
struct ContainerPlan: Sendable {
    struct Mount: Sendable {
        var source: String
        var target: String
        var isReadOnly: Bool
    }

    var command: [String]
    var environment: [String: String]
    var workingDirectory: String
    var user: Int
    var group: Int
    var otherGroups: [Int]
    var mounts: [Mount]
    var image: NodeImage
    var isRootReadOnly: Bool
    var keepsPrivileges: Bool
    /// Files of `/etc` by name.
    var settings: [String: String]

    /// The command in the container, as its user: of `setpriv` and `env`, which are there.
    func asUser(_ command: [String]) -> [String] {
        let groups = Set(otherGroups).union([group]).sorted().map(String.init).joined(separator: ",")
        return ["/usr/bin/setpriv", "--reuid=\(user)", "--regid=\(group)", "--groups=\(groups)"]
            + (keepsPrivileges ? [] : ["--no-new-privs"])
            + ["--", "/usr/bin/env", "-i", "--chdir=\(workingDirectory)"]
            + environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } + command
    }

    /// What the first process does before it becomes the container's: it lays a root out of this machine's, and moves
    /// into it.
    /// - Parameters:
    ///   - directory: of this run, with the files of `settings` in `etc`.
    ///   - log: gets its output.
    func script(directory: String, log: String) -> String {
        var lines = [
            "set -e", "exec < /dev/null >> \(quoted(log)) 2>&1", "exec 9> \(quoted(directory + "/started"))",
            "cd \(quoted(directory))", "mkdir -p layer", "mount -t tmpfs -o mode=755 tmpfs layer",
            "mkdir layer/upper layer/work layer/root",
            "mount -t overlay -o lowerdir=/,upperdir=layer/upper,workdir=layer/work overlay layer/root",
            "cp etc/* layer/root/etc/", "mkdir layer/root/.old", "cd layer/root", "pivot_root . .old", "cd /",
            "mount -t proc proc /proc", "mount -t tmpfs -o mode=755 tmpfs /dev", "mkdir -m 1777 /dev/shm",
            "for n in null zero full random urandom tty; do : > /dev/$n; mount --bind /.old/dev/$n /dev/$n; done",
            "ln -s /proc/self/fd /dev/fd", "ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr",
            "mount -t tmpfs -o mode=1777 tmpfs /dev/shm", "mount -t tmpfs -o mode=1777 tmpfs /tmp",
            "mount -t tmpfs -o mode=1777 tmpfs /var/tmp", "mount -t tmpfs -o mode=755 tmpfs /run",
            "mkdir -m 1777 /run/lock",
        ]
        for path in image.hidden { lines.append("rm -rf \(quoted(path))") }
        for path in ["/var/lib/postgresql"] + image.empty {
            lines.append("mkdir -p \(quoted(path)); mount -t tmpfs -o mode=755 tmpfs \(quoted(path))")
            if image.empty.contains(path) { lines.append("chown \(image.user):\(image.group) \(quoted(path))") }
        }
        let files = image.files.sorted { $0.key < $1.key }.map {
            Mount(source: $0.value, target: $0.key, isReadOnly: true)
        }
        for mount in files + mounts.sorted(by: { $0.target.utf8.count < $1.target.utf8.count }) {
            let (source, target) = (quoted("/.old" + mount.source), quoted(mount.target))
            lines.append("if [ -d \(source) ]; then mkdir -p \(target)")
            lines.append("else mkdir -p \"$(dirname \(target))\"; [ -e \(target) ] || : > \(target); fi")
            lines.append("mount --bind \(source) \(target)")
        }
        // Only now: one may be mounted within another.
        for mount in files + mounts where mount.isReadOnly {
            lines.append("mount -o remount,bind,ro \(quoted(mount.target))")
        }
        lines += ["mkdir -p \(quoted(workingDirectory))", "umount -l /.old", "rmdir /.old"]
        if isRootReadOnly { lines.append("mount -o remount,ro /") }
        lines += ["echo yes >&9", "exec 9>&-", "exec " + asUser(command).map(quoted).joined(separator: " ")]
        return lines.joined(separator: "\n")
    }
}

/// A word of a shell.
func quoted(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
}
