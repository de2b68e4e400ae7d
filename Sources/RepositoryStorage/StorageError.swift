package import BackupModel

/// What a driver throws: the error for the user, and the answers that callers act on.
package struct StorageError: Error, Sendable {
    package var error: BackupError
    /// The object or directory does not exist.
    package var isMissing: Bool
    /// The same call may go through later (throttling, a reset connection); never true of a full or read-only disk.
    package var isRetryable: Bool
    /// `.create` found an object there.
    package var isAlreadyThere: Bool
    /// A permission is missing for this call; others may be allowed.
    package var isDenied: Bool

    package init(
        _ error: BackupError, isMissing: Bool = false, isRetryable: Bool = false, isAlreadyThere: Bool = false,
        isDenied: Bool = false
    ) {
        self.error = error
        self.isMissing = isMissing
        self.isRetryable = isRetryable
        self.isAlreadyThere = isAlreadyThere
        self.isDenied = isDenied
    }
}
