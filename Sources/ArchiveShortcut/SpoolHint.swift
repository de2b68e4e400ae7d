import Glibc

/// Where the spool may be. A guess is enough: what is found there says itself what it holds for.
package enum SpoolHint {
    /// pgBackRest's own.
    package static let defaultPath = "/var/spool/pgbackrest"

    package static func path(_ call: ArchiveCall) -> String {
        if let path = call.option("spool-path") ?? variable("SPOOL_PATH") { return path }
        for file in configFiles(call) {
            if let bytes = FileFacts.contents(file), let path = spoolPath(in: bytes) { return path }
        }
        return defaultPath
    }

    package static func stanza(_ call: ArchiveCall) -> String? { call.option("stanza") ?? variable("STANZA") }

    /// In the first `spool-path=…` of a configuration file, whatever its section.
    package static func spoolPath(in bytes: [UInt8]) -> String? {
        let key = "spool-path".utf8
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let text = trimmed(line)
            guard text.starts(with: key) else { continue }
            let rest = trimmed(text.dropFirst(key.count))
            guard rest.first == UInt8(ascii: "=") else { continue }
            var value = trimmed(rest.dropFirst())
            if value.count > 1, value.last == UInt8(ascii: "/") { value = value.dropLast() }
            return String(decoding: value, as: UTF8.self)
        }
        return nil
    }

    private static func configFiles(_ call: ArchiveCall) -> [String] {
        var files: [String] = []
        var directories: [String] = []
        let base = call.option("config-path") ?? variable("CONFIG_PATH")
        let include = call.option("config-include-path") ?? variable("CONFIG_INCLUDE_PATH")
        if let file = call.option("config") ?? variable("CONFIG") {
            files = [file]
            directories = include.map { [$0] } ?? []
        } else if let base {
            files = ["\(base)/permafrost.conf", "\(base)/pgbackrest.conf"]
            directories = [include ?? "\(base)/conf.d"]
        } else {
            files = ["/etc/permafrost/permafrost.conf", "/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest.conf"]
            directories = include.map { [$0] } ?? ["/etc/permafrost/conf.d", "/etc/pgbackrest/conf.d"]
        }
        for directory in directories {
            for name in (FileFacts.names(directory) ?? []).sorted() where name.hasSuffix(".conf") {
                files.append("\(directory)/\(name)")
            }
        }
        return files
    }

    private static func variable(_ name: String) -> String? {
        for prefix in ["PERMAFROST_", "PGBACKREST_"] {
            if let value = getenv(prefix + name) { return String(cString: value) }
        }
        return nil
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }
        var text = text.drop(while: isBlank)
        while let last = text.last, isBlank(last) { text = text.dropLast() }
        return text
    }
}
