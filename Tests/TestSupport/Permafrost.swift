import Foundation
import Glibc

/// Our own program, on a test's repositories.
package struct Permafrost: BackupTool {
    package let executable: String
    package let layout: RepositoryLayout

    /// Our program, called as `permafrost`; or as `pgbackrest` when `alias` is true.
    package init(layout: RepositoryLayout, alias: Bool = false) throws {
        self.layout = layout
        executable = try PermafrostPrograms.locate().directory + (alias ? "/bin/pgbackrest" : "/bin/permafrost")
    }

    package func with(_ layout: RepositoryLayout) -> Permafrost {
        Permafrost(executable: executable, layout: layout)
    }

    package var description: String { "permafrost" }

    private init(executable: String, layout: RepositoryLayout) {
        self.executable = executable
        self.layout = layout
    }
}

/// Our programs, laid out as they are installed in a place that the server user can reach (a checkout may lie in a
/// home directory that it cannot enter): `bin/permafrost`, `bin/pgbackrest` and `bin/kubectl-permafrost`
/// (links to it), `libexec/permafrost/permafrost`.
///
/// They come, in this order, from `PERMAFROST_BIN` (the path of a `permafrost` in `bin`, or of the program itself),
/// from `bin/permafrost` of the package, and from the directory that `swift build` or this test run writes to.
/// Copied once for each test process, removed when it ends.
package struct PermafrostPrograms: Sendable {
    /// The directory that holds `bin` and `libexec`.
    package let directory: String

    /// The path of the launcher, `bin/permafrost`.
    package var launcher: String { "\(directory)/bin/permafrost" }
    /// The path of the program, `libexec/permafrost/permafrost`.
    package var program: String { "\(directory)/libexec/permafrost/permafrost" }

    /// The copied programs; throws when there is no build to copy.
    package static func locate() throws -> PermafrostPrograms { try copied.get() }

    private static let copied = Result { try copy() }
    fileprivate static let target = "/tmp/pf-bin-\(getpid())"

    private static func copy() throws -> PermafrostPrograms {
        let source = try findBuild()
        let files = FileManager.default
        atexit { try? FileManager.default.removeItem(atPath: PermafrostPrograms.target) }
        for folder in ["bin", "libexec/permafrost"] {
            try files.createDirectory(atPath: "\(target)/\(folder)", withIntermediateDirectories: true)
        }
        try files.copyItem(atPath: source.launcher, toPath: "\(target)/bin/permafrost")
        try files.copyItem(atPath: source.program, toPath: "\(target)/libexec/permafrost/permafrost")
        for link in ["pgbackrest", "kubectl-permafrost", "kubectl_complete-permafrost"] {
            try files.createSymbolicLink(atPath: "\(target)/bin/\(link)", withDestinationPath: "permafrost")
        }
        for path in [
            "", "/bin", "/libexec", "/libexec/permafrost", "/bin/permafrost", "/libexec/permafrost/permafrost",
        ] {
            chmod(target + path, 0o755)
        }
        return PermafrostPrograms(directory: target)
    }

    private static func findBuild() throws -> (launcher: String, program: String) {
        if let named = ProcessInfo.processInfo.environment["PERMAFROST_BIN"], !named.isEmpty {
            guard let found = installed(named) ?? (isExecutable(named) ? (named, named) : nil) else {
                throw TestSupportError("PERMAFROST_BIN names no program: '\(named)'")
            }
            return found
        }
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        if let found = installed("\(root)/bin/permafrost") { return found }
        // Where this test bundle lies, the programs of the same build lie too.
        let products = CommandLine.arguments.filter { $0.hasSuffix(".xctest") }
            .map { URL(filePath: $0).deletingLastPathComponent().path }
        for directory in products + ["\(root)/.build/debug"] {
            let (launcher, program) = ("\(directory)/permafrost-launcher", "\(directory)/permafrost")
            if isExecutable(launcher), isExecutable(program) { return (launcher, program) }
        }
        throw TestSupportError("permafrost is not built: run swift build, or set PERMAFROST_BIN")
    }

    /// A launcher and its program, laid out as installed; nil when either is missing.
    private static func installed(_ launcher: String) -> (launcher: String, program: String)? {
        let prefix = URL(filePath: launcher).resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent()
        let program = prefix.appending(path: "libexec/permafrost/permafrost").path
        return isExecutable(launcher) && isExecutable(program) ? (launcher, program) : nil
    }

    private static func isExecutable(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: path) }
}
