package import HTTP

/// An answer `Status` that says no.
struct APIFailure: Error {
    var code: Int
    var reason: String
    var message: String
    var details: ServiceJSON?

    var json: ServiceJSON {
        var json: ServiceJSON = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .text(message),
            "reason": .text(reason), "code": ServiceJSON(code),
        ]
        json["details"] = details
        return json
    }

    static func details(_ type: ServedType, _ name: String) -> ServiceJSON {
        var details: ServiceJSON = ["name": .text(name), "kind": .text(type.plural)]
        if !type.group.isEmpty { details["group"] = .text(type.group) }
        return details
    }

    static func notFound(_ type: ServedType, _ name: String) -> APIFailure {
        APIFailure(
            code: 404, reason: "NotFound", message: "\(type.qualified) \"\(name)\" not found",
            details: details(type, name))
    }

    static func alreadyExists(_ type: ServedType, _ name: String) -> APIFailure {
        APIFailure(
            code: 409, reason: "AlreadyExists", message: "\(type.qualified) \"\(name)\" already exists",
            details: details(type, name))
    }

    static func conflict(_ type: ServedType, _ name: String, _ why: String) -> APIFailure {
        APIFailure(
            code: 409, reason: "Conflict",
            message: "Operation cannot be fulfilled on \(type.qualified) \"\(name)\": \(why)",
            details: details(type, name))
    }

    static func modified(_ type: ServedType, _ name: String) -> APIFailure {
        conflict(
            type, name,
            "the object has been modified; please apply your changes to the latest version and try again")
    }

    static func invalid(_ type: ServedType, _ name: String, _ field: String, _ why: String) -> APIFailure {
        var details = details(type, name)
        details["causes"] = [["reason": "FieldValueInvalid", "message": .text(why), "field": .text(field)]]
        return APIFailure(
            code: 422, reason: "Invalid",
            message: "\(type.kind).\(type.group) \"\(name)\" is invalid: \(field): Invalid value: \(why)",
            details: details)
    }

    static func bad(_ message: String) -> APIFailure {
        APIFailure(code: 400, reason: "BadRequest", message: message, details: nil)
    }

    static func expired(_ version: Int, _ oldest: Int) -> APIFailure {
        APIFailure(
            code: 410, reason: "Expired", message: "too old resource version: \(version) (\(oldest))", details: nil)
    }

    static let noPath = APIFailure(
        code: 404, reason: "NotFound", message: "the server could not find the requested resource", details: [:])
}

extension APITestServer {
    /// A `Status` that says no, for ``Behaviour/intercept``.
    package static func refusal(_ code: Int, _ reason: String, _ message: String) -> ServerResponse {
        answer(APIFailure(code: code, reason: reason, message: message, details: nil))
    }
}
