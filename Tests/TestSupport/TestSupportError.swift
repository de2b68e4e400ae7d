/// Why a fixture could not do what a test asked of it.
package struct TestSupportError: Error, CustomStringConvertible {
    /// What was tried, on what, and what came of it.
    package let description: String

    /// An error that reads as `description`.
    package init(_ description: String) {
        self.description = description
    }
}
