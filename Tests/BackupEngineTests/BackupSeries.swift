import BackupEngine
import BackupModel
import Foundation
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Synchronization
import Testing

/// Backups in short: `3F` is the full backup of day 3, `3F_4D` the differential of day 4 on it. A backup of day N ends
/// an hour into the day and needs the WAL segment 0/N.
enum BackupSeries {
    static let day: Int64 = 86400
    static let epoch: Int64 = 1_767_139_200

    static func time(_ days: Int, hours: Int64 = 0) -> Int64 { epoch + Int64(days) * day + hours * 3600 }

    static func label(_ short: String) -> String {
        short.split(separator: "_").map { part in
            let day = Int(part.dropLast()) ?? 0
            return "202601\(day < 10 ? "0" : "")\(day)-000000\(part.suffix(1))"
        }.joined(separator: "_")
    }

    static func segment(_ number: Int, timeline: Int = 1) -> String {
        String(format: "%08X%08X%08X", timeline, number >> 8, number & 0xFF)
    }

    static func database(_ id: Int) throws -> BackupInfo.Database {
        BackupInfo.Database(
            id: id, systemIdentifier: 7_000_000_000_000_000_000 + UInt64(id),
            version: try #require(PostgresVersion(String(13 + id))), catalogVersion: 202_209_061, controlVersion: 1300)
    }

    static func manifest(
        _ short: String, prior: String? = nil, database id: Int = 1, timeline: Int = 1, online: Bool = true
    ) throws -> Manifest {
        let label = label(short)
        let day = Int(short.split(separator: "_").last?.dropLast() ?? "") ?? 0
        let type = try #require(BackupLabel(label)).type
        var options = ManifestOptions(compressType: .none)
        options.online = online
        var manifest = Manifest(
            label: label, type: type, references: [label], timestampStart: time(day), timestampCopyStart: time(day),
            database: try database(id), options: options)
        manifest.timestampStop = time(day, hours: 1)
        manifest.prior = type == .full ? nil : prior ?? String(label.prefix(16))
        if online {
            manifest.archiveStart = segment(day, timeline: timeline)
            manifest.archiveStop = segment(day, timeline: timeline)
        }
        return manifest
    }

    /// Each incremental rests on the backup before it, if that is of the same set.
    static func manifests(_ shorts: [String], database id: Int = 1) throws -> [Manifest] {
        var result: [Manifest] = []
        for short in shorts {
            let before = result.last?.label
            let isSameSet = before?.prefix(16) == label(short).prefix(16)
            result.append(
                try manifest(short, prior: short.hasSuffix("I") && isSameSet ? before : nil, database: id))
        }
        return result
    }

    static func info(_ shorts: [String]) throws -> BackupInfo {
        try info(manifests(shorts))
    }

    static func info(_ manifests: [Manifest], databases: Int = 1) throws -> BackupInfo {
        BackupInfo(
            currentID: databases, history: try (1...databases).map(database),
            backups: manifests.map { BackupInfoEntry($0) }.sorted { $0.label < $1.label })
    }
}

/// A repository in memory for commands that need no server.
struct MemoryRepository {
    static let stanza = "main"
    let store: MemoryStore
    let repository: Repository

    init(
        key: Int = 1, pageSize: Int = 3,
        fault: @escaping @Sendable (MemoryStore.Operation, String) -> MemoryStore.Fault? = { _, _ in nil }
    ) {
        store = MemoryStore(capabilities: [.createIfAbsent, .directories, .symlinks], pageSize: pageSize, fault: fault)
        repository = Repository(key: key, store: store)
    }

    func put(_ path: String, _ bytes: [UInt8] = [1]) async throws { try await repository.writeWhole(path, bytes) }

    func save(_ manifest: Manifest, complete: Bool = true) async throws {
        var encoder = ManifestEncoder(manifest)
        var bytes: [UInt8] = []
        while encoder.next(into: &bytes) {}
        let path = RepositoryPaths.manifest(stanza: Self.stanza, label: manifest.label)
        try await put(RepositoryPaths.copy(of: path), bytes)
        if complete { try await put(path, bytes) }
        try await put("backup/main/\(manifest.label)/pg_data/PG_VERSION")
    }

    func save(_ info: BackupInfo) async throws {
        try await repository.saveBackupInfo(info, stanza: Self.stanza)
        let archiveInfo = ArchiveInfo(
            currentID: info.currentID,
            history: info.history.map {
                DatabaseHistoryEntry(id: $0.id, systemIdentifier: $0.systemIdentifier, version: $0.version)
            })
        try await repository.saveArchiveInfo(archiveInfo, stanza: Self.stanza)
    }

    /// A whole repository: info files, manifests, and WAL segments `wal` of database 1.
    func fill(_ manifests: [Manifest], databases: Int = 1, wal: ClosedRange<Int>? = nil) async throws {
        for manifest in manifests { try await save(manifest) }
        try await save(BackupSeries.info(manifests, databases: databases))
        if let wal { for number in wal { try await putSegment(BackupSeries.segment(number)) } }
    }

    func putSegment(_ segment: String, archiveID: String = "14-1", ending: String = "") async throws {
        try await put(
            "archive/main/\(archiveID)/\(segment.prefix(16))/\(segment)\(ending)-\(String(repeating: "a", count: 40)).gz"
        )
    }

    func labels() async throws -> [String] {
        try await repository.loadBackupInfo(stanza: Self.stanza).backups.map(\.label)
    }

    func names(_ directory: String) async throws -> [String] {
        try await repository.listAll(directory).map(\.name)
    }

    /// Of an archive id: the segments that are left, without checksums.
    func segments(_ archiveID: String = "14-1") async throws -> [String] {
        var found: [String] = []
        for directory in try await repository.listAll("archive/main/\(archiveID)") where directory.kind == .directory {
            found += try await names("archive/main/\(archiveID)/\(directory.name)").map { String($0.prefix(24)) }
        }
        return found
    }

    /// All objects with their content, to tell whether anything changed.
    func snapshot(_ directory: String = "") async throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for entry in try await repository.listAll(directory) {
            let path = directory.isEmpty ? entry.name : "\(directory)/\(entry.name)"
            switch entry.kind {
            case .directory: found.merge(try await snapshot(path)) { $1 }
            case .object: found[path] = try await repository.readWhole(path)
            default: found[path] = []
            }
        }
        return found
    }
}

struct SilentProgress: ProgressSink {
    func begin(total: UInt64) {}
    func add(_ bytes: UInt64) {}
    func end() {}
}

/// What was logged, or printed.
final class Lines: Sendable {
    private let lines = Mutex<[(level: Logger.Level, text: String)]>([])

    func add(_ text: String, _ level: Logger.Level = .notice) { lines.withLock { $0.append((level, text)) } }
    var all: [String] { lines.withLock { $0.map(\.text) } }
    var warnings: [String] { lines.withLock { $0.filter { $0.level == .warning }.map(\.text) } }

    struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { lines.add(event.message.description, event.level) }
    }
}

extension EngineContext {
    /// For `line`, as one would type it.
    static func test(
        _ line: String, _ repositories: [Repository], now: Int64 = BackupSeries.time(40), log: Lines = Lines()
    ) throws -> EngineContext {
        EngineContext(
            configuration: try Configuration.parse(arguments: line.split(separator: " ").map(String.init)),
            repositories: repositories, logger: Logger(label: "test") { _ in Lines.Handler(lines: log) }, now: { now },
            progress: SilentProgress())
    }
}
