import Glibc

/// Which configuration files a run reads, decided before any is opened.
package struct ConfigFilePlan: Equatable, Sendable {
    /// The first that exists is read.
    package var files: [String] = []
    package var isFileRequired = false
    /// The first that has a `*.conf` is read, sorted, after the file.
    package var includePaths: [String] = []
    package var isIncludeRequired = false

    /// By `--config`, `--config-path`, `--config-include-path` and `--no-config`, wherever they were given.
    /// - Parameter isPgBackRest: called by that name, we read its files and no others.
    init(_ options: GivenOptions, isPgBackRest: Bool = false) {
        func value(_ name: OptionName) -> String? { options[OptionKey(name: name, index: 0)]?.values.first }
        let config = options[OptionKey(name: .config, index: 0)]
        let base = value(.configPath).map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
        let include = value(.configIncludePath)
        if let path = config?.values.first {
            files = [path]
            isFileRequired = true
        } else if config?.isNegated == true {
            files = []
        } else if let base {
            files = ["\(base)/permafrost.conf", "\(base)/pgbackrest.conf"]
        } else {
            files = ["/etc/permafrost/permafrost.conf", "/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest.conf"]
        }
        if let include {
            includePaths = [include]
            isIncludeRequired = true
        } else if let base {
            includePaths = ["\(base)/conf.d"]
        } else if config == nil {
            includePaths = ["/etc/permafrost/conf.d", "/etc/pgbackrest/conf.d"]
        }
        if isPgBackRest, config?.values.first == nil { files.removeAll { $0.hasSuffix("/permafrost.conf") } }
        if isPgBackRest, include == nil, base == nil { includePaths.removeAll { $0.hasPrefix("/etc/permafrost/") } }
    }
}

extension Configuration {
    /// Parses and reads the configuration files from disk.
    package static func load(
        programPath: String, arguments: [String], environment: [String: String]
    ) throws(BackupError) -> Configuration {
        try parse(programPath: programPath, arguments: arguments, environment: environment) {
            (plan) throws(BackupError) in try plan.read()
        }
    }
}

extension Configuration {
    /// All files and directories that the options came from or might have come from: when none of them changes, the
    /// options stay as they are.
    package var consultedPaths: [String] {
        inputs.filePlan.files + inputs.filePlan.includePaths
            + inputs.filePlan.includePaths.flatMap { directory in
                ((try? ConfigFilePlan.names(in: directory)) ?? []).filter { $0.hasSuffix(".conf") }.sorted()
                    .map { "\(directory)/\($0)" }
            }
    }
}

extension ConfigFilePlan {
    package func read() throws(BackupError) -> [ConfigFile] {
        var found: [ConfigFile] = []
        for path in files {
            if let text = try Self.text(of: path) {
                found.append(ConfigFile(path: path, text: text))
                break
            }
            if isFileRequired {
                throw BackupError(
                    .fileMissing, "unable to open missing file '\(path)' for read",
                    hint: "'--config' names a file that must exist")
            }
        }
        for directory in includePaths {
            guard let names = try Self.names(in: directory) else {
                if isIncludeRequired {
                    throw BackupError(.pathMissing, "unable to list file info for missing path '\(directory)'")
                }
                continue
            }
            let confs = names.filter { $0.hasSuffix(".conf") && $0.utf8.count > 5 }.sorted()
            for name in confs {
                let path = "\(directory)/\(name)"
                if let text = try Self.text(of: path) { found.append(ConfigFile(path: path, text: text)) }
            }
            if !confs.isEmpty { break }
        }
        return found
    }

    /// nil when there is no such file.
    private static func text(of path: String) throws(BackupError) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw failure(.fileOpen, "open configuration file", path)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure(.fileRead, "read configuration file", path)
            }
            bytes += buffer[..<count]
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw BackupError(.format, "unable to parse configuration file '\(path)': it is not UTF-8 text")
        }
        return text
    }

    /// nil when there is no such directory.
    fileprivate static func names(in directory: String) throws(BackupError) -> [String]? {
        guard let stream = opendir(directory) else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw failure(.pathOpen, "open configuration path", directory)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }

    private static func failure(_ code: ErrorCode, _ action: String, _ path: String) -> BackupError {
        BackupError(code, "unable to \(action) '\(path)': \(String(cString: strerror(errno)))")
    }
}
