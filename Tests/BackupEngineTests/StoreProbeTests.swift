import BackupEngine
import BackupModel
import RepositoryStorage
import Synchronization
import Testing

/// What `check` finds out about a store by using it.
struct StoreProbeTests {
    private func run(denying denied: Set<MemoryStore.Operation>) async throws -> (error: BackupError?, left: [String]) {
        let isArmed = Mutex(true)
        let store = MemoryStore { operation, _ in
            guard denied.contains(operation), isArmed.withLock({ $0 }) else { return nil }
            let error = BackupError(.access, "no \(operation)", hint: "allow \(operation)")
            return .before(StorageError(error, isDenied: true))
        }
        let repository = Repository(key: 3, store: store)
        var failure: BackupError?
        do throws(BackupError) {
            try await StoreProbe(repository: repository, stanza: "main").run()
        } catch {
            failure = error
        }
        isArmed.withLock { $0 = false }
        return (failure, try await repository.listAll("permafrost/main").map(\.name))
    }

    @Test func aStoreThatAllowsAllIsLeftAsItWas() async throws {
        let (error, left) = try await run(denying: [])
        #expect(error == nil && left.isEmpty)
    }

    @Test(
        "all that is missing is told at once",
        arguments: [
            ([.list], "list", 0), ([.write], "write", 0), ([.read], "read", 0), ([.delete], "delete", 1),
            ([.list, .delete], "list, delete", 1), ([.list, .write, .read, .delete], "list, write, read, delete", 0),
        ] as [([MemoryStore.Operation], String, Int)])
    func denials(denied: [MemoryStore.Operation], steps: String, left: Int) async throws {
        let result = try await run(denying: Set(denied))
        let error = try #require(result.error)
        #expect(error.code == .access && error.message.hasPrefix("repo3: "))
        #expect(error.message.contains("which is to \(steps): "), "\(error.message)")
        for operation in denied {
            #expect(error.message.contains("no \(operation)") && error.hint?.contains("allow \(operation)") == true)
        }
        #expect(result.left.count == left)
    }

    @Test func whatElseFailsIsNoMatterOfPermissions() async throws {
        let store = MemoryStore { operation, _ in
            operation == .write ? .before(StorageError(BackupError(.hostConnect, "no connection"))) : nil
        }
        await #expect { () async throws in
            try await StoreProbe(repository: Repository(key: 1, store: store), stanza: "main").run()
        } throws: { error in
            (error as? BackupError)?.code == .hostConnect && "\(error)".contains("no connection")
                && !"\(error)".contains("does not allow")
        }
    }
}
