import Foundation
import Glibc

/// A server of an object store on this machine, for as long as this process lives. One serves many tests, each of which
/// uses a bucket or a directory of its own.
package final class ObjectServer: Sendable {
    package let port: Int
    /// What the server keeps and writes; the certificate among it.
    package let directory: String
    package let isSecure: Bool
    /// As long as AWS's: rclone takes no shorter ones.
    package static let accessKey = "AKIAIOSFODNN7PERMA01"
    package static let secretKey = "wJalrXUtnFEMIK7MDENGbPxRfiCYPERMAFROSTKEY"
    private let reservation: PortReservation

    package var endpoint: String { "\(isSecure ? "https" : "http")://127.0.0.1:\(port)" }
    /// The authority that signed its certificate.
    package var caFile: String { "\(directory)/ca.crt" }

    /// rclone's S3, over a directory, with signatures checked. Its buckets are directories.
    package static func rclone(secure: Bool = false) throws -> ObjectServer {
        try ObjectServer(secure: secure) { port, directory in
            let data = "\(directory)/data"
            try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
            let tls = secure ? ["--cert", "\(directory)/server.crt", "--key", "\(directory)/server.key"] : []
            return [
                try program("rclone"), "serve", "s3", "--config", "/dev/null", "--addr", "127.0.0.1:\(port)",
                "--auth-key", "\(accessKey),\(secretKey)",
            ] + tls + [data]
        }
    }

    /// moto: AWS as a Python program, IAM, STS and instance metadata among it. Signatures are not checked.
    package static func moto(secure: Bool = false) throws -> ObjectServer {
        try ObjectServer(secure: secure) { port, directory in
            let tls = ["-c", "\(directory)/server.crt", "-k", "\(directory)/server.key"]
            return [try program("moto_server"), "-H", "127.0.0.1", "-p", String(port)] + (secure ? tls : [])
        }
    }

    /// Our server of Azure's Blob service, which checks signatures; see its head.
    /// - Parameter versions: keeps what is replaced or deleted.
    package static func azure(
        secure: Bool = false, versions: Bool = false, container: String
    ) throws -> ObjectServer {
        try ObjectServer(secure: secure) { port, directory in
            [
                try program("python3"), script("azure_blob_server.py"), String(port), azureAccount, azureKey,
                "--container", container, "--token", accessToken, "--page-size", versions ? "7" : "1000",
            ] + (versions ? ["--versions"] : []) + certificates(secure, directory)
        }
    }
    package static let azureAccount = "permafrosttests"
    package static let azureKey =
        "cGVybWFmcm9zdCB0ZXN0cyBzaWduIHdpdGggdGhpcyBrZXksIGFuZCBub2JvZHkgZWxzZSBkb2VzIHNvLiBJdCBpcyBsb25nIQ=="
    /// Taken by the servers of Azure and Google, and only in tests.
    package static let accessToken = "ya29.the-token-of-the-tests"

    /// Our server of Google Cloud Storage, which checks tokens; see its head.
    /// - Parameters:
    ///   - grudging: takes half of what it is sent in parts, as the service may.
    ///   - versions: keeps what is replaced or deleted.
    package static func gcs(
        secure: Bool = false, grudging: Bool = false, versions: Bool = false, bucket: String
    ) throws -> ObjectServer {
        try ObjectServer(secure: secure) { port, directory in
            [
                try program("python3"), script("gcs_server.py"), String(port), "--bucket", bucket,
                "--key-file", "\(directory)/account.json", "--token", accessToken, "--page-size",
                versions ? "7" : "700",
            ] + (versions ? ["--versions"] : []) + (grudging ? ["--grudging"] : []) + certificates(secure, directory)
        }
    }
    /// The key file of a service account that the server gives tokens to.
    package var accountFile: String { "\(directory)/account.json" }

    /// fake-gcs-server, with which pgBackRest's own tests work. It looks at no token and heeds no conditions.
    package static func fakeGCS(secure: Bool = false) throws -> ObjectServer {
        try ObjectServer(secure: secure) { port, directory in
            let tls = [
                "-cert-location", "\(directory)/server.crt", "-private-key-location", "\(directory)/server.key",
            ]
            return [
                try program("fake-gcs-server"), "-backend", "memory", "-scheme", secure ? "https" : "http", "-host",
                "127.0.0.1", "-port", String(port), "-public-host", "127.0.0.1:\(port)", "-log-level", "warn",
            ] + (secure ? tls : [])
        }
    }

    /// gcp-storage-emulator: neither pages nor conditions.
    package static func gcpEmulator(bucket: String) throws -> ObjectServer {
        try ObjectServer(secure: false) { port, _ in
            [
                try program("gcp-storage-emulator"), "start", "--host", "127.0.0.1", "--port", String(port), "--quiet",
                "--in-memory", "--default-bucket", bucket,
            ]
        }
    }

    private static func script(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Servers/\(name)").path
    }

    private static func certificates(_ secure: Bool, _ directory: String) -> [String] {
        secure ? ["--cert", "\(directory)/server.crt", "--cert-key", "\(directory)/server.key"] : []
    }

    /// One of the programs that `scripts/bootstrap` puts beside each other.
    package static func program(_ name: String) throws -> String {
        let path = "\(PostgresInstallation.cacheDirectory)/object-stores/bin/\(name)"
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw TestSupportError("'\(name)' is not installed: run scripts/bootstrap")
        }
        return path
    }

    /// Makes a bucket, which may exist; by S3's own protocol, so that the server knows of it.
    package func makeBucket(_ name: String) throws { try put(name) }

    /// A bucket keeps what is replaced or deleted from here on.
    package func keepVersions(_ bucket: String) throws {
        try put(
            "\(bucket)?versioning=", body: "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        )
    }

    private func put(_ name: String, body: String? = nil) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/curl")
        process.arguments =
            [
                "-sSk", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user",
                "\(Self.accessKey):\(Self.secretKey)", "\(endpoint)/\(name)",
            ] + (body.map { ["-H", "Content-Type: application/xml", "-d", $0] } ?? [])
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw TestSupportError("unable to put '\(name)' at \(endpoint)") }
    }

    private init(secure: Bool, _ command: (_ port: Int, _ directory: String) throws -> [String]) throws {
        reservation = try PortReservation()
        port = reservation.port
        isSecure = secure
        directory = "/tmp/pf-store-\(getpid())-\(port)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        if secure { try PrivateAuthority.make(in: directory) }
        try start(try command(port, directory))
        try waitForPort()
    }

    /// The server ends with this process, however that ends, and what it kept goes too.
    private func start(_ command: [String]) throws {
        let watch = """
            "$@" > "$0/log" 2>&1 & child=$!
            while kill -0 \(getpid()) 2> /dev/null && kill -0 $child 2> /dev/null; do sleep 0.3; done
            kill -9 $child 2> /dev/null; wait $child; [ "$PERMAFROST_KEEP" = 1 ] || rm -rf "$0"
            """
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", watch, directory] + command
        process.environment = [
            "PATH": "/usr/bin:/bin", "HOME": directory,
            "PERMAFROST_KEEP":
                ProcessInfo.processInfo.environment["PERMAFROST_KEEP"] ?? "",
        ]
        process.standardInput = FileHandle.nullDevice
        // Whoever reads what the tests print waits for its end, and this process is only gone when that was read.
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    private func waitForPort() throws {
        for _ in 0..<600 {
            let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(socket) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
            let status = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if status == 0 { return }
            usleep(100_000)
        }
        let log = (try? String(contentsOfFile: "\(directory)/log", encoding: .utf8)) ?? ""
        throw TestSupportError("the server on port \(port) did not start: \(log.suffix(2000))")
    }
}

/// A certificate authority that nobody trusts, and a certificate of it for this machine.
package enum PrivateAuthority {
    /// Makes `ca.crt`, `server.crt` and `server.key` there.
    /// - Parameter names: of the server, as openssl takes them.
    package static func make(
        in directory: String, names: [String] = ["DNS:localhost", "DNS:*.localhost", "IP:127.0.0.1"]
    ) throws {
        let names = "subjectAltName=" + names.joined(separator: ",")
        try names.write(toFile: "\(directory)/names", atomically: true, encoding: .utf8)
        for arguments in [
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=permafrost test authority",
                "-keyout", "ca.key", "-out", "ca.crt",
            ],
            [
                "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out",
                "server.csr",
            ],
            [
                "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "2", "-extfile", "names", "-out", "server.crt",
            ],
        ] {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/openssl")
            process.arguments = arguments
            process.currentDirectoryURL = URL(filePath: directory)
            process.standardError = FileHandle.nullDevice
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            guard process.terminationStatus == 0 else {
                throw TestSupportError("openssl \(arguments[0]) failed in '\(directory)'")
            }
        }
    }
}
