import BackupModel
import Foundation
import Synchronization
import TestSupport

@testable import CertificateAuthority

/// 2026-11-21 12:00:00 UTC.
let noon: Int64 = 1_795_262_400
let day: Int64 = 86_400

/// A directory of its own, and the command on it at a time that the test says.
final class Place: Sendable {
    let path: String
    private let said = Mutex<[String]>([])
    private let warned = Mutex<[String]>([])

    init() {
        path = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)").path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// What was said and warned since this was asked last.
    func takeSaid() -> String { Self.take(said) }
    func takeWarned() -> String { Self.take(warned) }

    private static func take(_ lines: borrowing Mutex<[String]>) -> String {
        lines.withLock { lines in
            defer { lines = [] }
            return lines.joined(separator: "\n")
        }
    }

    func run(
        _ line: String, at now: Int64 = noon, days: Int? = nil, force: Bool = false,
        directory: AuthorityDirectory? = nil
    ) throws(BackupError) {
        try TLSCommand(
            directory: directory ?? AuthorityDirectory(path), days: days, isForced: force, now: now,
            say: { line in self.said.withLock { $0.append(line) } },
            warn: { line in self.warned.withLock { $0.append(line) } }
        ).run(line.split(separator: " ").map(String.init))
    }

    /// nil when it succeeds.
    func failure(_ line: String, at now: Int64 = noon, force: Bool = false, days: Int? = nil) -> BackupError? {
        do throws(BackupError) {
            try run(line, at: now, days: days, force: force)
            return nil
        } catch {
            return error
        }
    }

    func bytes(_ name: String) -> Data? { FileManager.default.contents(atPath: "\(path)/\(name)") }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
    }

    func mode(_ name: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")[.posixPermissions] as? Int
    }

    /// In the order of their names.
    func files() -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }

    /// In the directory.
    func openssl(_ line: String) async throws -> ProcessResult {
        try await ProcessRunner.run("openssl", line.split(separator: " ").map(String.init), directory: path)
    }

    /// Checks a certificate as strictly as OpenSSL can, in both roles, at noon or at another time.
    func verify(
        _ name: String, by authority: String = "ca.crt", at now: Int64 = noon, isStrict: Bool = true,
        options: String = ""
    ) async throws -> [String] {
        var faults: [String] = []
        for purpose in ["sslserver", "sslclient"] {
            let result = try await openssl(
                "verify \(isStrict ? "-x509_strict" : "") -check_ss_sig -attime \(now) -purpose \(purpose) \(options) -CAfile \(authority) \(name)"
            )
            if result.status != 0 { faults.append("\(purpose): \(result)") }
        }
        return faults
    }

    func field(_ name: String, _ option: String) async throws -> String {
        try await openssl("x509 -in \(name) -noout \(option)").expecting(0).stdout
    }
}
