import BackupModel
import PostgresFormats

/// What a server that recovers says in its log, as far as it is to be known: in English, without a prefix.
struct RecoveryLog: Sendable, Equatable {
    /// It takes connections: recovery has ended.
    var isReady = false
    /// FATAL and PANIC, each with what belongs to it.
    private(set) var failures: [String] = []
    /// Of the last transaction that was replayed.
    private(set) var lastTransaction: String?
    /// The start of the last record that was replayed.
    private(set) var redoEnd: LSN?
    /// The last WAL file that came from the archive.
    private(set) var lastFile: String?
    private var isInFailure = false

    private static let earlyEndMark = "recovery ended before configured recovery target was reached"
    private static let transactionMark = "last completed transaction was at log time "

    /// Takes one line. True for one that tells what was reached, and not only what is being done.
    mutating func take(_ line: String) -> Bool {
        guard let colon = line.firstIndex(of: ":") else { return false }
        let text = line[line.index(after: colon)...].drop { $0 == " " }
        switch line[..<colon] {
        case "FATAL", "PANIC":
            failures.append(String(text))
            isInFailure = true
            return true
        case "DETAIL" where isInFailure:
            if let last = failures.popLast() { failures.append("\(last) (\(text))") }
            return true
        case "HINT", "CONTEXT", "STATEMENT", "DETAIL":
            return false
        default:
            isInFailure = false
        }
        if text.hasPrefix(Self.transactionMark) {
            lastTransaction = String(text.dropFirst(Self.transactionMark.count))
            return true
        }
        if text.hasPrefix("restored log file \"") {
            lastFile = text.split(separator: "\"").dropFirst().first.map(String.init)
            return false
        }
        if text.hasPrefix("redo done at ") {
            redoEnd = text.dropFirst("redo done at ".count).split(separator: " ").first.flatMap { LSN($0) }
        }
        if text.hasPrefix("database system is ready to accept connections") { isReady = true }
        return [
            "starting ", "recovery stopping ", "redo done ", "selected new timeline ", "consistent recovery state ",
        ]
        .contains { text.hasPrefix($0) }
    }

    /// All WAL was replayed, and the target did not come.
    var endedBeforeTarget: Bool { failures.first?.hasPrefix(Self.earlyEndMark) == true }

    /// Whether a library that the configuration names is not there.
    var lacksLibrary: Bool { failures.contains { $0.hasPrefix("could not access file ") } }

    /// Why recovery failed, in PostgreSQL's own words.
    /// - Parameter target: as it was asked for; nil: to the end of WAL.
    func failure(of set: String, target: String?, end: String) -> BackupError {
        let what = "backup set \(set) could not be recovered" + (target.map { " to \($0)" } ?? "")
        guard let said = failures.first else {
            return BackupError(.execute, "\(what): PostgreSQL \(end) and gave no reason")
        }
        let last = lastTransaction.map { "; the last transaction in WAL is of \($0)" } ?? ""
        if endedBeforeTarget {
            return BackupError(
                .backupSetInvalid, "\(what): \(said)\(last)",
                hint:
                    "choose an earlier target; 'verify' tells up to when recovery is possible, and whether WAL is missing"
            )
        }
        if said.hasPrefix("requested recovery stop point is before consistent recovery point") {
            return BackupError(.backupSetInvalid, "\(what): \(said)", hint: "choose a later target or an older set")
        }
        if said.hasPrefix("WAL ends before ") || said.hasPrefix("could not locate ") {
            return BackupError(
                .fileMissing, "\(what): \(said)",
                hint: "WAL is missing\(lastFile.map { " after \($0)" } ?? ""); 'verify' tells what is there")
        }
        return BackupError(.execute, "\(what): \(failures.joined(separator: "; "))")
    }
}
