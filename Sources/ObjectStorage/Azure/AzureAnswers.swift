import HTTP

extension ObjectPage {
    /// A page of Azure's List Blobs.
    package init(azure body: [UInt8]) throws {
        self.init()
        var name = ""
        var size: UInt64?
        var modified: Int64 = 0
        try XMLPull.forEachElement(in: body) { path, text in
            guard path.first == "EnumerationResults" else {
                throw MalformedAnswer(description: "an answer to another question: \(path.first ?? "")")
            }
            switch (path.count, path.last) {
            case (2, "NextMarker"): next = text.isEmpty ? nil : text
            case (4, "Name"): name = text
            case (5, "Content-Length"): size = UInt64(text)
            case (5, "Last-Modified"): modified = ServiceTime.parseHTTP(text) ?? 0
            case (3, "Blob"):
                guard let bytes = size else { throw MalformedAnswer(description: "a list in which a blob has no size") }
                objects.append((name, ObjectFacts(size: bytes, modified: modified)))
                (name, size, modified) = ("", nil, 0)
            case (3, "BlobPrefix"):
                prefixes.append(name)
                (name, size, modified) = ("", nil, 0)
            default: break
            }
        }
    }
}

/// What Azure answers when something is wrong, and what follows from it.
enum AzureFailures {
    /// - Parameter action: the permission that the request needs.
    static func failure(
        _ response: HTTPResponse, _ body: [UInt8], _ action: String, _ options: AzureOptions
    ) -> ServiceFailure {
        var answer: [String: String] = [:]
        do {
            try XMLPull.forEachElement(in: body) { path, text in
                if path.count == 2, path[0] == "Error" { answer[path[1]] = text }
            }
        } catch {
            answer = [:]
        }
        let code = answer["Code"] ?? response.headers["x-ms-error-code"]
        // Further lines repeat the request's id and time.
        let first = answer["Message"]?.split(whereSeparator: \.isNewline).first.map(String.init)
        let detail = answer["AuthenticationErrorDetail"] ?? ""
        var message = first ?? (code == nil ? ServiceFailure.excerpt(of: body) : "")
        if isTold(detail) { message += (message.isEmpty ? "" : " ") + "(\(detail))" }
        var failure = ServiceFailure(
            kind(response.status, code, detail), message, status: response.status, code: code,
            requestID: response.headers["x-ms-request-id"], retryAfter: ServiceFailure.retryAfter(response))
        failure.hint = hint(failure, detail, action, options)
        return failure
    }

    /// The detail of a wrong signature repeats what was signed, the signature among it.
    private static func isTold(_ detail: String) -> Bool { !detail.isEmpty && !detail.contains("MAC signature") }

    private static func kind(_ status: Int, _ code: String?, _ detail: String) -> ServiceFailure.Kind {
        if code == "AuthenticationFailed", detail.contains("date header") { return .clockSkew }
        return code.flatMap { kinds[$0] } ?? (status == 401 ? .credentialsExpired : ServiceFailure.kind(status: status))
    }

    private static let kinds: [String: ServiceFailure.Kind] = [
        "BlobNotFound": .missing, "ResourceNotFound": .missing, "ContainerNotFound": .noBucket,
        "ContainerBeingDeleted": .unavailable, "BlobBeingRehydrated": .denied, "BlobArchived": .denied,
        "BlobAlreadyExists": .alreadyThere, "ConditionNotMet": .alreadyThere,
        "ServerBusy": .throttled, "InternalError": .unavailable, "OperationTimedOut": .timeout,
        "Md5Mismatch": .broken, "IncompleteBody": .broken,
        "AuthenticationFailed": .badCredentials, "NoAuthenticationInformation": .badCredentials,
        // A token that ran out, or is none: new ones may be had.
        "InvalidAuthenticationInfo": .credentialsExpired,
        "AuthorizationFailure": .denied, "AuthorizationPermissionMismatch": .denied,
        "AuthorizationResourceTypeMismatch": .denied, "AuthorizationServiceMismatch": .denied,
        "AuthorizationProtocolMismatch": .denied, "AuthorizationSourceIPMismatch": .denied,
        "InsufficientAccountPermissions": .denied, "AccountIsDisabled": .denied, "PublicAccessNotPermitted": .denied,
        "KeyBasedAuthenticationNotPermitted": .denied, "BlobImmutableDueToPolicy": .denied,
        "LeaseIdMissing": .denied, "SnapshotsPresent": .denied,
        "InvalidBlockList": .invalid, "InvalidBlobOrBlock": .invalid, "InvalidBlobType": .invalid,
        "UnsupportedHeader": .unsupported, "UnsupportedQueryParameter": .unsupported,
    ]

    private static func hint(
        _ failure: ServiceFailure, _ detail: String, _ action: String, _ options: AzureOptions
    ) -> String? {
        let repo = "repo\(options.repositoryKey)"
        switch (failure.kind, failure.code) {
        case (.noBucket, _): return "create container '\(options.container)', or correct \(repo)-azure-container"
        case (.badCredentials, _) where detail.contains("time frame"):
            return "the shared access signature is not good yet, or not any more: make a new one for \(repo)-azure-key"
        case (.badCredentials, _), (.credentialsExpired, _):
            return "check \(repo)-azure-account, \(repo)-azure-key and \(repo)-azure-key-type"
        case (.denied, "KeyBasedAuthenticationNotPermitted"):
            return "the account takes no shared keys: set \(repo)-azure-key-type=auto"
        case (.denied, "BlobImmutableDueToPolicy"), (.denied, "LeaseIdMissing"), (.denied, "SnapshotsPresent"),
            (.denied, "BlobArchived"), (.denied, "BlobBeingRehydrated"), (.denied, "AccountIsDisabled"):
            return nil
        case (.denied, _):
            return
                "the key or identity needs the permission '\(action)' on container '\(options.container)', and to be "
                + "let in by the account's firewall"
        case (.clockSkew, _): return "set the clock of this host right"
        default: return nil
        }
    }
}
