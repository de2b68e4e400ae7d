package import BackupModel
package import HTTP

/// A job as it was asked for: what its file `request` holds.
package struct JobRecord: Sendable, Equatable {
    package let id: JobID
    package let request: JobRequest
    /// The name of who asked for it.
    package let client: String
    /// Seconds since 1970.
    package let created: Int64

    package init(id: JobID, request: JobRequest, client: String, created: Int64) {
        self.id = id
        self.request = request
        self.client = client
        self.created = created
    }

    package var json: ServiceJSON {
        .object([
            "client": .text(client), "created": .number(String(created)), "id": .text(id.text), "request": request.json,
        ])
    }

    package init(_ bytes: [UInt8]) throws(BackupError) {
        guard let json = ServiceJSON(bytes), let request = json["request"],
            let id = json["id"]?.string.flatMap({ JobID($0) }), let client = json["client"]?.string,
            let created = json["created"]?.string.flatMap({ Int64($0) })
        else { throw BackupError(.format, "it is no request of a job") }
        self.init(id: id, request: try JobRequest(request), client: client, created: created)
    }
}

/// How a job has ended.
package enum JobEnd: String, Sendable, CaseIterable {
    case completed, failed
    /// By a client, or by the end of the agent.
    case cancelled
    /// Its process has ended while nobody watched it, and its log does not tell how.
    case lost
}

extension ClientIdentity {
    /// As it is written down with a job; no common name of a certificate looks like the last two.
    package var name: String {
        switch self {
        case .certificate(let commonName): commonName
        case .local(let userID): "/local/\(userID)"
        case .anonymous: "/anonymous"
        }
    }
}
