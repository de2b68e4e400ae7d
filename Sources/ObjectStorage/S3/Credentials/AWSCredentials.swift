package import BackupModel

/// What requests are signed with.
package struct AWSCredentials: Sendable, Equatable {
    /// Not secret: it is part of every request. Still nothing for logs.
    package var accessKey: String
    package var secretKey: Secret<String>
    /// Of temporary credentials.
    package var sessionToken: Secret<String>?

    package init(accessKey: String, secretKey: Secret<String>, sessionToken: Secret<String>? = nil) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken
    }
}
