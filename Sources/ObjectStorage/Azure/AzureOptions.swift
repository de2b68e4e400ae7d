package import HTTP
import RepositoryStorage

/// A container of Azure Blob Storage, and how it is to be used: the options `repoN-azure-…` and `repoN-storage-…`.
package struct AzureOptions: BucketOptions {
    package enum AddressStyle: Sendable { case host, path }

    package var account: String
    package var container: String
    /// Directory in the container, without slashes at its ends; `""` is all of it.
    package var root = ""
    /// Of the cloud: governments and China have their own.
    package var endpoint = AzureOptions.publicCloud
    /// Whether the account is part of the host name or of the path.
    package var style = AddressStyle.host
    /// Where to connect to instead of the endpoint, whose name stays in the requests.
    package var connectTo: HTTPOrigin?
    package var tags: [(key: String, value: String)] = []
    /// Bytes; `repo-storage-upload-chunk-size`.
    package var partSize = 4 << 20
    /// Parts on their way at once.
    package var partsInFlight = StoreConcurrency.remote.uploads
    /// Objects that are read at once.
    package var readsInFlight = StoreConcurrency.remote.downloads
    /// The number in `repoN-…`, for hints.
    package var repositoryKey = 1

    package static let publicCloud = HTTPOrigin(host: "blob.core.windows.net")
    /// Microsoft's clouds, of which it is known what they do.
    static let clouds = ["blob.core.windows.net", "blob.core.usgovcloudapi.net", "blob.core.chinacloudapi.cn"]

    package init(account: String, container: String) {
        self.account = account
        self.container = container
    }
}
