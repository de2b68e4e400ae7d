/// Amounts as Kubernetes writes them: `10Gi`, `1500M`, `1e9`.
enum Quantity {
    private static let units: [(suffix: String, factor: Double)] = [
        ("Ki", 1024), ("Mi", 1_048_576), ("Gi", 1_073_741_824), ("Ti", 1_099_511_627_776),
        ("Pi", 1_125_899_906_842_624), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("m", 1e-3),
        ("", 1),
    ]

    /// nil for what is none, or is negative.
    static func bytes(_ text: String) -> Double? {
        guard let unit = units.first(where: { text.hasSuffix($0.suffix) }),
            let number = Double(text.dropLast(unit.suffix.count)), number >= 0, number.isFinite
        else { return nil }
        return number * unit.factor
    }
}
