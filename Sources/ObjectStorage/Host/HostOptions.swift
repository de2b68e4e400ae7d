package import HTTP

/// A volume that another host serves, and how it is to be used: the options `repoN-host-…` and `repoN-storage-…`.
package struct HostOptions: Sendable {
    package var origin: HTTPOrigin
    /// The number in `repoN-…`, which is the repository's on the host too.
    package var repositoryKey: Int
    /// Bytes; `repo-storage-upload-chunk-size`.
    package var partSize = 4 << 20
    /// Objects and parts on their way; `repo-storage-upload-concurrency`.
    package var partsInFlight = 8
    /// `repo-storage-download-concurrency`.
    package var readsInFlight = 8

    package init(origin: HTTPOrigin, repositoryKey: Int) {
        self.origin = origin
        self.repositoryKey = repositoryKey
    }
}
