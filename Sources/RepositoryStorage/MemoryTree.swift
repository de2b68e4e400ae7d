/// What a ``MemoryStore`` holds. Keys are UTF-8: `String` takes names for equal that differ only in normalisation.
struct MemoryTree {
    struct Object {
        var bytes: [UInt8]
        var modified: Int64
    }
    typealias Key = [UInt8]

    var objects: [Key: Object] = [:]
    var links: [Key: String] = [:]
    var directories: Set<Key> = []
    private var unsynced: Set<Key> = []

    private static let slash = UInt8(ascii: "/")

    /// False when `mode` is `.create` and something is there.
    mutating func put(_ key: Key, _ object: Object, _ mode: WriteMode) -> Bool {
        switch mode {
        case .create where objects[key] != nil: return false
        case .inPlace: unsynced.insert(key)
        case .create, .atomic: unsynced.remove(key)
        }
        links[key] = nil
        objects[key] = object
        return true
    }

    mutating func remove(_ key: Key) {
        objects[key] = nil
        links[key] = nil
        unsynced.remove(key)
    }

    mutating func removeTree(_ directory: String) {
        let start = Self.start(directory)
        for key in objects.keys where key.starts(with: start) { remove(key) }
        for key in links.keys where key.starts(with: start) { remove(key) }
        directories = directories.filter { !$0.starts(with: start) && $0 + [Self.slash] != start }
    }

    mutating func makeDirectory(_ path: String) {
        var path = path
        while !path.isEmpty {
            directories.insert(Array(path.utf8))
            path = StoragePath.parent(of: path)
        }
    }

    mutating func sync(under directory: String) {
        let start = Self.start(directory)
        unsynced = unsynced.filter { !$0.starts(with: start) }
    }

    mutating func losePower(keeping: (String) -> Bool) {
        for key in unsynced where !keeping(String(decoding: key, as: UTF8.self)) { objects[key] = nil }
        unsynced = []
    }

    func info(_ path: String) -> ObjectInfo? {
        let key = Key(path.utf8)
        if let object = objects[key] { return Self.info(path, object) }
        if links[key] != nil { return ObjectInfo(name: path, kind: .link, size: 0, modified: 0) }
        let start = Self.start(path)
        let isDirectory =
            directories.contains(key) || objects.keys.contains { $0.starts(with: start) }
            || links.keys.contains { $0.starts(with: start) }
        return isDirectory ? ObjectInfo(name: path, kind: .directory, size: 0, modified: 0) : nil
    }

    func entries(of directory: String, prefix: String) -> [ObjectInfo] {
        let start = Self.start(directory)
        let wanted = start + Key(prefix.utf8)
        var found: [Key: ObjectInfo] = [:]
        func add(_ key: Key, _ make: (String) -> ObjectInfo) {
            guard key.starts(with: wanted), key.count > start.count else { return }
            let rest = key[start.count...]
            let name = rest.prefix { $0 != Self.slash }
            let text = String(decoding: name, as: UTF8.self)
            if name.count == rest.count {
                found[Key(name)] = make(text)
            } else if found[Key(name)] == nil {
                found[Key(name)] = ObjectInfo(name: text, kind: .directory, size: 0, modified: 0)
            }
        }
        for key in directories { add(key) { ObjectInfo(name: $0, kind: .directory, size: 0, modified: 0) } }
        for (key, object) in objects { add(key) { Self.info($0, object) } }
        for (key, target) in links {
            add(key) {
                var info = ObjectInfo(name: $0, kind: .link, size: 0, modified: 0)
                info.destination = target
                return info
            }
        }
        return found.values.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    private static func info(_ name: String, _ object: Object) -> ObjectInfo {
        ObjectInfo(name: name, kind: .object, size: UInt64(object.bytes.count), modified: object.modified)
    }

    private static func start(_ directory: String) -> Key { directory.isEmpty ? [] : Array(directory.utf8) + [slash] }
}
