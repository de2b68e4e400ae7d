import Foundation
import KubernetesTestServer
import Testing

/// Where `scripts/bootstrap test` puts it.
private let python =
    (ProcessInfo.processInfo.environment["PERMAFROST_CACHE"] ?? "/var/cache/permafrost")
    + "/kubernetes-client/bin/python3"

/// The server of these tests, judged by Kubernetes' official Python client: `client.py` says what it asks for.
@Suite(
    .timeLimit(.minutes(3)),
    .enabled(
        if: ["true", "1"].contains(ProcessInfo.processInfo.environment["CI"] ?? "")
            || FileManager.default.isExecutableFile(atPath: python), "Kubernetes' Python client is not installed"))
struct PythonClientTests {
    @Test func takesTheServerForOne() async throws {
        try await withServer { server, _ in
            let scratch = try Scratch()
            _ = try scratch.write(
                "config",
                """
                apiVersion: v1
                kind: Config
                current-context: c
                clusters: [{name: c, cluster: {server: "http://127.0.0.1:\(server.port)"}}]
                contexts: [{name: c, context: {cluster: c, user: u}}]
                users: [{name: u, user: {}}]
                """)
            let process = Process()
            process.executableURL = URL(filePath: python)
            process.arguments = [
                URL(filePath: #filePath).deletingLastPathComponent().appending(path: "client.py").path,
                scratch.path + "/config",
            ]
            process.environment = ["HOME": scratch.path, "PATH": "/usr/bin:/bin"]
            let out = scratch.path + "/out"
            _ = FileManager.default.createFile(atPath: out, contents: nil)
            let handle = try #require(FileHandle(forWritingAtPath: out))
            process.standardOutput = handle
            process.standardError = handle
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                process.terminationHandler = { _ in continuation.resume() }
                do { try process.run() } catch { continuation.resume(throwing: error) }
            }
            let text = try String(contentsOfFile: out, encoding: .utf8)
            #expect(process.terminationStatus == 0 && text == "accepted\n", "\(text.suffix(3000))")
        }
    }
}
