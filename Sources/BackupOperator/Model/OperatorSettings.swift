import RepositoryStorage

/// What is said once for an operator.
package struct OperatorSettings: Sendable {
    /// Where its own lease is.
    package var namespace = "permafrost-system"
    /// Whose objects are looked after; empty: all.
    package var watchedNamespaces: [String] = []
    /// Before the names of images: a registry with a slash at its end, or nothing.
    package var imagePrefix = ""
    package var imageTag = ""
    /// Certificates (PEM) that object stores must be signed by where an object storage does not say it itself; nil:
    /// those of the images.
    package var trustedCertificates: String?
    /// This process among several.
    package var identity = ""
    /// Between two looks at a cluster that is well.
    package var interval = 20
    /// What pauses are counted in: tests have less time.
    package var second = Duration.seconds(1)
    /// Of what fails, and of watches that are cut: what mends itself is not waited for much longer than it takes.
    var backOff: RetryPolicy { RetryPolicy(shortest: second / 5, longest: second * 30) }

    /// Days for which certificates are made.
    package var certificateDays = 90
    package var authorityDays = 3650

    package init() {}

    /// Of the operator, repository hosts and jobs.
    var image: String { "\(imagePrefix)permafrost:\(imageTag)" }

    /// Of PostgreSQL, of which there are images, the newest last.
    package static let postgresMajors = [15, 17, 18]

    /// Of a database.
    func postgresImage(_ major: Int) -> String { "\(imagePrefix)permafrost-postgres:\(major)-\(imageTag)" }
}
