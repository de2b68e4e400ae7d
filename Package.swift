// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "permafrost",
    products: [
        .executable(name: "permafrost", targets: ["permafrost"]),
        .executable(name: "permafrost-launcher", targets: ["permafrost-launcher"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    ],
    targets: [
        // C: system calls that Swift lacks, libpq and libcrypto by dlopen, and the compression libraries.
        .target(name: "CLinux", cSettings: [.unsafeFlags(["-O2"])]),
        .target(name: "CPostgres", cSettings: [.unsafeFlags(["-I/usr/include/postgresql"])]),
        .target(name: "CCrypto", cSettings: [.unsafeFlags(["-O2"])]),
        .target(
            name: "CCompression",
            cSettings: [.unsafeFlags(["-O2"])],
            linkerSettings: [
                .linkedLibrary("isal"),
                .linkedLibrary(":libz.a"),
                .linkedLibrary(":liblz4.a"),
                .linkedLibrary(":libzstd.a"),
                .linkedLibrary(":libbz2.a"),
                .linkedLibrary(":libxxhash.a"),
            ]),

        // Pure: no I/O, no clock, no async.
        .target(name: "BackupModel"),
        .target(name: "Checksums", dependencies: ["CLinux", .product(name: "Crypto", package: "swift-crypto")]),
        .target(name: "PostgresFormats", dependencies: ["BackupModel", "Checksums"]),
        .target(name: "RepositoryFormats", dependencies: ["BackupModel", "PostgresFormats", "Checksums"]),
        .target(
            name: "StreamFilters",
            dependencies: ["BackupModel", "PostgresFormats", "Checksums", "CCompression", "CCrypto"]),

        // I/O at the edges.
        .target(name: "RepositoryStorage", dependencies: ["BackupModel", "CLinux"]),
        .target(
            name: "HTTP",
            dependencies: [
                "BackupModel", "RepositoryStorage",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ]),
        .target(
            name: "ObjectStorage",
            dependencies: [
                "BackupModel", "CCrypto", "Checksums", "HTTP", "RepositoryStorage",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .target(
            name: "KubernetesClient",
            dependencies: [
                "BackupModel", "HTTP", "RepositoryStorage", .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .target(
            name: "CertificateAuthority",
            dependencies: [
                "BackupModel", "RepositoryStorage",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ]),
        .target(name: "PostgresAccess", dependencies: ["BackupModel", "PostgresFormats", "CPostgres", "CLinux"]),
        .target(
            name: "Telemetry",
            dependencies: ["BackupModel", .product(name: "Logging", package: "swift-log")]),
        .target(
            name: "BackupEngine",
            dependencies: [
                "BackupModel", "Checksums", "CLinux", "PostgresAccess", "PostgresFormats", "RepositoryFormats",
                "RepositoryStorage", "StreamFilters", "Telemetry", .product(name: "Logging", package: "swift-log"),
            ]),

        .target(
            name: "RepositoryHost",
            dependencies: [
                "BackupEngine", "BackupModel", "HTTP", "Jobs", "ObjectStorage", "PostgresAccess", "PostgresFormats",
                "RepositoryFormats", "RepositoryStorage",
            ]),
        .target(
            name: "Jobs",
            dependencies: [
                "BackupModel", "CLinux", "HTTP", "RepositoryStorage", "Telemetry",
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(
            name: "ArchiveAgent",
            dependencies: [
                "ArchiveShortcut", "BackupEngine", "BackupModel", "CLinux", "PostgresFormats", "RepositoryStorage",
                .product(name: "Logging", package: "swift-log"),
            ]),

        .target(
            name: "BackupOperator",
            dependencies: [
                "BackupModel", "CertificateAuthority", "Checksums", "HTTP", "Jobs", "KubernetesClient",
                "PostgresFormats", "RepositoryStorage", .product(name: "Logging", package: "swift-log"),
            ]),

        .target(
            name: "Monitoring",
            dependencies: [
                "BackupEngine", "BackupModel", "HTTP", "Jobs", "PostgresAccess", "PostgresFormats",
                "RepositoryFormats", "RepositoryStorage",
            ]),

        // All that the launcher may link.
        .target(name: "ArchiveShortcut"),
        .executableTarget(name: "permafrost-launcher", dependencies: ["ArchiveShortcut"]),
        .executableTarget(
            name: "permafrost",
            dependencies: [
                "ArchiveAgent", "ArchiveShortcut", "BackupEngine", "BackupModel", "BackupOperator", "CLinux",
                "CertificateAuthority", "Checksums", "HTTP", "Jobs", "KubernetesClient", "Monitoring", "ObjectStorage",
                "PostgresFormats", "RepositoryHost",
                "RepositoryStorage", "Telemetry", .product(name: "Logging", package: "swift-log"),
            ]),

        // Tests: pure ones first, those that need servers apart.
        .testTarget(name: "BackupModelTests", dependencies: ["BackupModel"]),
        .testTarget(
            name: "ChecksumsTests",
            dependencies: ["Checksums", "CLinux", .product(name: "Crypto", package: "swift-crypto")]),
        .testTarget(name: "PostgresFormatsTests", dependencies: ["PostgresFormats", "BackupModel", "Checksums"]),
        .testTarget(
            name: "RepositoryFormatsTests",
            dependencies: ["RepositoryFormats", "BackupModel", "PostgresFormats", "Checksums"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "StreamFiltersTests",
            dependencies: ["StreamFilters", "BackupModel", "PostgresFormats", "Checksums", "CCompression"]),
        .testTarget(name: "StorageTests", dependencies: ["RepositoryStorage", "BackupModel"]),
        .testTarget(
            name: "HTTPTests",
            dependencies: [
                "HTTP", "BackupModel",
                .product(name: "NIOCore", package: "swift-nio"),
            ]),
        .testTarget(
            name: "ObjectStorageTests", dependencies: ["HTTP", "ObjectStorage", "RepositoryStorage", "BackupModel"]),
        // An API server of Kubernetes in memory, which programs of others take for one.
        .target(
            name: "KubernetesTestServer",
            dependencies: [
                "BackupModel", "HTTP",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ], path: "Tests/KubernetesTestServer"),
        .testTarget(
            name: "KubernetesClientTests",
            dependencies: ["BackupModel", "HTTP", "KubernetesClient", "KubernetesTestServer", "RepositoryStorage"],
            exclude: ["client.py"]),
        .testTarget(
            name: "BackupOperatorTests",
            dependencies: [
                "BackupModel", "BackupOperator", "HTTP", "Jobs", "KubernetesClient", "KubernetesTestServer",
                "RepositoryStorage", .product(name: "Logging", package: "swift-log"),
            ]),
        // The contract's tests are StorageTests' own, by links.
        .testTarget(
            name: "RepositoryHostTests",
            dependencies: [
                "BackupEngine", "BackupModel", "Checksums", "HTTP", "Jobs", "ObjectStorage", "PostgresAccess",
                "PostgresFormats", "RepositoryFormats", "RepositoryHost", "RepositoryStorage", "StreamFilters",
            ]),
        .testTarget(
            name: "CertificateAuthorityTests", dependencies: ["CertificateAuthority", "BackupModel", "TestSupport"]),
        .testTarget(
            name: "BackupEngineTests",
            dependencies: [
                "BackupEngine", "BackupModel", "Checksums", "PostgresFormats", "RepositoryFormats", "RepositoryStorage",
                "StreamFilters", "Telemetry", .product(name: "Logging", package: "swift-log"),
            ], exclude: ["Fixtures"]),
        .testTarget(
            name: "TelemetryTests",
            dependencies: ["Telemetry", .product(name: "Logging", package: "swift-log")]),
        .testTarget(
            name: "JobsTests",
            dependencies: [
                "Jobs", "BackupModel", "HTTP", "RepositoryStorage", "Telemetry",
                .product(name: "Logging", package: "swift-log"),
            ]),
        .testTarget(
            name: "MonitoringTests",
            dependencies: [
                "Monitoring", "BackupEngine", "BackupModel", "HTTP", "Jobs", "PostgresAccess", "PostgresFormats",
            ]),
        .testTarget(name: "ArchiveShortcutTests", dependencies: ["ArchiveShortcut"]),
        .testTarget(
            name: "ArchiveAgentTests",
            dependencies: [
                "ArchiveAgent", "ArchiveShortcut", "BackupModel", .product(name: "Logging", package: "swift-log"),
            ]),
        .target(name: "TestSupport", path: "Tests/TestSupport", exclude: ["Servers"]),
        // A node and the controllers of Kubernetes, without a container runtime: pods are processes in namespaces.
        .target(
            name: "KubernetesTestNode",
            dependencies: [
                "BackupModel", "HTTP", "KubernetesClient", "KubernetesTestServer", "RepositoryStorage", "TestSupport",
            ], path: "Tests/KubernetesTestNode"),
        .testTarget(
            name: "KubernetesNodeTests",
            dependencies: [
                "BackupModel", "HTTP", "KubernetesClient", "KubernetesTestNode", "KubernetesTestServer",
                "RepositoryStorage", "TestSupport",
            ]),
        .testTarget(
            name: "CommandLineTests", dependencies: ["HTTP", "KubernetesClient", "KubernetesTestServer", "TestSupport"]),
        .testTarget(
            name: "PostgresTests",
            dependencies: [
                "TestSupport", "Jobs", "PostgresAccess", "PostgresFormats", "BackupModel", "HTTP",
                .product(name: "Logging", package: "swift-log"),
            ]),
        // The contract's tests are StorageTests' own, by links.
        .testTarget(
            name: "StoreServerTests",
            dependencies: ["TestSupport", "HTTP", "ObjectStorage", "RepositoryStorage", "BackupModel"],
            exclude: ["clients.py", "sign.py"]),
        .testTarget(name: "TwoMachinesTests", dependencies: ["TestSupport"]),
        .testTarget(name: "InteropTests", dependencies: ["TestSupport", "RepositoryFormats"]),
    ]
)

for target in package.targets where target.type != .system {
    if ["CLinux", "CPostgres", "CCompression", "CCrypto"].contains(target.name) { continue }
    target.swiftSettings = settings
}
