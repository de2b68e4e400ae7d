import HTTP

/// Whether a client wants of objects their metadata alone, which it says in `Accept`.
struct MetadataForm: Sendable {
    static let apiVersion = "meta.k8s.io/v1"

    let isAsked: Bool

    /// The first form that the server has counts; that of one object is none of a list, and the other way round.
    init(_ request: ServerRequest, isList: Bool) throws(APIFailure) {
        let (wanted, other) =
            isList
            ? ("PartialObjectMetadataList", "PartialObjectMetadata")
            : ("PartialObjectMetadata", "PartialObjectMetadataList")
        for form in (request.headers["Accept"] ?? "").split(separator: ",") {
            let parts = form.split(separator: ";").map { $0.drop { $0 == " " } }
            guard ["application/json", "*/*", "application/*"].contains(parts.first ?? "") else { continue }
            guard let asked = parts.first(where: { $0.hasPrefix("as=") })?.dropFirst(3) else { break }
            guard parts.contains("g=meta.k8s.io"), parts.contains("v=v1") else { continue }
            if asked == wanted {
                isAsked = true
                return
            }
            guard asked == other else { continue }
            throw APIFailure(
                code: 406, reason: "NotAcceptable",
                message: isList
                    ? "you requested \(other), but the requested object is a list"
                    : "you requested \(other), but the requested object is not a list",
                details: nil)
        }
        isAsked = false
    }

    func seen(_ object: ServiceJSON) -> ServiceJSON {
        guard isAsked else { return object }
        return [
            "kind": "PartialObjectMetadata", "apiVersion": .text(Self.apiVersion),
            "metadata": object["metadata"] ?? [:],
        ]
    }
}
