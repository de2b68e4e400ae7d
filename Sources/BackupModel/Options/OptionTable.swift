/// All options, and the ways to find one.
package enum OptionTable {
    package static let definitions: [OptionDefinition] = {
        var all: [OptionDefinition] = []
        all.reserveCapacity(OptionName.allCases.count)
        for part in [
            OptionDefinition.commandLine, OptionDefinition.general, OptionDefinition.archiveAndBackup,
            OptionDefinition.restoreAndServer, OptionDefinition.postgres, OptionDefinition.repository,
            OptionDefinition.repositoryHost, OptionDefinition.repositoryCloud, OptionDefinition.repositorySftp,
        ] {
            all += part
        }
        return all
    }()

    /// Places in `definitions`, by the name without a number.
    private static let places: [String: Int] = {
        var places = [String: Int](minimumCapacity: definitions.count)
        for (place, definition) in definitions.enumerated() { places[definition.name.rawValue] = place }
        return places
    }()

    /// A deprecated name, without its number.
    struct DeprecatedName {
        let place: Int
        var allowsIndex = false
        var allowsNoIndex = false
    }

    static let deprecatedNames: [String: DeprecatedName] = {
        var names: [String: DeprecatedName] = [:]
        for (place, definition) in definitions.enumerated() {
            for text in definition.deprecated {
                let name = text.filter { $0 != "?" }
                if name.utf8.count == text.utf8.count {
                    names[name, default: DeprecatedName(place: place)].allowsNoIndex = true
                } else {
                    names[name, default: DeprecatedName(place: place)].allowsIndex = true
                }
            }
        }
        return names
    }()

    package static func definition(named name: String) -> OptionDefinition? {
        places[name].map { definitions[$0] }
    }

    /// Places in `definitions`, by ``OptionName/ordinal``; -1 only for a name that the table forgot.
    private static let placesByOrdinal: [Int] = {
        var places = [Int](repeating: -1, count: 256)
        for (place, definition) in definitions.enumerated() { places[definition.name.ordinal] = place }
        return places
    }()

    /// nil only for a name that the table forgot, which a test excludes.
    package static func definition(_ name: OptionName) -> OptionDefinition? {
        let place = placesByOrdinal[name.ordinal]
        return place < 0 ? nil : definitions[place]
    }
}

extension OptionName {
    /// Different for each name: the one byte that an enumeration of up to 256 cases without payload is made of.
    /// Several times as fast as hashing the name, which happens some hundred times at each start.
    var ordinal: Int { Int(unsafeBitCast(self, to: UInt8.self)) }
}
