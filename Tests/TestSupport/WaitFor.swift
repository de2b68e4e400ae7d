/// Asks `condition` again and again until it holds; throws when it has not within `timeout`. A condition that throws
/// ends the wait with its error.
package func waitFor(
    _ what: String, timeout: Duration = .seconds(120), every interval: Duration = .milliseconds(50),
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + timeout
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw TestSupportError("waited \(timeout) in vain for \(what)") }
        try await Task.sleep(for: interval)
    }
}
