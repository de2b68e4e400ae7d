import BackupModel
import Foundation
import Glibc
import HTTP
import ObjectStorage
import RepositoryStorage
import TestSupport
import Testing

/// A driver under test. Nothing must outlive it: servers serve all tests.
struct StoreUnderTest {
    let store: any RepositoryStore
    let directory: TemporaryDirectory? = nil
    var has: StoreCapabilities { store.capabilities }
}

/// The drivers of object stores with the servers that judge them; see the contract's tests, which know no more.
enum Driver: String, CaseIterable, CustomTestStringConvertible {
    case s3rclone, s3rcloneTLS, s3moto, gcs, gcsFake, azure, azureSignature

    /// In ordinary runs one of each kind of service, and of S3 one that heeds conditions and one that does not.
    static var allCases: [Driver] {
        let few: [Driver] = [.s3rcloneTLS, .s3moto, .gcs, .azure]
        return TestRequirement.runsAll ? few + [.s3rclone, .gcsFake, .azureSignature] : few
    }

    var testDescription: String { rawValue }
    var isUnreliable: Bool { false }
    var manyObjects: Int { 2500 }

    /// rclone deletes `object` when asked to delete `object/below`, whoever asks.
    var deletesOnlyWhatIsNamed: Bool { self == .s3moto }
    /// moto's web framework finds no page at such an address.
    func takes(name: String) -> Bool { self != .s3moto || !name.contains("\n") }

    func make() async throws -> StoreUnderTest {
        let root = "\(UUID().uuidString)/not yet/there"
        switch self {
        case .s3rclone, .s3rcloneTLS, .s3moto:
            let store = try S3Servers.store(self, root: root)
            // rclone heeds no conditions; a store learns that by its first attempt.
            let error = try await storageError { try await store.put("probe", "", .create) }
            #expect(error == nil || error?.error.code == .featureNotSupported)
            #expect((error == nil) == (self == .s3moto), "which servers heed conditions")
            try await store.delete(["probe"])
            return StoreUnderTest(store: store)
        case .gcs, .gcsFake, .azure, .azureSignature:
            let store = try BucketServers.store(self, root: root)
            let error = try await storageError { try await store.put("probe", "", .create) }
            #expect(error == nil || error?.error.code == .featureNotSupported)
            #expect((error == nil) == [.gcs, .azure, .azureSignature].contains(self), "which servers heed conditions")
            try await store.delete(["probe"])
            return StoreUnderTest(store: store)
        }
    }
}

/// One of each for all tests.
enum S3Servers {
    static let rclone = Result { try ObjectServer.rclone() }
    static let rcloneTLS = Result { try ObjectServer.rclone(secure: true) }
    static let moto = Result { try ObjectServer.moto() }
    static let bucket = "permafrost-tests"

    static func server(_ driver: Driver) throws -> ObjectServer {
        switch driver {
        case .s3rclone: try prepared(rclone.get())
        case .s3rcloneTLS: try prepared(rcloneTLS.get())
        case .s3moto: try prepared(moto.get())
        default: throw TestSupportError("\(driver) is none of S3")
        }
    }

    private static func prepared(_ server: ObjectServer) throws -> ObjectServer {
        try server.makeBucket(bucket)
        return server
    }

    static func options(_ driver: Driver, root: String) throws -> S3Options {
        var options = S3Options(bucket: bucket)
        options.root = root
        options.endpoint = try S3Endpoint(try server(driver).endpoint, port: nil)
        options.region = "us-east-1"
        options.style = .path
        return options
    }

    static func transport(_ driver: Driver) throws -> NetworkTransport {
        var options = TransportOptions()
        options.timeout = .seconds(20)
        if driver == .s3rcloneTLS { options.caFile = try server(driver).caFile }
        return try NetworkTransport(options)
    }

    static func store(_ driver: Driver, root: String) throws -> BucketStore {
        BucketStore(try service(try options(driver, root: root), transport(driver)))
    }

    static func service(_ options: S3Options, _ transport: any HTTPTransport) -> S3Service {
        S3Service(
            options, transport,
            GivenAWSCredentials(
                AWSCredentials(accessKey: ObjectServer.accessKey, secretKey: Secret(ObjectServer.secretKey))),
            RequestRetry(limit: .seconds(10), counters: RequestCounters()), now: { Int64(time(nil)) })
    }
}
