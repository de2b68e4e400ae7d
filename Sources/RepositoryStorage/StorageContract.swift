import BackupModel

/// A place that holds repositories: a directory, a bucket, a container.
///
/// Paths are relative to the root of the store, `/`-separated, without a leading or trailing `/`, and may hold any
/// UTF-8 text. Every method may be called from many tasks at once. A method that fails throws ``StorageError``.
///
/// The contract, proven for each driver by `StorageContractTests`:
/// - nothing of an object shows before ``ObjectWriter/commit()`` returns, unless it was opened `.inPlace`;
/// - an `.atomic` object is durable, with its name, when `commit` returns;
/// - an `.inPlace` object's bytes are durable when `commit` returns, its name after the next ``syncAll(under:)``;
/// - a reader opened before an overwrite sees either all of the old object or all of the new one;
/// - `list` after `commit` shows the object, `list` after `delete` does not.
package protocol RepositoryStore: Sendable {
    /// What this store can do beyond the common contract.
    var capabilities: StoreCapabilities { get }

    /// The store for people: `posix:/var/lib/pgbackrest`. Holds no secret.
    var location: String { get }

    /// How many calls to have in flight. A wrapper answers for the store within.
    var concurrency: StoreConcurrency { get }

    /// Opens an object, or `range` of it (bytes; its end may lie past the end of the object).
    func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader

    /// Opens a writer; behind a network without a round trip, as long as all may fit into one request. `.create` needs
    /// ``StoreCapabilities/createIfAbsent`` and throws with ``StorageError/isAlreadyThere`` at `commit` (or earlier) when
    /// the object exists.
    func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter

    /// One page of what lies directly under `directory` (`""` is the root), by name bytewise ascending. Directories of
    /// which nothing is left may or may not be shown. An absent directory is an empty page.
    /// - Parameters:
    ///   - prefix: only names that begin so.
    ///   - token: `next` of the page before; nil for the first.
    func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage

    /// Facts about one object or directory, nil when there is none.
    func info(_ path: String) async throws -> ObjectInfo?

    /// Deletes objects; absent ones are no error. Gone durably when it returns.
    func delete(_ paths: [String]) async throws

    /// Deletes everything under `directory`, and the directory where the store has such a thing. Absent is no error.
    func deleteTree(_ directory: String) async throws

    /// Makes an empty directory with its parents where the store has such a thing; does nothing elsewhere.
    func makeDirectory(_ path: String) async throws

    /// Makes all names under `directory` durable: what `.inPlace` writes left undone.
    func syncAll(under directory: String) async throws

    /// Points `path` at `target` (relative text), replacing what was there. Only with ``StoreCapabilities/symlinks``.
    func link(_ path: String, to target: String) async throws

    /// Makes `path` a second name of the object `existing`, replacing what was there; its name is durable after the next
    /// ``syncAll(under:)``. Only with ``StoreCapabilities/hardLinks``.
    func hardLink(_ path: String, to existing: String) async throws
}

extension RepositoryStore {
    package func hardLink(_ path: String, to existing: String) async throws {
        throw StorageError(
            BackupError(
                .featureNotSupported, "unable to link '\(path)' to '\(existing)': '\(location)' has no hard links"))
    }
}

package struct StoreCapabilities: OptionSet, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }

    /// `write(_, .create)` lets exactly one of several concurrent writers win.
    package static let createIfAbsent = StoreCapabilities(rawValue: 1)
    package static let directories = StoreCapabilities(rawValue: 2)
    package static let symlinks = StoreCapabilities(rawValue: 4)
    package static let hardLinks = StoreCapabilities(rawValue: 8)
}

package enum WriteMode: Sendable {
    /// Replaces what is there, all at once and durably.
    case atomic
    /// Durable bytes, name durable after `syncAll`; half of it may show before `commit`. For backup data, which nothing
    /// refers to before the manifest does.
    case inPlace
    /// As `.atomic`, but fails if the object exists.
    case create
}

package protocol ObjectReader: AnyObject {
    /// Fills the front of `buffer`; 0 means the end. May fill less than asked for before the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int
    /// Gives up what is held. A reader that is dropped without it closes itself.
    func close() async
}

package protocol ObjectWriter: AnyObject {
    /// Says before the first byte that no more than `size` bytes will come, all of which the caller has in memory: a
    /// store may send them in one request instead of in parts.
    func expect(atMost size: UInt64)
    /// Takes all of `bytes`; they are not referred to after it returns.
    func append(_ bytes: RawSpan) async throws
    /// Finishes the object, see ``RepositoryStore`` for what is durable then. Call at most once.
    func commit() async throws
    /// Leaves nothing behind (an `.inPlace` object is removed). Does nothing after `commit`. Never throws: what could
    /// not be cleaned is unreferenced.
    func abort() async
}

extension ObjectWriter {
    package func expect(atMost size: UInt64) {}
}

package struct ListPage: Sendable {
    package var entries: [ObjectInfo]
    /// Hand to the next `list`; nil when this page is the last.
    package var next: String?

    package init(entries: [ObjectInfo], next: String?) {
        self.entries = entries
        self.next = next
    }
}

package struct ObjectInfo: Sendable, Equatable {
    package enum Kind: Sendable, Equatable { case object, directory, link, special }
    /// The last component from `list`, the whole path from `info`.
    package var name: String
    package var kind: Kind
    /// Bytes; 0 for other than objects.
    package var size: UInt64
    /// Seconds since 1970; 0 where the store does not tell.
    package var modified: Int64
    /// Where a link points to, as text; only from `list`.
    package var destination: String?
    /// By which the store knows this version of an object; only of one that is read as it was at a time.
    package var version: String?

    package init(name: String, kind: Kind, size: UInt64, modified: Int64) {
        self.name = name
        self.kind = kind
        self.size = size
        self.modified = modified
    }
}
