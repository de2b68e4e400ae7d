package import BackupModel
import Checksums

extension Manifest {
    static let dataDirectory = "pg_data"
    /// Problems that one error names.
    private static let problemLimit = 10

    /// Sorts all lists by name, bytewise, as the format wants them.
    package mutating func sort() {
        files.sort()
        targets.sortByName(\.name)
        databases.sortByName(\.name)
        links.sortByName(\.name)
        paths.sortByName(\.name)
    }

    /// Throws `.format` when a name cannot be written: keys of a manifest are lines. To be called before a manifest is
    /// written for the first time.
    package func validateNames() throws(BackupError) {
        func check(_ name: String, _ what: String) throws(BackupError) {
            guard name.isEmpty || name.utf8.contains(where: { $0 == 0x0a || $0 == 0 }) else { return }
            throw BackupError(
                .format,
                "name of \(what) '\(Self.printable(name))' is empty or has a line break, which a manifest cannot hold",
                hint: "rename it")
        }
        for index in 0..<files.count {
            let isBad = files.withNameBytes(index) { $0.isEmpty || $0.contains(0x0a) || $0.contains(0) }
            if isBad { try check(files.name(index), "file") }
        }
        for path in paths { try check(path.name, "path") }
        for link in links { try check(link.name, "link") }
        for target in targets { try check(target.name, "target") }
        for database in databases { try check(database.name, "database") }
    }

    /// Throws `.format` naming what a finished backup must not lack. To be called before `backup.manifest` is written.
    package func validateComplete() throws(BackupError) {
        try validateNames()
        var problems: [String] = []
        if BackupLabel(label) == nil { problems.append("'\(label)' is no label") }
        if references.last != label { problems.append("the last reference is not the backup's own label") }
        if Set(references).count != references.count { problems.append("a reference is listed twice") }
        if (prior == nil) != (type == .full) {
            problems.append("a \(type) backup \(prior == nil ? "without" : "with") prior")
        }
        if timestampStop < timestampStart { problems.append("the backup stopped before it started") }
        if !paths.contains(where: { $0.name == Self.dataDirectory }) { problems.append("path 'pg_data' is missing") }
        var sorted = files
        sorted.sort()
        if let index = sorted.firstUnordered { problems.append("file '\(sorted.name(index))' is listed twice") }
        for index in 0..<files.count where problems.count < Self.problemLimit {
            if let problem = problem(ofFile: index) { problems.append("file '\(files.name(index))': \(problem)") }
        }
        guard !problems.isEmpty else { return }
        throw BackupError(
            .format, "manifest of backup '\(label)' is not complete: " + problems.joined(separator: "; "),
            hint: "this is a defect of the program that made the backup")
    }

    private func problem(ofFile index: Int) -> String? {
        guard let checksum = files.checksum(index) else { return "checksum is missing" }
        let size = files.size(index)
        if (size == 0) != (checksum == .ofNothing) { return "checksum '\(checksum.hex)' does not fit size \(size)" }
        if size > 0 && files.repoSize(index) == 0 { return "stored size is 0" }
        if let reference = files.reference(index), !references.dropLast().indices.contains(reference) {
            return "reference number \(reference) is none of an earlier backup"
        }
        if let rarity = files.rarity(index), rarity.blockMapSize > 0, rarity.blockSize == 0 {
            return "block map without block size"
        }
        return nil
    }

    private static func printable(_ name: String) -> String {
        String(name.unicodeScalars.map { $0.value < 0x20 ? "?" : Character($0) })
    }
}

extension Array {
    fileprivate mutating func sortByName(_ name: (Element) -> String) {
        let isSorted = zip(self, dropFirst()).allSatisfy { !BytewiseOrder.precedes(name($1), name($0)) }
        guard !isSorted else { return }
        sort { BytewiseOrder.precedes(name($0), name($1)) }
    }
}
