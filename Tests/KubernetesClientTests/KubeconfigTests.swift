import BackupModel
import Foundation
import HTTP
import Testing

@testable import KubernetesClient

/// A directory of a test's own.
final class Scratch: Sendable {
    let path = "/tmp/pf-kube-\(UUID().uuidString.prefix(13))"

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws -> String {
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
        return "\(path)/\(name)"
    }
}

@Suite struct KubeconfigTests {
    private static let whole = """
        apiVersion: v1
        kind: Config
        current-context: one
        preferences: {}
        clusters:
        - name: a
          cluster:
            server: https://[::1]:6443/prefix/
            certificate-authority-data: Q0E=
        - cluster: {server: "https://b.example", certificate-authority: ca.pem}
          name: b
        contexts:
        - context:
            cluster: a
            namespace: prod
            user: admin
          name: one
        - name: two
          context: {cluster: b, user: robot}
        users:
        - name: admin
          user:
            client-certificate-data: Q0VSVA==
            client-key-data: S0VZ
        - name: robot
          user:
            tokenFile: token
        """

    private func error(_ body: () throws -> Void) -> BackupError? {
        do { try body() } catch { return error as? BackupError }
        return nil
    }

    @Test func readsCertificatesAndTokens() throws {
        let scratch = try Scratch()
        let file = try scratch.write("config", Self.whole)
        _ = try scratch.write("ca.pem", "PEM")
        let one = try ClusterAccess.load(environment: ["KUBECONFIG": file])
        #expect(one.origin == HTTPOrigin(host: "::1", port: 6443))
        #expect(one.pathPrefix == "/prefix")
        #expect(one.namespace == "prod")
        #expect(one.transport.caBytes == Array("CA".utf8))
        #expect(one.transport.certificateBytes == Array("CERT".utf8))
        #expect(one.transport.keyBytes?.revealed == Array("KEY".utf8))
        #expect(!"\(one)".contains("75, 69, 89"))
        let two = try ClusterAccess.load(environment: ["KUBECONFIG": file], context: "two")
        #expect(two.transport.caBytes == Array("PEM".utf8))
        #expect(two.namespace == "default")
        guard case .tokenFile("\(scratch.path)/token") = two.credential else {
            Issue.record("the token is \(two.credential)")
            return
        }
        let home = try Scratch()
        try FileManager.default.createDirectory(atPath: home.path + "/.kube", withIntermediateDirectories: true)
        _ = try home.write(".kube/config", Self.whole)
        #expect(try ClusterAccess.load(environment: ["HOME": home.path]).pathPrefix == "/prefix")
    }

    @Test func mergesFiles() throws {
        let scratch = try Scratch()
        let first = try scratch.write(
            "1", "current-context: two\nclusters: [{name: b, cluster: {server: 'http://first'}}]")
        let second = try scratch.write("2", Self.whole)
        let access = try ClusterAccess.load(
            environment: ["KUBECONFIG": "\(scratch.path)/missing:\(first):\(second)"])
        #expect(access.origin == HTTPOrigin(isSecure: false, host: "first"))
    }

    @Test(arguments: [
        ("current-context: one", "", "current-context", "no current-context is set"),
        ("current-context: one", "current-context: three", "", "there is no context 'three'"),
        ("cluster: a\n", "cluster: c\n", "", "context 'one' names cluster 'c', which is missing"),
        ("user: admin", "user: x", "", "context 'one' names user 'x', which is missing"),
        (
            "server: https://[::1]:6443/prefix/", "server: 'ftp://x'", "",
            "server of cluster 'a': 'ftp://x' is no address of a server"
        ),
        ("server: https://[::1]:6443/prefix/", "x: y", "", "server of cluster 'a': is missing"),
        ("data: Q0E=", "data: '*'", "", "certificate-authority-data of cluster 'a': is no base64"),
        ("client-key-data: S0VZ", "x: y", "", "client-key of user 'admin': is missing, and the other of both is there"),
        ("client-key-data: S0VZ", "client-key: nokey", "", "client-key of user 'admin': unable to open"),
        ("client-key-data: S0VZ", "exec: {command: aws}", "", "exec of user 'admin' is not supported"),
        (
            "certificate-authority-data: Q0E=", "insecure-skip-tls-verify: 7", "",
            "insecure-skip-tls-verify of cluster 'a': is not true or false"
        ),
        ("kind: Config", "kind: [", "", "line 2"),
    ])
    func saysWhichFileAndField(_ part: String, _ by: String, _: String, _ message: String) throws {
        let scratch = try Scratch()
        let file = try scratch.write("config", Self.whole.replacingOccurrences(of: part, with: by))
        let error = try #require(error { _ = try ClusterAccess.load(environment: ["KUBECONFIG": file]) })
        #expect(error.message.contains(message), "\(error.message)")
        #expect(error.message.contains("'\(file)'"))
        #expect(!error.message.contains("S0VZ"))
    }

    @Test func readsTheServiceAccount() throws {
        let scratch = try Scratch()
        let environment = ["KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"]
        _ = try scratch.write("ca.crt", "PEM")
        _ = try scratch.write("namespace", "own\n")
        #expect(throws: BackupError.self) {
            try ClusterAccess.load(environment: environment, serviceAccount: scratch.path)
        }
        _ = try scratch.write("token", "abc\n")
        let access = try ClusterAccess.load(environment: environment, serviceAccount: scratch.path)
        #expect(access.origin == HTTPOrigin(host: "10.0.0.1", port: 443))
        #expect(access.namespace == "own")
        #expect(access.transport.caBytes == Array("PEM".utf8))
    }

    @Test func takesCertificatesFromMemory() throws {
        var options = TransportOptions()
        options.caBytes = Array("no certificate".utf8)
        #expect(throws: BackupError.self) { try NetworkTransport(options) }
        options.caBytes = nil
        options.certificateBytes = Array("x".utf8)
        #expect(throws: BackupError.self) { try NetworkTransport(options) }
    }
}
