import Foundation
import TestSupport
import Testing

/// What every run of the program is given, and must never show.
enum Secrets {
    static let password = "sekretPassw0rd"
    static let passphrase = "sekretPassphrase"

    static let environment = ["PGPASSWORD": password, "PGBACKREST_REPO1_S3_KEY_SECRET": passphrase]

    static func found(in text: String) -> Bool { text.contains("sekret") }
}

/// Where a message must stand: options are read before there is a log.
enum Place {
    /// In the log on the console, which is standard output; standard error stays empty.
    case log
    /// On standard error, in the form of the log; standard output stays empty.
    case standardError
}

extension ProcessResult {
    /// Checks that the program failed with `code`, that the sentence of the error has all of `parts`, and that `hint`
    /// is in its hint; and that neither a secret nor our innards show.
    func failed(
        _ code: Int32, _ parts: String..., hint: String? = nil, place: Place = .log,
        location: SourceLocation = #_sourceLocation
    ) {
        let text = place == .log ? stdout : stderr
        let other = place == .log ? stderr : stdout
        #expect(status == code, "\(self)", sourceLocation: location)
        #expect(other.isEmpty, "the other stream is silent: \(self)", sourceLocation: location)
        let digits = String(format: "%03d", code)
        guard let error = text.firstRange(of: "ERROR: [\(digits)]: ") else {
            Issue.record("no error [\(digits)] was told: \(self)", sourceLocation: location)
            return
        }
        let told = text[error.upperBound...]
        let end = told.firstRange(of: "\n2")?.lowerBound ?? told.endIndex
        let lines = told[..<end].replacing(#/\n +/#, with: "\n")
        let sentence = lines.firstRange(of: "\nHINT: ").map { lines[..<$0.lowerBound] } ?? lines[...]
        for part in parts {
            #expect(sentence.contains(part), "'\(part)' is missing in: \(sentence)", sourceLocation: location)
        }
        if let hint {
            let hints = lines[sentence.endIndex...]
            #expect(hints.contains(hint), "'\(hint)' is missing in the hint: \(lines)", sourceLocation: location)
        }
        let startsSmall = sentence.first?.isUppercase != true
        #expect(
            startsSmall || sentence.hasPrefix("WAL ") || sentence.hasPrefix("PostgreSQL "), "\(sentence)",
            sourceLocation: location)
        if place == .log {
            #expect(
                text.contains("command end: aborted with exception [\(digits)]"), "\(text)", sourceLocation: location)
        }
        isDiscreet(location)
    }

    /// Checks that it ended well and told nothing on standard error.
    func succeeded(location: SourceLocation = #_sourceLocation) {
        #expect(status == 0 && stderr.isEmpty, "\(self)", sourceLocation: location)
        isDiscreet(location)
    }

    private func isDiscreet(_ location: SourceLocation) {
        #expect(!Secrets.found(in: stdout + stderr), "a secret shows: \(self)", sourceLocation: location)
        for inside in ["BackupError", "StorageError", "Fatal error", "Optional(", "unexpected error", "rawValue"] {
            #expect(!(stdout + stderr).contains(inside), "'\(inside)' shows: \(self)", sourceLocation: location)
        }
    }
}
