/// How large the parts of an upload are: the first thousand of the size that was asked for, then twice that, and so on.
/// So 10,000 parts, as many as services take, hold more than 3 TiB at 5 MiB to begin with.
package struct PartSizes: Sendable {
    private static let largest = 1 << 30
    /// Of one writer, so that large parts do not fill the memory.
    private static let bytesInFlight = 64 << 20

    package let first: Int

    /// - Parameter first: `repo-storage-upload-chunk-size`, bytes.
    package init(first: Int) { self.first = max(1, min(first, Self.largest)) }

    /// - Parameter number: of the part, from 1.
    package func size(of number: Int) -> Int {
        let doublings = min(max(number - 1, 0) / 1000, 20)
        return first > Self.largest >> doublings ? Self.largest : first << doublings
    }

    /// How many parts one writer may have on their way when it sends part `number`.
    package func inFlight(at number: Int) -> Int { max(1, Self.bytesInFlight / size(of: number)) }
}
