/// An option's name as somebody wrote it: `--no-online`, `repo2-path`, `reset-delta`, a unique prefix, an old name.
struct WrittenOption: Sendable {
    let definition: OptionDefinition
    /// The group's number, 0 for options without group.
    let index: Int
    let isNegated: Bool
    let isReset: Bool

    static let nameLimit = 64
    static let indexLimit = 256

    /// nil when there is no such option. `prefixes`: unique beginnings count, as on the command line.
    static func find(_ text: String, prefixes: Bool) throws(BackupError) -> WrittenOption? {
        guard text.utf8.count <= nameLimit else {
            throw BackupError(.optionInvalid, "option '\(text)' exceeds maximum size of \(nameLimit)")
        }
        let isNegated = text.hasPrefix("no-")
        let isReset = !isNegated && text.hasPrefix("reset-")
        let (name, number) = try split(text.dropFirst(isNegated ? 3 : isReset ? 6 : 0), of: text)

        var isDeprecated = false
        var found = OptionTable.definition(named: name)
        if found == nil, prefixes {
            found = unique(OptionTable.definitions.lazy.filter { $0.name.rawValue.hasPrefix(name) })
        }
        if found == nil, let deprecated = deprecated(name, prefixes: prefixes) {
            let definition = OptionTable.definitions[deprecated.place]
            if number != nil && !deprecated.allowsIndex {
                throw BackupError(.optionInvalid, "deprecated option '\(text)' cannot have an index")
            }
            if number == nil && !deprecated.allowsNoIndex {
                throw BackupError(
                    .optionInvalid, "deprecated option '\(text)' requires an index",
                    hint: "consider using the non-deprecated name, e.g. \(definition.displayName(1))")
            }
            isDeprecated = true
            found = definition
        }
        guard let definition = found else { return nil }
        if isNegated && !definition.isNegatable {
            throw BackupError(.optionInvalid, "option '\(text)' cannot be negated")
        }
        if isReset && !definition.isResettable {
            throw BackupError(.optionInvalid, "option '\(text)' cannot be reset")
        }
        if !isDeprecated {
            if number != nil && definition.group == nil {
                throw BackupError(.optionInvalid, "option '\(text)' cannot have an index")
            }
            let isAlias = definition.deprecated.contains(definition.name.rawValue)
            if number == nil && definition.group != nil && !isAlias {
                throw BackupError(
                    .optionInvalid, "option '\(text)' requires an index",
                    hint: "add the required index, e.g. \(definition.displayName(1))")
            }
        }
        return WrittenOption(
            definition: definition, index: definition.group == nil ? 0 : number ?? 1, isNegated: isNegated,
            isReset: isReset)
    }

    /// What somebody who wrote an unknown name could have meant, for a hint.
    static func suggestion(for text: String) -> String? {
        let bare = text.hasPrefix("no-") ? text.dropFirst(3) : text.hasPrefix("reset-") ? text.dropFirst(6) : text[...]
        guard let (name, number) = try? split(bare, of: text), !name.isEmpty else { return nil }
        let offered = OptionTable.definitions.filter { !$0.flags.contains(.internalUse) }
        let beginnings = offered.filter { $0.name.rawValue.hasPrefix(name) }
        if (2...8).contains(beginnings.count) {
            return "it could be " + beginnings.map { "'\($0.displayName(number))'" }.joined(separator: ", ")
        }
        return closest(to: name, in: offered.map(\.name.rawValue)).flatMap { OptionTable.definition(named: $0) }
            .map { "did you mean '\($0.displayName(number))'?" }
    }

    /// Takes the number out of `repo2-path`.
    private static func split(
        _ text: Substring, of whole: String
    ) throws(BackupError) -> (name: String, number: Int?) {
        guard let dash = text.firstIndex(of: "-") else { return (String(text), nil) }
        let head = text[..<dash]
        guard !head.isEmpty else {
            throw BackupError(.optionInvalid, "option '\(whole)' cannot begin with a dash")
        }
        let letters = head.prefix { !("0"..."9").contains($0) }
        let digits = head[letters.endIndex...]
        guard !digits.isEmpty, digits.allSatisfy({ ("0"..."9").contains($0) }) else { return (String(text), nil) }
        guard !letters.isEmpty else {
            throw BackupError(.optionInvalid, "option '\(whole)' cannot begin with a number")
        }
        guard let number = Int(digits), (1...indexLimit).contains(number) else {
            throw BackupError(.optionInvalid, "option '\(whole)' key must be between 1 and \(indexLimit)")
        }
        return (String(letters) + text[dash...], number)
    }

    private static func deprecated(_ name: String, prefixes: Bool) -> OptionTable.DeprecatedName? {
        if let exact = OptionTable.deprecatedNames[name] { return exact }
        guard prefixes else { return nil }
        return unique(OptionTable.deprecatedNames.lazy.filter { $0.key.hasPrefix(name) })?.value
    }

    private static func unique<Elements: Sequence>(_ elements: Elements) -> Elements.Element? {
        var iterator = elements.makeIterator()
        let first = iterator.next()
        return iterator.next() == nil ? first : nil
    }
}

/// The one of `names` that differs least from `text`, if that is no more than a slip of the hand.
package func closest(to text: String, in names: [String]) -> String? {
    var best: (name: String, distance: Int)?
    for name in names {
        let distance = editDistance(Array(text.utf8), Array(name.utf8))
        if distance < best?.distance ?? Int.max { best = (name, distance) }
    }
    guard let best, best.distance <= max(1, text.utf8.count / 4) else { return nil }
    return best.name
}

private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var row = Array(0...right.count)
    for (i, byte) in left.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, other) in right.enumerated() {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (byte == other ? 0 : 1))
            diagonal = above
        }
    }
    return row[right.count]
}
