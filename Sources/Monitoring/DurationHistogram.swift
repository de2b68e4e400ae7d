/// How long things took, counted in buckets.
package struct DurationHistogram: Sendable, Equatable {
    /// Upper ends in seconds: from a check to the first backup of tens of terabytes.
    package static let bounds: [Double] = [1, 5, 15, 60, 300, 900, 3600, 10_800, 43_200, 86_400]

    /// One more than ``bounds``: the last is for what took longer.
    private var counts = [UInt64](repeating: 0, count: bounds.count + 1)
    private var sum: Double = 0

    package init() {}

    package mutating func add(seconds: Double) {
        counts[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
        sum += seconds
    }

    package func add(to family: inout MetricFamily, _ labels: [(name: String, value: String)]) {
        var total: UInt64 = 0
        for (count, bound) in zip(counts, Self.bounds + [.infinity]) {
            total += count
            family.add(
                Double(total), labels + [(name: "le", value: MetricFamily.Sample.number(bound))], suffix: "_bucket")
        }
        family.add(sum, labels, suffix: "_sum")
        family.add(Double(total), labels, suffix: "_count")
    }
}
