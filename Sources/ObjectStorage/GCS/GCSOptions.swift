package import HTTP
import RepositoryStorage

/// A bucket of Google Cloud Storage, and how it is to be used: the options `repoN-gcs-…` and `repoN-storage-…`.
package struct GCSOptions: BucketOptions {
    package var bucket: String
    /// Directory in the bucket, without slashes at its ends; `""` is all of the bucket.
    package var root = ""
    package var endpoint = GCSOptions.google
    /// Who pays for the requests, where it is not the owner of the bucket.
    package var userProject: String?
    /// Become the custom metadata of objects, as pgBackRest has it.
    package var tags: [(key: String, value: String)] = []
    /// Bytes; `repo-storage-upload-chunk-size`.
    package var partSize = 4 << 20
    /// Parts on their way at once, of different objects: the parts of one object follow each other.
    package var partsInFlight = StoreConcurrency.remote.uploads
    /// Objects that are read at once.
    package var readsInFlight = StoreConcurrency.remote.downloads
    /// The number in `repoN-…`, for hints.
    package var repositoryKey = 1

    package static let google = HTTPOrigin(host: "storage.googleapis.com")

    package init(bucket: String) { self.bucket = bucket }
}
