package import HTTP

/// `SGObjectStorage.spec`, and the copy of it in the status of an `SGBackup`.
package struct StackGresStorage: Sendable {
    private let spec: ServiceJSON

    private static let fields = SupportedFields([
        "type", "s3", "s3Compatible.bucket", "s3Compatible.endpoint", "s3Compatible.enablePathStyleAddressing",
        "s3Compatible.region", "s3Compatible.storageClass", "s3Compatible.awsCredentials.secretKeySelectors",
        "gcs", "azureBlob",
    ])

    package init(_ spec: ServiceJSON) { self.spec = spec }

    /// - Parameter path: as `status.backupPaths` has it, without slashes around it.
    package func location(path: String) throws(Refusal) -> RepositoryLocation {
        if let method = encryption {
            throw Refusal(
                "EncryptionUnsupported",
                "encryption by \(method) is not there: nothing is uploaded, since it would lie there unencrypted")
        }
        guard let type = StackGres.text(spec, "type"), let section = spec[type] else {
            throw Refusal("StorageInvalid", "the object storage has no section for its type")
        }
        let location: RepositoryLocation
        switch type {
        case "s3", "s3Compatible": location = try s3(section, path, isCompatible: type == "s3Compatible")
        case "gcs": location = try gcs(section, path)
        case "azureBlob": location = try azure(section, path)
        default: throw Refusal("StorageInvalid", "'\(type)' is no type of object storage")
        }
        if let name = location.unwritable {
            throw Refusal("StorageInvalid", "the object storage has a control character in its \(name)")
        }
        return location
    }

    /// Which of the two is asked for; a section alone asks for it too.
    private var encryption: String? {
        StackGres.text(spec, "encryption", "method")
            ?? ["sodium", "openpgp"].first { spec[["encryption", $0]] != nil }
    }

    /// - Parameter path: of the spec, for the answer.
    package func unsupported(at path: String) -> [UnsupportedField] {
        Self.fields.others(in: spec, at: path).map { UnsupportedField($0, "it is not known") }
    }

    private func s3(
        _ section: ServiceJSON, _ path: String, isCompatible: Bool
    ) throws(Refusal) -> RepositoryLocation {
        var location = RepositoryLocation(options: ["type": "s3"])
        try place(section, path, "s3-bucket", &location)
        location.options["s3-region"] = StackGres.text(section, "region")
        location.options["s3-storage-class"] = StackGres.text(section, "storageClass")
        if isCompatible {
            guard let endpoint = StackGres.text(section, "endpoint") else {
                throw Refusal("StorageInvalid", "the object storage has no s3Compatible.endpoint")
            }
            location.options["s3-endpoint"] = endpoint
            if section["enablePathStyleAddressing"]?.bool == true { location.options["s3-uri-style"] = "path" }
        }
        let credentials = section["awsCredentials"]
        if credentials?["useIAMRole"]?.bool == true {
            location.options["s3-key-type"] = "auto"
            return location
        }
        location.secrets["s3-key"] = try selector(credentials, "accessKeyId", "awsCredentials")
        location.secrets["s3-key-secret"] = try selector(credentials, "secretAccessKey", "awsCredentials")
        if isCompatible, credentials?[["secretKeySelectors", "caCertificate"]] != nil {
            location.files["storage-ca-file"] = try selector(credentials, "caCertificate", "awsCredentials")
        }
        return location
    }

    private func gcs(_ section: ServiceJSON, _ path: String) throws(Refusal) -> RepositoryLocation {
        var location = RepositoryLocation(options: ["type": "gcs"])
        try place(section, path, "gcs-bucket", &location)
        let credentials = section["gcpCredentials"]
        if credentials?["fetchCredentialsFromMetadataService"]?.bool == true {
            location.options["gcs-key-type"] = "auto"
        } else {
            location.files["gcs-key"] = try selector(credentials, "serviceAccountJSON", "gcpCredentials")
        }
        return location
    }

    private func azure(_ section: ServiceJSON, _ path: String) throws(Refusal) -> RepositoryLocation {
        var location = RepositoryLocation(options: ["type": "azure"])
        try place(section, path, "azure-container", &location)
        let credentials = section["azureCredentials"]
        location.secrets["azure-account"] = try selector(credentials, "storageAccount", "azureCredentials")
        location.secrets["azure-key"] = try selector(credentials, "accessKey", "azureCredentials")
        return location
    }

    /// `bucket`, `s3://bucket`, `bucket/and/path`.
    private func place(
        _ section: ServiceJSON, _ path: String, _ option: String, _ location: inout RepositoryLocation
    ) throws(Refusal) {
        guard let bucket = StackGres.text(section, "bucket") else {
            throw Refusal("StorageInvalid", "the object storage names no bucket")
        }
        var rest = bucket[...]
        if let scheme = bucket.firstRange(of: "://") { rest = bucket[scheme.upperBound...] }
        let parts = rest.split(separator: "/")
        guard let name = parts.first else {
            throw Refusal("StorageInvalid", "'\(bucket)' names no bucket")
        }
        location.options[option] = String(name)
        location.options["path"] = "/" + (parts.dropFirst().map(String.init) + [path]).joined(separator: "/")
    }

    private func selector(
        _ credentials: ServiceJSON?, _ name: String, _ section: String
    ) throws(Refusal) -> SecretKey {
        let selector = credentials?[["secretKeySelectors", name]]
        guard let secret = StackGres.text(selector, "name"), let key = StackGres.text(selector, "key") else {
            throw Refusal(
                "StorageInvalid", "the object storage does not say where \(name) is: \(section).secretKeySelectors")
        }
        return SecretKey(name: secret, key: key)
    }
}
