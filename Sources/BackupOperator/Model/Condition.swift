package import HTTP

/// What a status says in one row: true, false or unknown, with a reason in one word and a message for people.
package struct Condition: Sendable, Equatable {
    package enum State: String, Sendable {
        case yes = "True"
        case no = "False"
        case unknown = "Unknown"
    }

    package var type: String
    package var state: State
    package var reason: String
    package var message: String
    /// Whether `True` is bad news.
    package var isBadWhenTrue: Bool

    package init(_ type: String, _ state: State, _ reason: String, _ message: String, isBadWhenTrue: Bool = false) {
        self.type = type
        self.state = state
        self.reason = reason
        self.message = message
        self.isBadWhenTrue = isBadWhenTrue
    }

    var isGood: Bool { state == (isBadWhenTrue ? .no : .yes) }

    private static let messageLimit = 2000

    /// Into a list of a status: what others wrote there stays, and the time of the last change where nothing changed.
    /// - Parameter ended: types that are told of only while they mean something, and go when they are not in `conditions`.
    /// - Returns: the list, and those conditions whose state or reason is another than before.
    package static func merge(
        _ conditions: [Condition], into old: [ServiceJSON], generation: Int, now: Int64, ended: [String] = []
    ) -> (list: [ServiceJSON], changed: [Condition]) {
        var list = old.filter { entry in
            guard let type = entry["type"]?.string, ended.contains(type) else { return true }
            return conditions.contains { $0.type == type }
        }
        var changed: [Condition] = []
        for condition in conditions {
            let place = list.firstIndex { $0["type"]?.string == condition.type }
            let before = place.map { list[$0] }
            let isSame = before?["status"]?.string == condition.state.rawValue
            var json: ServiceJSON = [
                "type": .text(condition.type), "status": .text(condition.state.rawValue),
                "reason": .text(condition.reason), "message": .text(String(condition.message.prefix(messageLimit))),
                "observedGeneration": ServiceJSON(generation),
                "lastTransitionTime": .text(ServiceTime.rfc3339(now)),
            ]
            if isSame, let time = before?["lastTransitionTime"] { json["lastTransitionTime"] = time }
            if !isSame || before?["reason"]?.string != condition.reason { changed.append(condition) }
            if let place { list[place] = json } else { list.append(json) }
        }
        return (list, changed)
    }
}
