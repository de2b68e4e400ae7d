/// How objects of a repository are compressed. The raw value is the text in options and manifests.
package enum CompressType: String, CaseIterable, Sendable {
    case none, gz, lz4, zst, bz2

    /// With the dot; empty for none.
    package var fileExtension: String { self == .none ? "" : ".\(rawValue)" }
}
