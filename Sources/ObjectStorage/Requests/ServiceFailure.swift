package import BackupModel
package import HTTP
package import RepositoryStorage

/// Why a request did not do what it was to do: what the service or the network said, and what follows from it.
package struct ServiceFailure: Error, Sendable {
    package enum Kind: Sendable, Equatable {
        /// No such object.
        case missing
        /// No such bucket or container.
        case noBucket
        /// A conditional create found an object.
        case alreadyThere
        /// The object was replaced while it was read.
        case replaced
        /// Fewer requests are wanted.
        case throttled
        /// The service failed, or asks to come again.
        case unavailable
        /// The time limit was met.
        case timeout
        /// The request was not seen.
        case notConnected
        /// The connection broke, or what came was no answer: it may have been carried out.
        case broken
        /// The credentials ran out; new ones may be had.
        case credentialsExpired
        /// Our clock and the service's are too far apart.
        case clockSkew
        /// A permission is missing.
        case denied
        /// The service does not know the credentials, or they do not fit.
        case badCredentials
        /// The bucket lies in another region.
        case wrongRegion
        case certificate
        /// The service cannot do that.
        case unsupported
        case invalid
        case cancelled
    }

    package var kind: Kind
    /// nil when there was no answer.
    package var status: Int?
    /// The service's own name of the error.
    package var code: String?
    /// What the service or the network said; no secret in it.
    package var message: String
    /// By which the service's people find the request.
    package var requestID: String?
    /// The service wants to be left alone for so long.
    package var retryAfter: Duration?
    package var hint: String?
    /// Another attempt is known not to help, whatever the kind.
    package var isFinal = false

    package init(
        _ kind: Kind, _ message: String, status: Int? = nil, code: String? = nil, requestID: String? = nil,
        retryAfter: Duration? = nil, hint: String? = nil
    ) {
        self.kind = kind
        self.message = message
        self.status = status
        self.code = code
        self.requestID = requestID
        self.retryAfter = retryAfter
        self.hint = hint
    }

    package init(_ error: TransportError) {
        let kind: Kind =
            switch error.kind {
            case .notConnected: .notConnected
            case .certificate: .certificate
            case .timeout: .timeout
            case .broken: .broken
            case .cancelled: .cancelled
            }
        self.init(kind, error.reason)
        switch kind {
        case .certificate where error.reason.hasSuffix("for another host name"):
            hint = "is the endpoint one of the names that the certificate is for?"
        case .certificate:
            hint = "name the authority that signed it in repo-storage-ca-file or repo-storage-ca-path"
        case .notConnected, .timeout:
            hint = "are the name and the port of the endpoint right, does it run, and may this host reach it?"
        default: break
        }
    }

    /// What an HTTP status says by itself, for services and answers that say no more.
    package static func kind(status: Int) -> Kind {
        switch status {
        case 401: .badCredentials
        case 403: .denied
        case 404: .missing
        case 408: .timeout
        case 409, 412: .alreadyThere
        case 429: .throttled
        case 501: .unsupported
        case 503: .throttled
        case 500...: .unavailable
        // An answer that was neither asked for nor an error: a proxy's page, a redirection.
        case ..<400: .broken
        default: .invalid
        }
    }

    /// The same request may go through later.
    package var isRetryable: Bool {
        if isFinal { return false }
        return switch kind {
        case .throttled, .unavailable, .timeout, .notConnected, .broken, .credentialsExpired, .clockSkew: true
        default: false
        }
    }

    /// The request may have been carried out all the same.
    package var mayHaveHappened: Bool {
        switch kind {
        case .unavailable, .timeout, .broken, .throttled: true
        default: false
        }
    }

    /// For the driver's callers.
    /// - Parameters:
    ///   - attempt: what was tried on what: `write 'a/b' in bucket 'x' at s3.eu-central-1.amazonaws.com`.
    ///   - code: of errors that have no better one.
    package func storageError(_ attempt: String, code: ErrorCode = .service) -> StorageError {
        var text = "unable to \(attempt): "
        if let status { text += "[\(status)] " }
        if let code = self.code { text += message.isEmpty ? code : "\(code): " }
        text += message
        if let requestID { text += " (request id \(requestID))" }
        let code: ErrorCode =
            switch kind {
            case .missing: .fileMissing
            case .alreadyThere: .fileExists
            case .denied, .badCredentials, .credentialsExpired: .access
            case .notConnected, .certificate: .hostConnect
            case .clockSkew: .clock
            case .unsupported: .featureNotSupported
            case .noBucket: .pathMissing
            default: code
            }
        return StorageError(
            BackupError(code, text, hint: hint), isMissing: kind == .missing, isRetryable: isRetryable,
            isAlreadyThere: kind == .alreadyThere, isDenied: kind == .denied)
    }
}
