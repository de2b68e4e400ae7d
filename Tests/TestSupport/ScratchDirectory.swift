import Foundation
import Glibc
import Synchronization
package import Testing

/// A test's own directory, and the list of what must be undone when the test is over, last in first out.
///
/// It lies under `/tmp` (or `PERMAFROST_SCRATCH`), belongs to the server user, and has a short name, since the path of
/// a Unix socket may have 107 bytes at most. It stays, and its path is printed, when the test threw, when an issue was
/// recorded under the trait `.keepsScratchOnFailure`, or when `PERMAFROST_KEEP` is `1`.
package final class ScratchDirectory: Sendable {
    /// Its absolute path.
    package let path: String

    private let testID: Test.ID?
    private let undoing = Mutex<[@Sendable () async -> Void]>([])
    private static let counter = Atomic<Int>(0)

    /// Makes a new one. `withScratch` and `withCluster` do, and take it away again.
    init() throws {
        let base = ProcessInfo.processInfo.environment["PERMAFROST_SCRATCH"] ?? "/tmp"
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        path = "\(base)/pf-\(getpid())-\(number)"
        testID = Test.current?.id
        try makeOwned(path)
    }

    /// The path of something in it.
    package func subpath(_ relative: String) -> String { "\(path)/\(relative)" }

    /// Makes a directory in it (parents too), owned by the server user, mode 0700, and gives its path.
    @discardableResult
    package func makeDirectory(_ relative: String) throws -> String {
        var made = path
        for component in relative.split(separator: "/") {
            made += "/\(component)"
            if !FileManager.default.fileExists(atPath: made) { try makeOwned(made) }
        }
        return made
    }

    /// Writes a file in it, owned by the server user, mode 0600, and gives its path.
    @discardableResult
    package func write(_ text: String, to relative: String) throws -> String {
        let file = subpath(relative)
        try Data(text.utf8).write(to: URL(filePath: file))
        try giveToServerUser(file, mode: 0o600)
        return file
    }

    /// Registers what must happen at the end, before what was registered earlier, however the test ends.
    package func atEnd(_ undo: @escaping @Sendable () async -> Void) {
        undoing.withLock { $0.append(undo) }
    }

    /// Undoes all, then removes the directory unless it is to stay.
    func tearDown(failed: Bool) async {
        while let undo = undoing.withLock({ $0.popLast() }) { await undo() }
        let wanted = ProcessInfo.processInfo.environment["PERMAFROST_KEEP"] == "1"
        if wanted || failed || FailedTests.contain(testID) {
            FileHandle.standardError.write(Data("kept for inspection: \(path)\n".utf8))
        } else {
            // Directories that a test made read-only must not keep it from going.
            try? FileManager.default.removeItem(atPath: path)
        }
    }
}

/// Gives `body` a scratch directory, and takes it away with all that was registered in it, even when `body` throws or
/// is cancelled.
package func withScratch<T>(_ body: (ScratchDirectory) async throws -> T) async throws -> T {
    let scratch = try ScratchDirectory()
    let result: T
    do {
        result = try await body(scratch)
    } catch {
        // A task of its own, awaited here, is not cancelled with the test: servers must stop all the same.
        await Task { await scratch.tearDown(failed: true) }.value
        throw error
    }
    await Task { await scratch.tearDown(failed: false) }.value
    return result
}

/// The tests that have recorded an issue so far.
private enum FailedTests {
    private static let identifiers = Mutex<Set<Test.ID>>([])

    static func note(_ identifier: Test.ID?) {
        if let identifier { identifiers.withLock { _ = $0.insert(identifier) } }
    }

    static func contain(_ identifier: Test.ID?) -> Bool {
        guard let identifier else { return false }
        return identifiers.withLock { $0.contains(identifier) }
    }
}

extension Trait where Self == IssueHandlingTrait {
    /// Keeps the scratch directories of tests that record an issue, not only of those that throw.
    package static var keepsScratchOnFailure: Self {
        .compactMapIssues { issue in
            FailedTests.note(Test.current?.id)
            return issue
        }
    }
}

private func makeOwned(_ directory: String) throws {
    guard mkdir(directory, 0o700) == 0 else {
        throw TestSupportError("could not make '\(directory)': \(String(cString: strerror(errno)))")
    }
    try giveToServerUser(directory, mode: 0o700)
}

private func giveToServerUser(_ file: String, mode: mode_t) throws {
    guard chmod(file, mode) == 0 else {
        throw TestSupportError("could not change the mode of '\(file)': \(String(cString: strerror(errno)))")
    }
    guard let user = ProcessRunner.serverUser else { return }
    guard let entry = getpwnam(user)?.pointee, chown(file, entry.pw_uid, entry.pw_gid) == 0 else {
        throw TestSupportError("could not give '\(file)' to user '\(user)'")
    }
}
