/// By which two sides find that they mean the same repository: what of its options says where it is, but for the account
/// of a store, which is a secret where it is part of the credentials.
package enum RepositoryIdentity {
    private static let options = [
        "type", "s3-bucket", "s3-endpoint", "s3-region", "gcs-bucket", "azure-container", "path",
    ]

    /// - Parameter value: of an option without the `repoN-` before it.
    package static func text(_ value: (String) -> String?) -> String {
        options.map { value($0) ?? "" }.joined(separator: "\n")
    }
}
