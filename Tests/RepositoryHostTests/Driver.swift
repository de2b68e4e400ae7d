import BackupModel
import HTTP
import RepositoryStorage
import Testing

/// A driver under test, with what must outlive it.
struct StoreUnderTest {
    let store: any RepositoryStore
    let directory: TemporaryDirectory?
    var has: StoreCapabilities { store.capabilities }
}

/// The driver of other hosts' volumes, over a service in this process: as it is, and where every third request or
/// answer is lost.
enum Driver: String, CaseIterable, CustomTestStringConvertible {
    case host, lossyHost

    var testDescription: String { rawValue }
    var isUnreliable: Bool { false }
    var deletesOnlyWhatIsNamed: Bool { true }
    func takes(name: String) -> Bool { true }
    /// More than three pages.
    var manyObjects: Int { 320 }

    func make() async throws -> StoreUnderTest {
        let host = try HostUnderTest()
        let losses: [LoopbackTransport.Loss] = [.request, .answer, .half]
        let store = host.store { _, number in
            // Of three attempts in a row one always gets through.
            self == .lossyHost && number % 3 == 0 ? losses[number / 3 % 3] : .none
        }
        return StoreUnderTest(store: store, directory: host.directory)
    }
}
