/// What the options of all kinds of buckets have in common.
package protocol BucketOptions: Sendable {
    /// Directory in the bucket, without slashes at its ends; `""` is all of it.
    var root: String { get set }
    /// `repo-storage-tag`.
    var tags: [(key: String, value: String)] { get set }
    /// Bytes; `repo-storage-upload-chunk-size`.
    var partSize: Int { get set }
    /// `repo-storage-upload-concurrency`.
    var partsInFlight: Int { get set }
    /// `repo-storage-download-concurrency`.
    var readsInFlight: Int { get set }
    /// The number in `repoN-…`, for hints.
    var repositoryKey: Int { get set }
}
