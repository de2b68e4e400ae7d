import HTTP

/// The strings and numbers directly in one JSON object, as credentials come; what is nested is passed over.
package struct CredentialJSON: Sendable {
    private let members: [String: ServiceJSON]

    /// nil for what is no JSON object.
    package init?(_ bytes: [UInt8]) {
        guard case .object(let members)? = ServiceJSON(bytes) else { return nil }
        self.members = members
    }

    package subscript(key: String) -> String? { members[key]?.string }
}
