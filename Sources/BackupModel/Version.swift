/// The program's own version and what it writes into repositories.
package enum ProgramVersion {
    /// Whether the program was called as `pgbackrest`, by a link: then it is one, for configuration files and scripts.
    package static func isPgBackRest(_ programPath: String) -> Bool {
        programPath.split(separator: "/").last == "pgbackrest"
    }

    /// Whether kubectl runs the program as its plugin.
    package static func isKubectlPlugin(_ programPath: String) -> Bool {
        programPath.split(separator: "/").last == "kubectl-permafrost"
    }

    /// That of the program which we were called as.
    package static func number(calledAs programPath: String) -> String {
        isPgBackRest(programPath) ? pgBackRest : number
    }

    package static let number = "0.1.0"
    /// `backrest-version` of everything that is complete.
    package static let repositoryText = "Permafrost \(number)"
    /// `backrest-version` of a manifest while its backup runs: equal to no pgBackRest's, so that none resumes it.
    package static let inProgressText = "Permafrost \(number) in progress"
    /// The pgBackRest whose options, output and repositories these are: what scripts are told that call us by its name.
    package static let pgBackRest = "2.59.1"
    /// `backrest-format`: the only one that readers accept.
    package static let repositoryFormat = 5
}
