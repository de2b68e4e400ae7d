import BackupModel
import HTTP
package import RepositoryStorage

/// What a repository host and its clients write to each other about storage: version 1. A request is one call of the
/// storage contract, `VERB /v1/repo/N/KIND/PATH`.
package enum HostWire {
    /// What a path is of; the text is in the address.
    package enum Kind: String, Sendable {
        /// `GET` (with a range), `PUT` (`mode`).
        case object
        /// `GET`: a line, or 204 where there is nothing.
        case info
        /// `GET` (`prefix`, `from`): lines.
        case list
        /// `POST` begins one (the answer is its id), `PUT` sends a part (`id`, `offset`), `DELETE` (`id`) ends it.
        case upload
        /// `POST` (`id`, `size`, `mode`).
        case complete
        /// `POST` with a line for each path.
        case delete
        /// `DELETE`.
        case tree
        /// `PUT`.
        case directory
        /// `POST`.
        case sync
        /// `PUT` (`to`).
        case link
        /// `PUT` (`existing`).
        case hardLink = "hard-link"
    }

    /// Header of a list that goes on: what `from` is to be.
    package static let nextHeader = "X-Permafrost-Next"
    /// Paths of one request.
    package static let deletionSize = 1000

    package static func path(_ kind: Kind, repository key: Int, _ path: String) -> String {
        "/v1/repo/\(key)/\(kind.rawValue)/" + PercentEncoding.encode(path, keepingSlashes: true)
    }

    package static func text(_ mode: WriteMode) -> String {
        switch mode {
        case .atomic: "atomic"
        case .inPlace: "in-place"
        case .create: "create"
        }
    }

    package static func mode(_ text: String?) -> WriteMode? {
        switch text {
        case "atomic": .atomic
        case "in-place": .inPlace
        case "create": .create
        default: nil
        }
    }
}

/// An entry of a list: kind, bytes, seconds since 1970, name and, of a link, where to; a space between them.
extension HostWire {
    private static let kinds: [(ObjectInfo.Kind, String)] = [
        (.object, "o"), (.directory, "d"), (.link, "l"), (.special, "s"),
    ]

    package static func line(_ info: ObjectInfo) -> String {
        let kind = kinds.first { $0.0 == info.kind }?.1 ?? "s"
        let destination = info.destination.map { " " + PercentEncoding.encode($0) } ?? ""
        return "\(kind) \(info.size) \(info.modified) \(PercentEncoding.encode(info.name))\(destination)\n"
    }

    /// Of one line, without its end; nil when malformed.
    package static func info(_ line: Substring) -> ObjectInfo? {
        let fields = line.split(separator: " ", omittingEmptySubsequences: false)
        guard fields.count == 4 || fields.count == 5, let kind = kinds.first(where: { $0.1 == fields[0] })?.0,
            let size = UInt64(fields[1]), let modified = Int64(fields[2]),
            let name = PercentEncoding.decode(String(fields[3]))
        else { return nil }
        var info = ObjectInfo(name: name, kind: kind, size: size, modified: modified)
        if fields.count == 5 {
            guard let destination = PercentEncoding.decode(String(fields[4])) else { return nil }
            info.destination = destination
        }
        return info
    }

    /// nil when a line is malformed.
    package static func infos(_ body: [UInt8]) -> [ObjectInfo]? {
        guard let text = String(validating: body, as: UTF8.self) else { return nil }
        var infos: [ObjectInfo] = []
        for line in text.split(separator: "\n") {
            guard let info = info(line) else { return nil }
            infos.append(info)
        }
        return infos
    }

    /// Paths, a line each.
    package static func body(_ paths: some Sequence<String>) -> [UInt8] {
        Array(paths.map { PercentEncoding.encode($0) + "\n" }.joined().utf8)
    }

    package static func paths(_ body: [UInt8]) -> [String]? {
        guard let text = String(validating: body, as: UTF8.self) else { return nil }
        var paths: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) where !line.isEmpty {
            guard let path = PercentEncoding.decode(String(line)) else { return nil }
            paths.append(path)
        }
        return paths
    }
}

/// A refusal: the exit code, the words, and what follows from it.
extension HostWire {
    /// The status tells those who read nothing else.
    package static func status(_ error: StorageError) -> Int {
        if error.isMissing { return 404 }
        if error.isAlreadyThere { return 409 }
        if error.isDenied { return 403 }
        if error.isRetryable { return 503 }
        return error.error.code == .parameterInvalid ? 400 : 500
    }

    package static func body(_ error: StorageError) -> [UInt8] {
        var text = "{\"code\":\(error.error.code.rawValue),\"message\":\(ServiceJSON.quoted(error.error.message))"
        if let hint = error.error.hint { text += ",\"hint\":\(ServiceJSON.quoted(hint))" }
        return Array((text + "}\n").utf8)
    }

    /// - Parameters:
    ///   - host: for people.
    static func failure(_ response: HTTPResponse, _ body: [UInt8]) -> ServiceFailure {
        var failure = ServiceFailure(
            ServiceFailure.kind(status: response.status), "", status: nil,
            retryAfter: ServiceFailure.retryAfter(response))
        guard let json = ServiceJSON(body), let message = json["message"]?.string,
            let code = json["code"]?.string.flatMap({ Int32($0) })
        else {
            failure.message = "the host answered with status \(response.status)"
            return failure
        }
        failure.message = message
        failure.code = String(code)
        failure.hint = json["hint"]?.string
        failure.isFinal = ![408, 429, 502, 503, 504].contains(response.status)
        return failure
    }
}
