package import HTTP

/// What users add to the engine's configuration, each entry a file of its own name in one directory.
package struct UserFiles: Sendable, Equatable {
    package struct Source: Sendable, Equatable {
        package enum Kind: String, Sendable { case secret, configMap }

        package var kind: Kind
        package var name: String
        /// Entries and the names of their files; nil: all, under their own names.
        package var items: [Item]?
        package var isOptional = false

        package init(_ kind: Kind, _ name: String, items: [Item]? = nil, isOptional: Bool = false) {
            self.kind = kind
            self.name = name
            self.items = items
            self.isOptional = isOptional
        }

        /// For people.
        var shown: String { "\(kind == .secret ? "Secret" : "ConfigMap") '\(name)'" }
    }

    package struct Item: Sendable, Equatable {
        package var key: String
        package var file: String

        package init(key: String, file: String) {
            self.key = key
            self.file = file
        }
    }

    /// Of files of one name, the last counts.
    package var sources: [Source] = []
    /// As the API has them in a projected volume: `serviceAccountToken`.
    package var tokens: [ServiceJSON] = []

    package init(_ sources: [Source] = []) { self.sources = sources }

    func refers(to kind: Source.Kind, _ name: String) -> Bool {
        sources.contains { $0.kind == kind && $0.name == name }
    }
}
