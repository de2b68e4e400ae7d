import Foundation

/// Certificates made by openssl, once for all tests.
final class Certificates: Sendable {
    static let shared = Result { try Certificates() }

    let directory: String

    struct Pair: Sendable {
        var certificate: String
        var key: String
    }

    /// Of the authority that all trust, unless said otherwise.
    var authority: String { path("ca.crt") }
    var otherAuthority: String { path("other.crt") }
    var server: Pair { pair("server") }
    var client: Pair { pair("client") }

    func path(_ name: String) -> String { directory + "/" + name }
    func pair(_ name: String) -> Pair { Pair(certificate: path(name + ".crt"), key: path(name + ".key")) }

    private init() throws {
        directory = try scratchDirectory("certificates")
        for name in ["ca", "other"] {
            try openssl(
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "100",
                "-keyout", path(name + ".key"), "-out", path(name + ".crt"), "-subj", "/CN=Test \(name)", "-addext",
                "keyUsage=critical,keyCertSign")
        }
        for name in ["server", "renewed", "client", "stranger"] {
            try issue(name, by: name == "stranger" ? "other" : "ca")
        }
        try issue("expired-client", days: -1)
        try issue("expired-server", days: -1)
        try issue("nameless", subject: "/O=Nobody")
        try issue("elsewhere", alternative: "DNS:elsewhere.example")
        try issue("for-servers-only", usage: "serverAuth")
    }

    func issue(
        _ name: String, by authority: String = "ca", days: Int = 30, subject: String? = nil,
        alternative: String = "DNS:localhost,IP:127.0.0.1,IP:::1", usage: String = "serverAuth,clientAuth"
    ) throws {
        let (request, extensions) = (path(name + ".csr"), path(name + ".ext"))
        try openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path(name + ".key"),
            "-out", request, "-subj", subject ?? "/CN=\(name)")
        try Data("subjectAltName=\(alternative)\nextendedKeyUsage=\(usage)\n".utf8).write(to: URL(filePath: extensions))
        try openssl(
            "x509", "-req", "-in", request, "-CA", path(authority + ".crt"), "-CAkey", path(authority + ".key"),
            "-CAcreateserial", "-days", "\(days)", "-extfile", extensions, "-out", path(name + ".crt"))
        chmod(path(name + ".key"), 0o600)
    }

    private func openssl(_ arguments: String...) throws {
        let result = try run("/usr/bin/openssl", arguments)
        guard result.status == 0 else { throw Failure(result.output) }
    }
}

struct Failure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// A directory of its own below the system's for temporary files; removed when the tests end.
func scratchDirectory(_ name: String) throws -> String {
    let parent = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
    var template = Array("\(parent)/permafrost-http-\(name)-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw Failure("mkdtemp: \(errno)") }
    let path = String(cString: made)
    Leftovers.shared.add(path)
    return path
}

private final class Leftovers: Sendable {
    static let shared = Leftovers()
    private nonisolated(unsafe) static var paths: [String] = []
    private static let lock = NSLock()

    private init() {
        atexit {
            for path in Leftovers.lock.withLock({ Leftovers.paths }) {
                try? FileManager.default.removeItem(atPath: path)
            }
        }
    }

    func add(_ path: String) { Self.lock.withLock { Self.paths.append(path) } }
}

/// Runs a program to its end.
func run(
    _ program: String, _ arguments: [String], input: String? = nil
) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    let standardInput = Pipe()
    process.standardInput = input == nil ? FileHandle.nullDevice : standardInput
    try process.run()
    if let input {
        try? standardInput.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try? standardInput.fileHandleForWriting.close()
    }
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: data, as: UTF8.self))
}

/// Apart from the threads that tasks share, for what blocks.
func apart<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
}
