/// What stands for an image: this machine's own root, with a few things laid over it.
package struct NodeImage: Sendable {
    package struct User: Sendable {
        package var name: String
        package var id: Int
        package var group: Int
        package var home: String

        package init(_ name: String, id: Int, group: Int, home: String = "/") {
            self.name = name
            self.id = id
            self.group = group
            self.home = home
        }
    }

    /// The program, which a container's `command` replaces.
    package var entryPoint: [String]
    /// What follows it; a container's `args` replace it, and its `command` removes it.
    package var arguments: [String] = []
    package var environment = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    package var user = 0
    package var group = 0
    package var workingDirectory = "/"
    /// Known by name in the image; they take the place of this machine's.
    package var users: [User] = []
    /// What is there, read-only: path in the image, path here.
    package var files: [String: String] = [:]
    /// Files of this machine that are not in the image.
    package var hidden = ["/etc/pgbackrest.conf", "/etc/pgbackrest", "/etc/patroni", "/etc/postgresql"]
    /// Directories that are empty in the image, and may be written by its user.
    package var empty: [String] = []

    package init(_ entryPoint: [String]) { self.entryPoint = entryPoint }

    func user(_ id: Int) -> User? { users.first { $0.id == id } }

    /// `/etc/passwd` and `/etc/group` with this image's users, and one for a user whom nobody knows.
    func accounts(passwd: String, group: String, running: (user: Int, group: Int)) -> (passwd: String, group: String) {
        var own = users
        let known = passwd.split(separator: "\n").compactMap {
            $0.split(separator: ":", omittingEmptySubsequences: false)
        }
        func isKept(_ fields: [Substring]) -> Bool {
            fields.count > 2 && !own.contains { $0.name == fields[0] || String($0.id) == fields[2] }
        }
        if user(running.user) == nil, !known.contains(where: { $0.count > 2 && $0[2] == String(running.user) }) {
            own.append(User("user\(running.user)", id: running.user, group: running.group))
        }
        let lines = known.filter { isKept($0) }.map { $0.joined(separator: ":") }
        let added = own.map { "\($0.name):x:\($0.id):\($0.group)::\($0.home):/bin/sh" }
        let groups = group.split(separator: "\n").filter { line in
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            return fields.count > 2
                && !own.contains { $0.name == fields[0] || String($0.group) == fields[2] && $0.group != 0 }
        }
        let addedGroups = own.filter { $0.group != 0 }.map { "\($0.name):x:\($0.group):" }
        return (
            (lines + added).map { $0 + "\n" }.joined(),
            (groups.map(String.init) + addedGroups).map { $0 + "\n" }.joined()
        )
    }
}
