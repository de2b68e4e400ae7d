import Foundation
import TestSupport

/// A directory as a traced process left it in memory and on disk, call by call.
///
/// Bytes of a file are on disk after its `fsync`, names in a directory after the directory's. Everything else may be
/// there or not when the power fails.
final class TracedDisk {
    /// What may be found when the machine is up again.
    enum View: String, CaseIterable {
        /// Only what is certain.
        case certain
        /// All that was done, as if the cache had been written out just in time.
        case all
        /// All names, but of the bytes only what is certain: a journal of names alone does this.
        case allNames
    }

    private final class Node {
        var bytes: [UInt8] = []
        var syncedBytes: [UInt8] = []
        var target: String?
        var entries: [String: Node]?
        var syncedEntries: [String: Node] = [:]
    }

    private let directory: String
    private let root: Node
    private var descriptors: [Int: Node] = [:]

    /// Takes what is in `directory` for written long ago.
    init(_ directory: String) throws {
        self.directory = directory
        root = try Self.load(directory)
    }

    /// All files below, by path, and links as their targets.
    func content(_ view: View) -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        collect(root, "", view, into: &found)
        return found
    }

    /// Applies one line of `strace -f -y -xx`; true when names changed, or were made certain.
    func apply(_ call: TracedCall) -> Bool {
        switch call.name {
        case "openat":
            guard let path = inside(call.texts[0]), call.result >= 0 else { return false }
            var node = find(path)
            let isNew = node == nil
            if isNew {
                let created = Node()
                put(path, created)
                node = created
            }
            descriptors[call.result] = node
            return isNew
        case "close": descriptors[call.descriptor] = nil
        case "write":
            descriptors[call.descriptor]?.bytes += call.bytes.prefix(call.result)
        case "fsync", "fdatasync":
            guard let node = descriptors[call.descriptor] else { return false }
            node.syncedBytes = node.bytes
            if let entries = node.entries { node.syncedEntries = entries }
            return node.entries != nil
        case "mkdir":
            guard let path = inside(call.texts[0]) else { return false }
            let node = Node()
            node.entries = [:]
            put(path, node)
            return true
        case "symlink":
            guard let path = inside(call.texts[1]) else { return false }
            let node = Node()
            node.target = call.texts[0]
            put(path, node)
            return true
        case "rename", "renameat2":
            guard let from = inside(call.texts[0]), let to = inside(call.texts[1]) else { return false }
            put(to, find(from))
            put(from, nil)
            return true
        case "unlink", "rmdir":
            guard let path = inside(call.texts[0]) else { return false }
            put(path, nil)
            return true
        case "unlinkat":
            guard let parent = descriptors[call.descriptor] else { return false }
            parent.entries?[call.texts[0]] = nil
            return true
        default: break
        }
        return false
    }

    // MARK: -

    private func collect(_ node: Node, _ path: String, _ view: View, into found: inout [String: [UInt8]]) {
        if let target = node.target {
            found[path] = Array(target.utf8)
        } else if let entries = node.entries {
            for (name, child) in view == .certain ? node.syncedEntries : entries {
                collect(child, path.isEmpty ? name : "\(path)/\(name)", view, into: &found)
            }
        } else {
            found[path] = view == .all ? node.bytes : node.syncedBytes
        }
    }

    private func inside(_ path: String) -> [String]? {
        if path == directory { return [] }
        guard path.hasPrefix(directory + "/") else { return nil }
        return path.dropFirst(directory.utf8.count + 1).split(separator: "/").map(String.init)
    }

    private func find(_ path: [String]) -> Node? {
        path.reduce(root as Node?) { $0?.entries?[$1] }
    }

    private func put(_ path: [String], _ node: Node?) {
        guard let name = path.last, let parent = find(path.dropLast()) else { return }
        parent.entries?[name] = node
    }

    private static func load(_ path: String) throws -> Node {
        let node = Node()
        let facts = try status(path)
        if facts.kind == S_IFLNK {
            node.target = try FileManager.default.destinationOfSymbolicLink(atPath: path)
        } else if facts.kind == S_IFDIR {
            let names = try FileManager.default.contentsOfDirectory(atPath: path)
            let children = try names.map { ($0, try load("\(path)/\($0)")) }
            node.entries = Dictionary(uniqueKeysWithValues: children)
            node.syncedEntries = Dictionary(uniqueKeysWithValues: children)
        } else {
            node.bytes = try TestContent.bytes(path)
            node.syncedBytes = node.bytes
        }
        return node
    }
}

enum TestContent {
    static func bytes(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }
}

/// A system call that succeeded, from a line of `strace -f -y -xx -s <large>`.
struct TracedCall {
    var name: String
    /// The strings among the arguments. Of `write` none: they are in `bytes`.
    var texts: [String] = []
    var bytes: [UInt8] = []
    /// The first argument where that is a descriptor, -1 elsewhere.
    var descriptor = -1
    var result: Int

    static let traced =
        "openat,write,fsync,fdatasync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,"
        + "mkdirat,ftruncate,close,pwrite64,writev,copy_file_range,sendfile,dup,dup2,dup3"

    /// The calls of a trace in the order in which they ended. Throws for calls that change files in ways that
    /// ``TracedDisk`` does not know.
    static func parse(_ trace: String, in directory: String) throws -> [TracedCall] {
        var calls: [TracedCall] = []
        var unfinished: [Substring: Substring] = [:]
        for line in trace.split(separator: "\n") {
            let process = line.prefix { $0 != " " }
            var text = line.dropFirst(process.count).drop { $0 == " " }
            if text.hasSuffix("<unfinished ...>") {
                unfinished[process] = text.dropLast("<unfinished ...>".count)
                continue
            }
            if text.hasPrefix("<... "), let end = text.range(of: "resumed>") {
                text = (unfinished.removeValue(forKey: process) ?? "") + text[end.upperBound...]
            }
            guard let call = TracedCall(text) else { continue }
            let known = [
                "openat", "write", "fsync", "fdatasync", "rename", "renameat2", "symlink", "unlink", "unlinkat",
                "rmdir",
                "mkdir", "close",
            ]
            if !known.contains(call.name), text.contains(hex(directory)) || text.contains(directory) {
                throw TestSupportError("a call that the model does not know: \(call.name)")
            }
            calls.append(call)
        }
        return calls
    }

    /// nil for lines that are no successful call.
    init?(_ text: some StringProtocol) {
        guard let open = text.firstIndex(of: "("), let equals = text.range(of: " = ", options: .backwards),
            let result = Int(text[equals.upperBound...].prefix { $0 == "-" || $0.isNumber }), result >= 0
        else { return nil }
        name = String(text[..<open])
        self.result = result
        let arguments = text[text.index(after: open)..<equals.lowerBound]
        descriptor = Int(arguments.prefix { $0.isNumber }) ?? -1
        let quoted = arguments.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { Self.bytes(fromHex: $0.element.utf8) }
        if name == "write" {
            bytes = quoted.first ?? []
        } else {
            texts = quoted.map { String(decoding: $0, as: UTF8.self) }
        }
    }

    /// `\x2f\x74` as bytes.
    private static func bytes(fromHex text: some Collection<UInt8>) -> [UInt8] {
        func value(_ digit: UInt8) -> UInt8 { digit <= 0x39 ? digit &- 0x30 : digit &- 0x57 }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4)
        var digits: [UInt8] = []
        for byte in text where byte != 0x5C && byte != 0x78 {
            digits.append(byte)
            if digits.count == 2 {
                bytes.append(value(digits[0]) << 4 | value(digits[1]))
                digits.removeAll(keepingCapacity: true)
            }
        }
        return bytes
    }

    private static func hex(_ text: String) -> String {
        text.utf8.map { String(format: "\\x%02x", $0) }.joined()
    }
}
