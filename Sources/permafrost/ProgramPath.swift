import Glibc

/// How this program is called, for `restore_command`.
enum ProgramPath {
    /// Set by the launcher; no option, though it is named like one.
    private static let launcherVariable = "PERMAFROST_LAUNCHER"

    /// The launcher when it started us: what users have in their paths; else our own file. Absolute.
    static func ofThisProcess(calledAs argument: String) -> String {
        if let launcher = getenv(launcherVariable) { return String(cString: launcher) }
        // A link called pgbackrest stays what it is called.
        if argument.hasPrefix("/") { return argument }
        if argument.contains("/") {
            if let directory = getcwd(nil, 0) {
                defer { free(directory) }
                return String(cString: directory) + "/" + argument
            }
        } else if let path = getenv("PATH"),
            let found = String(cString: path).split(separator: ":").map({ (part: Substring) -> String in
                "\(part)/\(argument)"
            }).first(where: { $0.hasPrefix("/") && access($0, X_OK) == 0 })
        {
            return found
        }
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : argument
    }

    static func environment() -> [String: String] {
        var result: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text)
            if let equals = pair.firstIndex(of: "=") {
                result[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
            }
            entry += 1
        }
        result[launcherVariable] = nil
        return result
    }
}
