import BackupModel
import RepositoryStorage
import Synchronization

/// Whether a service creates an object only if it is absent. Many that speak a protocol which has such conditions pay
/// them no heed, so it is not believed before it was seen: what was just created must not be created again.
final class ConditionalCreation: Sendable {
    enum Support: Sendable { case unknown, works, ignored }

    private let support: Mutex<Support>

    init(_ support: Support) { self.support = Mutex(support) }

    /// Taken to work until the first creation shows that it does not.
    var capabilities: StoreCapabilities { support.withLock { $0 } == .ignored ? [] : [.createIfAbsent] }

    /// A writer that creates an object, or throws what `refusal` says.
    /// - Parameter make: a writer of the object, on the condition that there is none.
    func writer(
        refusal: BackupError, _ make: @escaping @Sendable () -> PartWriter,
        delete: @escaping @Sendable () async throws -> Void
    ) throws -> any ObjectWriter {
        if support.withLock({ $0 }) == .ignored { throw StorageError(refusal) }
        return CreatingWriter(make()) { try await self.prove(refusal, make, delete) }
    }

    /// - Parameter delete: removes the object again where creation means nothing.
    private func prove(
        _ refusal: BackupError, _ make: @Sendable () -> PartWriter, _ delete: @Sendable () async throws -> Void
    ) async throws {
        guard support.withLock({ $0 }) == .unknown else { return }
        let again = make()
        do {
            // Some servers take no empty objects.
            try await again.append(Array("again".utf8).span.bytes)
            try await again.commit()
        } catch let error as StorageError where error.isAlreadyThere {
            return works()
        }
        support.withLock { $0 = .ignored }
        try await delete()
        // Nobody can tell whose it was: the caller is to look again.
        throw StorageError(refusal, isAlreadyThere: true)
    }

    private func works() { support.withLock { $0 = .works } }

    /// Creates an object, and makes sure that creation means something.
    private final class CreatingWriter: ObjectWriter {
        private let writer: PartWriter
        private let prove: @Sendable () async throws -> Void

        init(_ writer: PartWriter, prove: @escaping @Sendable () async throws -> Void) {
            self.writer = writer
            self.prove = prove
        }

        func append(_ bytes: RawSpan) async throws { try await writer.append(bytes) }
        func abort() async { await writer.abort() }

        func commit() async throws {
            // Found there: the condition was heeded, and there is nothing to prove.
            try await writer.commit()
            try await prove()
        }
    }
}
