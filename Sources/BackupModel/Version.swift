/// The program's own version and what it writes into repositories.
package enum ProgramVersion {
    package static let number = "0.1.0"
    /// `backrest-version` of everything that is complete.
    package static let repositoryText = "Permafrost \(number)"
    /// `backrest-version` of a manifest while its backup runs: equal to no pgBackRest's, so that none resumes it.
    package static let inProgressText = "Permafrost \(number) in progress"
    /// `backrest-format`: the only one that readers accept.
    package static let repositoryFormat = 5
}
