import BackupModel
import Foundation
import Glibc
import HTTP
import ObjectStorage
import RepositoryStorage
import TestSupport

/// Servers of Google Cloud Storage and Azure Blob, one of each for all tests, and drivers on them.
enum BucketServers {
    static let bucket = "permafrost-tests"
    /// Takes less than it is sent, over TLS.
    static let gcs = Result { try ObjectServer.gcs(secure: true, grudging: true, bucket: bucket) }
    static let azure = Result { try ObjectServer.azure(secure: true, container: bucket) }
    private static let fake = Result {
        let server = try ObjectServer.fakeGCS()
        try makeBucket(server, bucket)
        return server
    }

    /// On a server that looks at no tokens.
    static func makeBucket(_ server: ObjectServer, _ name: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/curl")
        process.arguments = [
            "-skf", "-H", "Content-Type: application/json", "-d", "{\"name\":\"\(name)\"}",
            "\(server.endpoint)/storage/v1/b",
        ]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw TestSupportError("bucket '\(name)' could not be made") }
    }

    static func transport(_ server: ObjectServer) throws -> NetworkTransport {
        var options = TransportOptions()
        options.timeout = .seconds(20)
        if server.isSecure { options.caFile = server.caFile }
        return try NetworkTransport(options)
    }

    static let retry = RequestRetry(limit: .seconds(10), counters: RequestCounters())
    static let now: @Sendable () -> Int64 = { Int64(time(nil)) }

    static func store(_ driver: Driver, root: String) throws -> BucketStore {
        switch driver {
        case .gcs:
            let server = try gcs.get()
            let file = server.accountFile
            let account = try ServiceAccountKey(try LocalFile.readAll(file), file: file)
            let tokens = AccessTokens(try transport(server), retry, environment: [:], now: now)
            return try gcsStore(server, root, BearerAuthorizer(now: now) { try await tokens.google(account) })
        case .gcsFake:
            return try gcsStore(try fake.get(), root, BearerAuthorizer(token: Secret("any")))
        case .azure:
            return try azureStore(
                root, .host,
                try SharedKeySignature(account: ObjectServer.azureAccount, key: Secret(ObjectServer.azureKey)))
        case .azureSignature:
            return try azureStore(root, .path, try SharedAccessSignature(Secret(try signature("racwdl"))))
        default: throw TestSupportError("\(driver) is none of Google's and Microsoft's")
        }
    }

    static func gcsStore(
        _ server: ObjectServer, _ root: String, _ authorizer: any RequestAuthorizer,
        _ change: (inout GCSOptions) -> Void = { _ in }
    ) throws -> BucketStore {
        var options = GCSOptions(bucket: bucket)
        options.root = root
        options.endpoint = HTTPOrigin(isSecure: server.isSecure, host: "127.0.0.1", port: server.port)
        // Many parts, and part of the last.
        options.partSize = 1_000_000
        change(&options)
        return BucketStore(GCSService(options, try transport(server), authorizer, retry, now: now))
    }

    /// - Parameter style: with `.host` the account's name is in the header `Host` only.
    static func azureStore(
        _ root: String, _ style: AzureOptions.AddressStyle, _ authorizer: any RequestAuthorizer
    ) throws -> BucketStore {
        let server = try azure.get()
        var options = AzureOptions(account: ObjectServer.azureAccount, container: bucket)
        options.root = root
        let origin = HTTPOrigin(host: "127.0.0.1", port: server.port)
        options.style = style
        options.endpoint = origin
        if style == .host {
            options.endpoint = HTTPOrigin(host: "localhost", port: server.port)
            options.connectTo = origin
        }
        options.partSize = 1_000_000
        return BucketStore(AzureService(options, try transport(server), authorizer, retry, now: now))
    }

    /// A shared access signature that Microsoft's client made.
    static func signature(_ permissions: String, hours: Int = 1) throws -> String {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: try ObjectServer.program("python3"))
        process.arguments = [
            Self.clients, "sas", ObjectServer.azureAccount, bucket, ObjectServer.azureKey, permissions, "\(hours)",
        ]
        process.standardOutput = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0, !text.isEmpty else { throw TestSupportError("no signature was made") }
        return String(decoding: text, as: UTF8.self)
    }

    static let clients = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "clients.py").path
}
