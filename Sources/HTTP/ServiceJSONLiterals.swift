extension ServiceJSON: ExpressibleByStringInterpolation {
    package init(stringLiteral value: String) { self = .text(value) }
}

extension ServiceJSON: ExpressibleByIntegerLiteral {
    package init(integerLiteral value: Int) { self = .number(String(value)) }
}

extension ServiceJSON: ExpressibleByBooleanLiteral {
    package init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension ServiceJSON: ExpressibleByArrayLiteral {
    package init(arrayLiteral elements: ServiceJSON...) { self = .array(elements) }
}

extension ServiceJSON: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, ServiceJSON)...) {
        self = .object(Dictionary(elements) { _, last in last })
    }
}

extension ServiceJSON {
    package init(_ text: String) { self = .text(text) }
    package init(_ number: Int) { self = .number(String(number)) }
    package init(_ texts: [String]) { self = .array(texts.map { .text($0) }) }
    package init(_ texts: [String: String]) { self = .object(texts.mapValues { .text($0) }) }

    /// A number without a fraction, or a text that is one.
    package var integer: Int? { string.flatMap { Int($0) } }

    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The members of an object; none of anything else.
    package var members: [String: ServiceJSON] { if case .object(let members) = self { members } else { [:] } }

    /// The members that are texts.
    package var texts: [String: String] {
        members.compactMapValues { if case .text(let text) = $0 { text } else { nil } }
    }

    /// What lies at the end of a path of members. Setting makes the objects on the way; nil removes the last member, and
    /// makes nothing.
    package subscript(path: [String]) -> ServiceJSON? {
        get {
            var value = self
            for name in path {
                guard let next = value[name] else { return nil }
                value = next
            }
            return value
        }
        set {
            guard let name = path.first else {
                if let newValue { self = newValue }
                return
            }
            guard path.count > 1 else {
                self[name] = newValue
                return
            }
            guard var next = self[name] ?? (newValue == nil ? nil : .object([:])) else { return }
            next[Array(path.dropFirst())] = newValue
            self[name] = next
        }
    }
}
