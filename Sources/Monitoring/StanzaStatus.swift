package import BackupEngine
package import BackupModel

/// What there is to look at for a stanza, by what the configuration says now.
package struct StatusSubjects: Sendable {
    /// nil where no server of the stanza is on this host.
    package var server: (@Sendable () async -> ServerLook)?
    package var volumes: [StatusVolume] = []
    package var repositories: [StatusRepository] = []
    /// Of the configuration: another number is another one.
    package var version = 0
    /// Why the configuration cannot be used; then there is nothing else.
    package var failure: BackupError?

    package init() {}
}

package struct ServerLook: Sendable {
    package var result: Result<ServerStatus, BackupError>
    /// Of a primary.
    package var lag: ArchiveLag?
    /// Why it is not less.
    package var pushFailure: ArchivePushFailure?
    /// Up to when can be restored for certain, in microseconds since 1970.
    package var restorable: Int64?

    package init(_ result: Result<ServerStatus, BackupError>) { self.result = result }
}

package struct StatusRepository: Sendable {
    /// The `N` of `repoN-…`.
    package var key: Int
    package var type: String
    /// `none` or `aes-256-cbc`.
    package var cipher: String
    /// For people: bucket and endpoint, host or path.
    package var place: String
    /// For programs: digests of ``RepositoryIdentity`` and of the account of a store, if it has one.
    package var identity: String
    package var account: String?
    package var look: @Sendable () async -> RepositoryStatus

    package init(
        key: Int, type: String, cipher: String, place: String, identity: String = "", account: String? = nil,
        look: @escaping @Sendable () async -> RepositoryStatus
    ) {
        self.key = key
        self.type = type
        self.cipher = cipher
        self.place = place
        self.identity = identity
        self.account = account
        self.look = look
    }
}
