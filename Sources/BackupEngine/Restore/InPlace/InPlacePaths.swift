/// Names beside the data directory that a restore in place works with. All lie in one directory, so that renames are
/// enough to exchange them.
struct InPlacePaths: Sendable, Equatable {
    /// The data directory of the server.
    let data: String

    /// Where the backup is restored and recovered.
    var restored: String { data + ".restore" }
    /// The old data directory, until the new one is up.
    var before: String { data + ".before" }
    /// How far a run is; see ``InPlaceState``.
    var state: String { data + ".restoring" }
    /// See ``ServerHold``.
    var hold: String { data + ".hold" }
    var held: String { data + ".held" }
    /// What the supervisor writes when it has seen the hold, and then renames to ``held``.
    var holding: String { data + ".held.new" }

    var parent: String { LocalDisk.parent(of: data) }
}
