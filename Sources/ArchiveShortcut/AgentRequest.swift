/// What the launcher asks an agent for: that a WAL file, which PostgreSQL has called for, be pushed.
///
/// Fields that end in NUL, the first of which names the protocol and its version. One request a connection.
package struct AgentRequest: Equatable {
    package var stanza: String
    /// Without directory: it lies in the `pg_wal` of the stanza's cluster.
    package var fileName: String

    /// Bytes: longer ones are none.
    package static let limit = 1024
    private static let head = "permafrost agent 1 archive-push"

    package init(stanza: String, fileName: String) {
        self.stanza = stanza
        self.fileName = fileName
    }

    package var bytes: [UInt8] { [Self.head, stanza, fileName].flatMap { Array($0.utf8) + [0] } }

    package enum Reading: Equatable {
        case whole(AgentRequest)
        /// More is to come.
        case part
        case none
    }

    /// What has arrived so far.
    package static func read(_ bytes: [UInt8]) -> Reading {
        let head = Array(Self.head.utf8) + [0]
        guard bytes.count <= limit, bytes.prefix(head.count).elementsEqual(head.prefix(bytes.count)) else {
            return .none
        }
        let fields = bytes.split(separator: 0, omittingEmptySubsequences: false)
        // What follows the last NUL counts as one more.
        if fields.count < 4 { return .part }
        guard fields.count == 4, fields[3].isEmpty, !fields[1].isEmpty, !fields[2].isEmpty,
            let stanza = String(validating: fields[1], as: UTF8.self),
            let fileName = String(validating: fields[2], as: UTF8.self)
        else { return .none }
        return .whole(AgentRequest(stanza: stanza, fileName: fileName))
    }
}

/// What the agent says: ``working`` at once, and one of the others when it knows. Then it hangs up.
package enum AgentAnswer: UInt8 {
    /// It sees to it.
    case working = 0x77  // w
    /// The spool tells that the file is pushed.
    case done = 0x64  // d
    /// There is something to say, or it cannot be done: the program must see to it.
    case left = 0x6c  // l
}
