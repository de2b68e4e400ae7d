package import BackupModel
package import HTTP

/// Why a call of the API did not do what it was to: the server's answer, or that none came.
package struct KubernetesError: Error, Sendable, CustomStringConvertible {
    package struct Cause: Sendable, Equatable {
        package var reason: String
        package var field: String
        package var message: String
    }

    /// nil when no answer came.
    package var status: Int?
    /// In one word, as the API has it: `NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `Invalid`, …; empty when it
    /// is not said.
    package var reason: String
    /// What was tried and why it failed; for people.
    package var message: String
    package var causes: [Cause] = []
    /// When the server wants to be asked again at the earliest.
    package var retryAfter: Duration?
    /// What the network failed with, when no answer came.
    package var transport: TransportError.Kind?

    package init(status: Int?, reason: String = "", message: String) {
        self.status = status
        self.reason = reason
        self.message = message
    }

    package var isNotFound: Bool { status == 404 }
    package var isAlreadyExists: Bool { reason == "AlreadyExists" }
    /// Somebody else has changed the object, or owns a field of it.
    package var isConflict: Bool { status == 409 && !isAlreadyExists }
    /// What was listed is so old that the server no longer knows what has changed since.
    package var isGone: Bool { status == 410 || reason == "Expired" || reason == "Gone" }
    package var isUnauthorized: Bool { status == 401 }
    package var isForbidden: Bool { status == 403 }
    /// The object is refused as it is.
    package var isInvalid: Bool { status == 422 || status == 400 }
    package var isCancelled: Bool { transport == .cancelled }
    /// The same call may succeed later.
    package var isRetryable: Bool {
        switch transport {
        case .notConnected, .timeout, .broken: true
        case .certificate, .cancelled: false
        case nil: status.map { $0 == 429 || $0 >= 500 && $0 != 501 } ?? false
        }
    }
    /// The call was not carried out, not even in part.
    var wasNotDone: Bool {
        transport == .notConnected || status == 429 || status == 503 && retryAfter != nil
    }

    package var description: String { message }

    /// For commands that end by it.
    package var error: BackupError {
        let code: ErrorCode
        var hint: String?
        switch (status, transport) {
        case (401, _), (403, _):
            code = .access
            hint = "the service account or user needs this permission"
        case (_, .certificate?): code = .crypto
        case (_, .cancelled?): code = .terminated
        case (nil, _): code = .hostConnect
        default: code = .service
        }
        return BackupError(code, message, hint: hint)
    }
}

extension KubernetesError {
    /// - Parameter what: what was tried: `get pods 'a/b'`.
    init(_ error: TransportError, _ what: String) {
        self.init(status: nil, message: "unable to \(what): \(error.reason)")
        transport = error.kind
    }

    init(_ error: BackupError, _ what: String) {
        self.init(status: nil, message: "unable to \(what): \(error.message)")
    }

    init(_ status: Int, _ headers: HTTPHeaders, _ body: [UInt8], _ what: String) {
        let json = ServiceJSON(body, deepest: KubernetesClient.deepest)
        self.init(status: status, json: json, what)
        if json?["kind"]?.string != "Status" {
            let text = String(decoding: body.prefix(200), as: UTF8.self).unicodeScalars.filter { $0.value >= 0x20 }
            message = "unable to \(what): HTTP \(status) \(String(String.UnicodeScalarView(text)))"
        }
        if let text = headers["Retry-After"], let seconds = Int(text), seconds >= 0 {
            retryAfter = .seconds(min(seconds, 3600))
        }
    }

    /// - Parameter json: an object `Status`.
    init(status: Int, json: ServiceJSON?, _ what: String) {
        let said = json?["message"]?.string ?? ""
        let reason = json?["reason"]?.string ?? ""
        self.init(
            status: status, reason: reason,
            message: "unable to \(what): \(said.isEmpty ? reason.isEmpty ? "HTTP \(status)" : reason : said)")
        causes = (json?[path: "details", "causes"]?.elements ?? []).map {
            Cause(
                reason: $0["reason"]?.string ?? "", field: $0["field"]?.string ?? "",
                message: $0["message"]?.string ?? "")
        }
        if let seconds = json?[path: "details", "retryAfterSeconds"]?.integer, seconds > 0 {
            retryAfter = .seconds(min(seconds, 3600))
        }
    }
}

extension ServiceJSON {
    subscript(path path: String...) -> ServiceJSON? { self[path] }
}
