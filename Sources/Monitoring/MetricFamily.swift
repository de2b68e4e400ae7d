/// A metric with all its samples, as Prometheus reads it (text format 0.0.4).
package struct MetricFamily: Sendable, Equatable {
    package enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    package struct Sample: Sendable, Equatable {
        /// What follows the family's name: `_bucket`, `_sum`, `_count` of a histogram.
        package var suffix = ""
        package var labels: [(name: String, value: String)]
        package var value: Double

        package static func == (left: Sample, right: Sample) -> Bool { left.text("") == right.text("") }

        func text(_ name: String) -> String {
            let pairs = labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
            return "\(name)\(suffix)\(pairs.isEmpty ? "" : "{\(pairs)}") \(Self.number(value))\n"
        }

        private static func escaped(_ text: String) -> String {
            var result = ""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\\": result += "\\\\"
                case "\"": result += "\\\""
                case "\n": result += "\\n"
                default: result.unicodeScalars.append(scalar)
                }
            }
            return result
        }

        /// Whole numbers without a fraction, as far as they are exact.
        static func number(_ value: Double) -> String {
            if value == .infinity { return "+Inf" }
            return value.rounded() == value && value.magnitude < 0x1p53 ? String(Int64(value)) : String(value)
        }
    }

    package var name: String
    package var kind: Kind
    package var help: String
    package var samples: [Sample]

    package init(_ name: String, _ kind: Kind, _ help: String, _ samples: [Sample] = []) {
        self.name = "permafrost_\(name)"
        self.kind = kind
        self.help = help
        self.samples = samples
    }

    /// Whether a label may be called so.
    package static func isLabel(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
            return false
        }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }

    package mutating func add(_ value: Double, _ labels: [(name: String, value: String)], suffix: String = "") {
        samples.append(Sample(suffix: suffix, labels: labels, value: value))
    }

    /// Nothing for one without samples.
    /// - Parameter labels: that every sample has.
    package func text(_ labels: [(name: String, value: String)]) -> String {
        guard !samples.isEmpty else { return "" }
        var text = "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
        for var sample in samples {
            sample.labels = labels + sample.labels
            text += sample.text(name)
        }
        return text
    }
}
