import BackupModel

/// The rules for names in a store.
package enum StoragePath {
    /// The end of the names that posix drivers, ours and pgBackRest's, give to files until they are renamed. Listings
    /// do not show such names.
    package static let temporarySuffix = ".pgbackrest.tmp"

    /// Throws for what could leave the store or mean another object elsewhere: absolute paths, empty components, `.`,
    /// `..`, NUL.
    package static func validate(_ path: String) throws(StorageError) {
        let slash = UInt8(ascii: "/")
        let components = path.utf8.split(separator: slash, omittingEmptySubsequences: false)
        for component in components where component.isEmpty || component.elementsEqual(".".utf8) {
            throw invalid(path)
        }
        if components.contains(where: { $0.elementsEqual("..".utf8) }) || path.utf8.contains(0) { throw invalid(path) }
    }

    /// As ``validate(_:)``, but the root of the store (`""`) is fine too.
    package static func validateDirectory(_ path: String) throws(StorageError) {
        if !path.isEmpty { try validate(path) }
    }

    /// `a/b` of `a/b/c`; `""` of `a`.
    package static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "" }
        return String(path[..<slash])
    }

    private static func invalid(_ path: String) -> StorageError {
        StorageError(
            BackupError(
                .parameterInvalid, "'\(path.replacingNUL)' is no valid path in a repository",
                hint: "paths are relative to the repository and have no empty, '.' or '..' component"))
    }
}

extension String {
    fileprivate var replacingNUL: String { String(map { $0 == "\0" ? "?" : $0 }) }
}
