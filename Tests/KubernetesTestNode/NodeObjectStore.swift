import Foundation
import TestSupport

/// moto on a node's network, at port 443 and under the names of AWS, for pods that know no other.
package struct NodeObjectStore: Sendable {
    /// What names of AWS lead to: for ``TestNode/Options/names``, under `*.amazonaws.com`.
    package let address: String
    /// The authority that signed its certificate, PEM.
    package let authority: String
    package static let accessKey = ObjectServer.accessKey
    package static let secretKey = ObjectServer.secretKey

    /// Ends with the machine. Bucket names have no dots.
    package static func moto(_ machine: NodeMachine) async throws -> NodeObjectStore {
        let directory = "\(machine.directory)/store"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let names =
            ["amazonaws.com", "s3.amazonaws.com"] + ["us-east-1", "eu-central-1"].map { "s3.\($0).amazonaws.com" }
        try PrivateAuthority.make(
            in: directory,
            names: names.flatMap { ["DNS:\($0)", "DNS:*.\($0)"] } + ["IP:\(machine.outside)"])
        _ = try machine.start(
            ObjectServer.program("moto_server"),
            [
                "-H", machine.outside, "-p", "443", "-c", "\(directory)/server.crt", "-k", "\(directory)/server.key",
            ])
        let store = NodeObjectStore(
            address: machine.outside, authority: try String(contentsOfFile: "\(directory)/ca.crt", encoding: .utf8))
        try await waitFor("moto") {
            try await ProcessRunner.run("curl", ["-sk", "-o", "/dev/null", "https://\(machine.outside)/"]).status == 0
        }
        return store
    }

    package func makeBucket(_ name: String) async throws {
        try await ProcessRunner.run(
            "curl",
            [
                "-sSkf", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user",
                "\(Self.accessKey):\(Self.secretKey)", "https://\(address)/\(name)",
            ]
        ).expecting(0)
    }
}
