package import BackupModel

/// What a background process says of one WAL file, in `<file>.ok`, `<file>.error` or `global.error` of the spool, in
/// pgBackRest's form (section B.13 of the reference): nothing, or `<code>\n<message>`.
package enum SpoolStatus: Equatable, Sendable {
    /// Pushed; or, of a file to be fetched, in no repository. A warning is to be shown to whoever asks.
    case done(warning: String?)
    case failed(code: ErrorCode, message: String)

    package static let doneSuffix = ".ok"
    package static let failedSuffix = ".error"
    /// The name before `.error` of what concerns every file.
    package static let global = "global"

    /// - Throws: `.format` for a text that is neither empty nor of two lines, and for an empty `.error`.
    package init(fileName: String, _ bytes: [UInt8]) throws(BackupError) {
        let isDone = fileName.hasSuffix(Self.doneSuffix)
        if bytes.isEmpty, isDone {
            self = .done(warning: nil)
            return
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.utf8.firstIndex(of: UInt8(ascii: "\n")), let number = Int32(text[..<end]) else {
            throw BackupError(
                .format, "'\(fileName)' must begin with a line that is a number, and a message must follow",
                hint: "remove the file; WAL is not lost by that")
        }
        let message = String(text[text.utf8.index(after: end)...])
        guard !message.isEmpty else { throw BackupError(.format, "'\(fileName)' has no message") }
        if isDone {
            self = .done(warning: number == 0 ? message : "[\(number)] \(message)")
        } else {
            self = .failed(code: ErrorCode(rawValue: number), message: message)
        }
    }

    package var bytes: [UInt8] {
        switch self {
        case .done(nil): []
        case .done(let warning?): Array("0\n\(warning)".utf8)
        case .failed(let code, let message): Array("\(code.rawValue)\n\(message)".utf8)
        }
    }

    var suffix: String {
        switch self {
        case .done: Self.doneSuffix
        case .failed: Self.failedSuffix
        }
    }
}
