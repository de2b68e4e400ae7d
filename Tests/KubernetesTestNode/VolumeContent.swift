import Foundation
import Glibc
import HTTP
import KubernetesClient

/// The files of a volume that shows objects: what they are, from the objects. A value: no I/O.
struct VolumeContent: Equatable {
    struct File: Equatable {
        var bytes: [UInt8]
        var mode: Int
    }

    var files: [String: File] = [:]

    /// nil for a volume that shows no objects.
    static func of(
        _ volume: ServiceJSON, _ environment: ContainerEnvironment, token: [UInt8]
    ) throws(ContainerEnvironment.Missing) -> VolumeContent? {
        var content = VolumeContent()
        if let source = volume["configMap"] {
            try content.add(source, .configMaps, source["name"], source["defaultMode"]?.integer ?? 0o644, environment)
        } else if let source = volume["secret"] {
            try content.add(
                source, .secrets, source["secretName"], source["defaultMode"]?.integer ?? 0o644, environment)
        } else if let source = volume["downwardAPI"] {
            content.add(fields: source, source["defaultMode"]?.integer ?? 0o644, environment)
        } else if let projected = volume["projected"] {
            let mode = projected["defaultMode"]?.integer ?? 0o644
            for source in projected["sources"]?.elements ?? [] {
                if let part = source["configMap"] {
                    try content.add(part, .configMaps, part["name"], mode, environment)
                }
                if let part = source["secret"] { try content.add(part, .secrets, part["name"], mode, environment) }
                if let part = source["downwardAPI"] { content.add(fields: part, mode, environment) }
                if let part = source["serviceAccountToken"] {
                    content.files[part["path"]?.string ?? "token"] = File(bytes: token, mode: mode)
                }
            }
        } else {
            return nil
        }
        return content
    }

    private mutating func add(
        _ source: ServiceJSON, _ type: ResourceType, _ name: ServiceJSON?, _ mode: Int,
        _ environment: ContainerEnvironment
    ) throws(ContainerEnvironment.Missing) {
        let isOptional = source["optional"]?.bool == true
        let name = name?.string ?? ""
        guard let object = environment.find(type, name) else {
            if isOptional { return }
            throw ContainerEnvironment.Missing(what: "\(type.kind.lowercased()) \"\(name)\" not found")
        }
        let content = object.content
        guard let items = source["items"]?.elements else {
            for (key, bytes) in content { files[key] = File(bytes: bytes, mode: mode) }
            return
        }
        for item in items {
            let key = item["key"]?.string ?? ""
            guard let bytes = content[key] else {
                if isOptional { continue }
                throw ContainerEnvironment.Missing(
                    what: "references non-existent \(type.kind.lowercased()) key: \(key)")
            }
            files[item["path"]?.string ?? key] = File(bytes: bytes, mode: item["mode"]?.integer ?? mode)
        }
    }

    private mutating func add(fields source: ServiceJSON, _ mode: Int, _ environment: ContainerEnvironment) {
        for item in source["items"]?.elements ?? [] {
            guard let path = item["path"]?.string else { continue }
            let text =
                item["fieldRef"].map { environment.field($0["fieldPath"]?.string ?? "") }
                ?? item["resourceFieldRef"].map { environment.resource($0) } ?? ""
            files[path] = File(bytes: Array(text.utf8), mode: item["mode"]?.integer ?? mode)
        }
    }

    /// Makes a directory show these files, all of them at one moment: what a container sees are links through `..data`,
    /// which leads to another directory from then on.
    /// - Parameter group: whom the files belong to as well, and who may read them.
    func write(to directory: String, group: Int?) throws {
        let manager = FileManager.default
        let generation = "..\(UInt64(Date().timeIntervalSince1970 * 1000))_\(Int.random(in: 0..<1_000_000))"
        try manager.createDirectory(
            atPath: "\(directory)/\(generation)", withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o755])
        for (path, file) in files {
            let whole = "\(directory)/\(generation)/\(path)"
            try manager.createDirectory(
                atPath: (whole as NSString).deletingLastPathComponent, withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o755])
            try Data(file.bytes).write(to: URL(filePath: whole))
            if let group { chown(whole, 0, gid_t(group)) }
            chmod(whole, mode_t(file.mode | (group == nil ? 0 : 0o440)))
        }
        let data = "\(directory)/..data"
        let before = try? manager.destinationOfSymbolicLink(atPath: data)
        unlink("\(directory)/..data_tmp")
        symlink(generation, "\(directory)/..data_tmp")
        rename("\(directory)/..data_tmp", data)
        let names = Set(files.keys.compactMap { $0.split(separator: "/").first.map(String.init) })
        for name in names where (try? manager.destinationOfSymbolicLink(atPath: "\(directory)/\(name)")) == nil {
            symlink("..data/\(name)", "\(directory)/\(name)")
        }
        for name in try manager.contentsOfDirectory(atPath: directory)
        where !name.hasPrefix("..") && !names.contains(name) {
            unlink("\(directory)/\(name)")
        }
        if let before { try? manager.removeItem(atPath: "\(directory)/\(before)") }
    }
}
