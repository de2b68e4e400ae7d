import Glibc

/// Notices that files of certificates were replaced, by whoever renews them.
struct CertificateWatch: Sendable {
    /// As they were when they were last read.
    private var known: [String]
    private var candidate: [String]?

    init(_ facts: [String]) { known = facts }

    /// True once for each change, when the files are the same in two looks: who replaces several is not to be met between.
    mutating func hasChanged(_ facts: [String]) -> Bool {
        guard facts != known else {
            candidate = nil
            return false
        }
        guard candidate == facts else {
            candidate = facts
            return false
        }
        known = facts
        candidate = nil
        return true
    }

    /// By what it shows that a file is another: links are followed, as Kubernetes swaps those of a Secret. Blocking.
    static func facts(_ files: ServerCertificates) -> [String] {
        [files.certificateFile, files.keyFile, files.caFile].map { path in
            var status = stat()
            guard stat(path, &status) == 0 else { return "-" }
            return "\(status.st_dev) \(status.st_ino) \(status.st_size) \(status.st_mtim.tv_sec) "
                + "\(status.st_mtim.tv_nsec) \(status.st_ctim.tv_sec) \(status.st_ctim.tv_nsec)"
        }
    }
}
