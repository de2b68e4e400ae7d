package import BackupModel
package import HTTP
package import Jobs

/// Who may do what: `tls-server-auth` and `tls-server-allow`.
package struct HostAuthorization: Sendable {
    private enum Stanzas: Sendable {
        case all
        case named(Set<String>)
    }
    private var stanzas: [String: Stanzas] = [:]
    private var rights: [String: AccessVerb] = [:]

    /// - Parameters:
    ///   - auth: client and its stanzas, `*` or names with commas between them, as pgBackRest has it.
    ///   - allow: client and rights, with commas between them. A client that is not named has all rights.
    package init(auth: [(key: String, value: String)], allow: [(key: String, value: String)]) throws(BackupError) {
        for (client, value) in auth {
            let names = value.split(separator: ",").map { String($0.trimmed) }.filter { !$0.isEmpty }
            guard !client.isEmpty, !names.isEmpty else {
                throw BackupError(
                    .optionInvalidValue, "'\(client)=\(value)' is not valid for 'tls-server-auth' option",
                    hint: "write client=stanza, client=stanza1,stanza2 or client=*")
            }
            let new: Stanzas = names.contains("*") ? .all : .named(Set(names))
            switch (stanzas[client], new) {
            case (.all?, _), (_, .all): stanzas[client] = .all
            case (.named(let old)?, .named(let more)): stanzas[client] = .named(old.union(more))
            case (nil, .named): stanzas[client] = new
            }
        }
        for (client, value) in allow {
            for name in value.split(separator: ",") {
                guard let right = AccessVerb(rawValue: String(name.trimmed)) else {
                    throw BackupError(
                        .optionInvalidValue, "'\(client)=\(value)' is not valid for 'tls-server-allow' option",
                        hint: "rights are read, add, expire and all; each holds those before it")
                }
                rights[client] = max(rights[client] ?? .read, right)
            }
            guard rights[client] != nil, stanzas[client] != nil else {
                throw BackupError(
                    .optionInvalidValue,
                    "'\(client)=\(value)' of 'tls-server-allow' is about a client that 'tls-server-auth' does not name",
                    hint: "name its stanzas in tls-server-auth")
            }
        }
    }

    /// What `client` may do with `stanza`.
    /// - Throws: `.access` when nothing.
    package func right(of client: ClientIdentity, stanza: String) throws(BackupError) -> AccessVerb {
        let name = try Self.name(client)
        guard let known = stanzas[name] else { throw Self.unknown(name) }
        if case .named(let names) = known, !names.contains(stanza) {
            throw BackupError(
                .access, "access denied: client '\(name)' may not use stanza '\(stanza)'",
                hint: "on the host, tls-server-auth says which stanzas a client may use")
        }
        return rights[name] ?? .all
    }

    package func require(_ right: AccessVerb, of client: ClientIdentity, stanza: String) throws(BackupError) {
        guard try self.right(of: client, stanza: stanza) < right else { return }
        throw Self.missing(right, try Self.name(client), stanza)
    }

    /// Whether a client that is known at all may see that there is such a stanza.
    package func shows(_ stanza: String, to client: ClientIdentity) -> Bool {
        (try? right(of: client, stanza: stanza)) != nil
    }

    /// - Throws: `.access` for one that no option names.
    package func requireKnown(_ client: ClientIdentity) throws(BackupError) {
        let name = try Self.name(client)
        if stanzas[name] == nil { throw Self.unknown(name) }
    }

    static func missing(_ right: AccessVerb, _ client: String, _ stanza: String) -> BackupError {
        BackupError(
            .access, "access denied: client '\(client)' lacks the right '\(right.rawValue)' on stanza '\(stanza)'",
            hint: "on the host, tls-server-allow says what a client may do")
    }

    private static func unknown(_ name: String) -> BackupError {
        BackupError(
            .access, "access denied: client '\(name)' is not known here",
            hint: "on the host, name the client and its stanzas in tls-server-auth")
    }

    static func name(_ client: ClientIdentity) throws(BackupError) -> String {
        guard case .certificate(let name) = client else {
            throw BackupError(.access, "access denied: the client showed no certificate")
        }
        return name
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        let start = drop { $0 == " " }
        return start.dropLast(start.reversed().prefix { $0 == " " }.count)
    }
}
