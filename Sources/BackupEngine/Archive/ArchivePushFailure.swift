package import BackupModel
import Glibc
import PostgresFormats

/// Why WAL waits that was tried to push asynchronously, as the spool tells. Blocking.
package struct ArchivePushFailure: Sendable {
    package var error: BackupError
    /// Seconds since 1970.
    package var time: Int64

    package init(error: BackupError, time: Int64) {
        self.error = error
        self.time = time
    }

    /// nil when the spool tells nothing of a file that waits. That what concerns all files comes first.
    package static func find(_ spool: ArchiveSpool, statusDirectory: String) -> ArchivePushFailure? {
        let suffix = SpoolStatus.failedSuffix
        guard let names = try? spool.names() else { return nil }
        let failed = names.filter { $0.hasSuffix(suffix) }.map { String($0.dropLast(suffix.utf8.count)) }
        guard !failed.isEmpty, let ready = try? LocalDirectory.names(statusDirectory) else { return nil }
        let waiting = Set(ready.filter { $0.hasSuffix(ArchivePushQueue.readySuffix) })
        guard !waiting.isEmpty else { return nil }
        let candidates =
            failed.filter { $0 == SpoolStatus.global }
            + failed.filter { waiting.contains($0 + ArchivePushQueue.readySuffix) }.sorted()
        for name in candidates {
            guard let time = FileTime(spool.path(name + suffix)),
                case .failed(let code, let message)? = try? spool.status(of: name)
            else { continue }
            return ArchivePushFailure(error: BackupError(code, described: message), time: Int64(time.seconds))
        }
        return nil
    }
}

extension BackupError {
    /// From its ``description``, in which the hint follows the message.
    package init(_ code: ErrorCode, described text: String) {
        let mark = "\nHINT: "
        guard let place = text.firstRange(of: mark) else {
            self.init(code, text)
            return
        }
        self.init(code, String(text[..<place.lowerBound]), hint: String(text[place.upperBound...]))
    }
}
