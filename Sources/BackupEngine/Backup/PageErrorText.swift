enum PageErrorText {
    /// `invalid page checksums found in file 'F' at pages 3, 5-7`
    static func sentence(file: String, _ pages: [ClosedRange<UInt32>]) -> String {
        guard !pages.isEmpty else {
            return "page misalignment in file '\(file)': its size is not a multiple of the page size"
        }
        let count = pages.reduce(0) { $0 + $1.count }
        let list = pages.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
        return
            "invalid page checksum\(count == 1 ? "" : "s") found in file '\(file)' at page\(count == 1 ? "" : "s") \(list.joined(separator: ", "))"
    }
}
