/// The error of every layer: what was tried on what and why it failed (`message`), what to do next (`hint`).
///
/// Messages start in lower case, have no full stop, name paths in single quotes, and never carry a secret.
package struct BackupError: Error, Sendable, CustomStringConvertible {
    package var code: ErrorCode
    package var message: String
    package var hint: String?

    package init(_ code: ErrorCode, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    package var description: String {
        hint.map { "\(message)\nHINT: \($0)" } ?? message
    }

    /// The same failure, seen from a caller that knows more: `context: message`.
    package func within(_ context: String) -> BackupError {
        BackupError(code, "\(context): \(message)", hint: hint)
    }
}
