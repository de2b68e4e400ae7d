import BackupModel
import RepositoryStorage
import Testing

/// A driver under test, with what must outlive it.
struct StoreUnderTest {
    let store: any RepositoryStore
    let directory: TemporaryDirectory?
    var has: StoreCapabilities { store.capabilities }
}

enum Driver: String, CaseIterable, CustomTestStringConvertible {
    case posix, posixHeedingMask, memory, memoryWithLatency, memoryLikeDirectory, retryingPosix, retryingFaulty,
        limitedPosix

    var testDescription: String { rawValue }

    /// A retry opens the object again and says so in its documentation; and it writes only small objects again.
    var isUnreliable: Bool { self == .retryingFaulty }
    var deletesOnlyWhatIsNamed: Bool { true }
    func takes(name: String) -> Bool { true }
    /// Objects that one directory is filled with. Each file costs a disk a sync: more than a page holds only where that
    /// tells something new.
    var manyObjects: Int { [.posix, .memory, .memoryWithLatency].contains(self) ? 5000 : 300 }

    func make() async throws -> StoreUnderTest {
        let directory = try TemporaryDirectory()
        let root = directory.path + "/not yet/there"
        switch self {
        case .posix, .posixHeedingMask:
            return StoreUnderTest(
                store: PosixStore(root: root, neutralUmask: self == .posix), directory: directory)
        case .memory:
            return StoreUnderTest(store: MemoryStore(), directory: nil)
        case .memoryWithLatency:
            return StoreUnderTest(store: MemoryStore(latency: .milliseconds(1)), directory: nil)
        case .memoryLikeDirectory:
            let store = MemoryStore(capabilities: [.createIfAbsent, .directories, .symlinks], pageSize: 7)
            return StoreUnderTest(store: store, directory: nil)
        case .retryingPosix:
            return StoreUnderTest(store: RetryingStore(PosixStore(root: root)), directory: directory)
        case .limitedPosix:
            let limited = ConcurrencyLimitedStore(PosixStore(root: root), uploads: 2, downloads: 1)
            return StoreUnderTest(
                store: RetryingStore(ThrottledStore(limited, RateLimit(bytesPerSecond: 1 << 28))), directory: directory)
        case .retryingFaulty:
            // Every third call of each kind fails, before or after it did its work.
            let calls = EveryThirdCall()
            let store = MemoryStore(pageSize: 100) { operation, _ in calls.fault(operation) }
            let policy = RetryPolicy(attempts: 60, shortest: .zero)
            return StoreUnderTest(store: RetryingStore(store, policy: policy), directory: nil)
        }
    }
}
