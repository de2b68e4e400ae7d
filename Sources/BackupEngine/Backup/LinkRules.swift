import BackupModel
import RepositoryFormats

/// Where links of a data directory may lead: restoring must be able to tell the targets apart.
///
/// Asked before a link is followed, so that one that leads back to where it lies is refused and not walked forever.
struct LinkRules {
    private struct Destination {
        var link: ManifestTarget
        /// Absolute and normalized; of a link to a file the directory.
        var path: String
    }
    private let dataDirectory: String
    private var accepted: [Destination] = []

    init(dataDirectory: String) { self.dataDirectory = Self.normalized(dataDirectory) }

    /// Throws `.linkDestination` when `link` leads into the data directory or to what another link covers.
    mutating func accept(_ link: ManifestTarget) throws(BackupError) {
        let path = Self.absolute(link, dataDirectory)
        if Self.isWithin(path, dataDirectory) {
            throw BackupError(
                .linkDestination, "link '\(link.name)' leads to '\(link.path)', which lies in the data directory",
                hint: "a link must lead out of the data directory")
        }
        // A tablespace may: only its own directory in there is looked at.
        if link.file == nil, link.tablespaceID == nil, Self.isWithin(dataDirectory, path) {
            throw BackupError(
                .linkDestination, "link '\(link.name)' leads to '\(link.path)', which holds the data directory",
                hint: "a link must lead out of the data directory, and not to a directory above it")
        }
        for other in accepted where Self.overlap(link, path, other.link, other.path) {
            throw BackupError(
                .linkDestination,
                "links '\(other.link.name)' and '\(link.name)' lead to '\(Self.text(other.link))' and '\(Self.text(link))', the same or one inside the other",
                hint: "each link must lead to a directory or file of its own")
        }
        accepted.append(Destination(link: link, path: path))
    }

    private static func overlap(
        _ first: ManifestTarget, _ firstPath: String, _ second: ManifestTarget, _ secondPath: String
    ) -> Bool {
        switch (first.file, second.file) {
        case (let firstFile?, let secondFile?): firstPath == secondPath && firstFile == secondFile
        case (_?, nil): isWithin(firstPath, secondPath)
        case (nil, _?): isWithin(secondPath, firstPath)
        case (nil, nil): isWithin(firstPath, secondPath) || isWithin(secondPath, firstPath)
        }
    }

    private static func text(_ link: ManifestTarget) -> String { link.file.map { "\(link.path)/\($0)" } ?? link.path }

    private static func absolute(_ link: ManifestTarget, _ dataDirectory: String) -> String {
        if link.path.hasPrefix("/") { return normalized(link.path) }
        // Relative to the directory that holds the link; tablespace links lie in pg_tblspc.
        let holder =
            link.tablespaceID != nil
            ? "\(dataDirectory)/pg_tblspc"
            : splitLast(dataDirectory + link.name.dropFirst("pg_data".count)).directory
        return normalized("\(holder)/\(link.path)")
    }

    /// Without `.`, `..` and doubled or trailing slashes.
    static func normalized(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/", omittingEmptySubsequences: true) where part != "." {
            if part == ".." {
                _ = parts.popLast()
            } else {
                parts.append(part)
            }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// Whether `path` is `directory` or below it.
    private static func isWithin(_ path: String, _ directory: String) -> Bool {
        path == directory || path.hasPrefix(directory == "/" ? "/" : directory + "/")
    }
}
