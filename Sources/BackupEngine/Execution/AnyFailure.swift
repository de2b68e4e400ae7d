package import BackupModel
import RepositoryStorage

extension BackupError {
    /// What any failure is to the user; a cancelled task was cancelled by a signal.
    /// - Parameter place: where it happened, for errors that do not say so.
    package init(_ error: any Error, in place: String? = nil) {
        switch error {
        case let error as BackupError: self = error
        case let error as StorageError: self = place.map { error.error.within($0) } ?? error.error
        case is CancellationError: self.init(.terminated, "terminated on signal")
        default: self.init(.unhandled, "\(place ?? "unexpected error"): \(error)")
        }
    }
}
