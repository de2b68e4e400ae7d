import BackupModel
import Foundation
import RepositoryStorage
import Synchronization

/// A directory for one test, removed with it.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "permafrost-storage-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Every file under it, relative, temporary ones too.
    func files() -> [String] {
        (FileManager.default.enumerator(atPath: path)?.allObjects as? [String] ?? []).sorted()
    }
}

extension StoreUnderTest {
    func can(_ mode: WriteMode) -> Bool {
        if case .create = mode { has.contains(.createIfAbsent) } else { true }
    }
}

extension RepositoryStore {
    func put(_ path: String, _ bytes: [UInt8], _ mode: WriteMode = .atomic) async throws {
        let writer = try await write(path, mode)
        try await writer.append(bytes.span.bytes)
        try await writer.commit()
    }

    func put(_ path: String, _ text: String, _ mode: WriteMode = .atomic) async throws {
        try await put(path, Array(text.utf8), mode)
    }

    func get(_ path: String, _ range: Range<UInt64>? = nil) async throws -> [UInt8] {
        let reader = try await read(path, range: range)
        defer { _ = reader }
        return try await reader.rest()
    }

    func text(_ path: String, _ range: Range<UInt64>? = nil) async throws -> String {
        String(decoding: try await get(path, range), as: UTF8.self)
    }

    func names(_ directory: String, prefix: String = "") async throws -> [String] {
        var names: [String] = []
        var token: String?
        repeat {
            let page = try await list(directory, prefix: prefix, from: token)
            names += page.entries.map(\.name)
            token = page.next
        } while token != nil
        return names
    }
}

extension ObjectWriter {
    func append(_ bytes: [UInt8]) async throws { try await append(bytes.span.bytes) }
}

extension ObjectReader {
    func rest(chunk: Int = 100_000) async throws -> [UInt8] {
        var result: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = try await read(into: buffer)
            if count == 0 { return result }
            result.append(contentsOf: buffer[..<count])
        }
    }
}

/// What `body` throws, which must be a ``StorageError``; nil when it does not throw.
func storageError(_ body: () async throws -> Void) async throws -> StorageError? {
    do {
        try await body()
        return nil
    } catch let error as StorageError {
        return error
    }
}

let temporaryFailure = StorageError(BackupError(.service, "try again"), isRetryable: true)

/// Fails the calls whose numbers are listed, counting those of one operation from 1.
final class FailingCalls: Sendable {
    private let operation: MemoryStore.Operation
    private let faults: [Int: MemoryStore.Fault]
    private let count = Mutex(0)

    init(_ operation: MemoryStore.Operation, _ faults: [Int: MemoryStore.Fault]) {
        self.operation = operation
        self.faults = faults
    }

    func fault(_ operation: MemoryStore.Operation) -> MemoryStore.Fault? {
        guard operation == self.operation else { return nil }
        return faults[
            count.withLock {
                $0 += 1
                return $0
            }]
    }
}

/// Fails every third call of each operation, in turn before and after it did its work.
final class EveryThirdCall: Sendable {
    private let counts = Mutex<[String: Int]>([:])

    func fault(_ operation: MemoryStore.Operation) -> MemoryStore.Fault? {
        let count = counts.withLock {
            $0["\(operation)", default: 0] += 1
            return $0["\(operation)", default: 0]
        }
        guard count % 3 == 0 else { return nil }
        // A chunk whose bytes were taken and whose answer is lost cannot be told from one that came.
        return count % 6 == 0 && operation != .readChunk ? .after(temporaryFailure) : .before(temporaryFailure)
    }
}
