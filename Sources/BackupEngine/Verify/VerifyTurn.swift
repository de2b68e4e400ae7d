/// Which parts a run with a time budget reads first, so that runs together read all.
enum VerifyTurn {
    /// The part that was begun, then those that were never read to their end or have grown since, then the one that was
    /// read longest ago.
    /// - Parameter through: by key, the last name that a directory of WAL has now.
    static func order(_ parts: [VerifyPart], _ state: VerifyState, through: [String: String]) -> [VerifyPart] {
        func rank(_ part: VerifyPart) -> (Int, Int64) {
            if state.position?.part == part.key { return (0, 0) }
            guard let known = state.parts[part.key] else { return (1, 0) }
            if let last = through[part.key], last > known.through { return (1, known.time) }
            return (2, known.time)
        }
        let ranks = parts.map(rank)
        return parts.indices.sorted { left, right in
            ranks[left] == ranks[right] ? left < right : ranks[left] < ranks[right]
        }.map { parts[$0] }
    }
}
