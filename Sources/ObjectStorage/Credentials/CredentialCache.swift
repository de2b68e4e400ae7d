/// Keeps credentials that run out, and gets new ones in time. Many may ask at once; one request is made.
package actor CredentialCache<Credential: Sendable> {
    package struct Entry: Sendable {
        package var credential: Credential
        /// Seconds since 1970; nil when they do not run out.
        package var expires: Int64?

        package init(_ credential: Credential, expires: Int64?) {
            self.credential = credential
            self.expires = expires
        }
    }

    /// As pgBackRest: new ones are asked for so many seconds before the old ones run out.
    private static var margin: Int64 { 300 }

    private let fetch: @Sendable () async throws -> Entry
    private let now: @Sendable () -> Int64
    private var entry: Entry?
    private var fetching: Task<Entry, any Error>?

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - fetch: gets credentials; makes its own retries.
    package init(now: @escaping @Sendable () -> Int64, fetch: @escaping @Sendable () async throws -> Entry) {
        self.now = now
        self.fetch = fetch
    }

    package func current() async throws -> Credential {
        if let entry, isFresh(entry) { return entry.credential }
        do {
            return try await fetched().credential
        } catch {
            // Those at hand may do for some minutes more.
            if let entry, let expires = entry.expires, expires > now() { return entry.credential }
            throw error
        }
    }

    /// The service does not take them any more: the next call gets new ones.
    /// - Returns: false for those that never run out; they stay.
    @discardableResult
    package func expire() -> Bool {
        if entry != nil, entry?.expires == nil { return false }
        entry = nil
        return true
    }

    private func isFresh(_ entry: Entry) -> Bool {
        entry.expires.map { $0 - Self.margin > now() } ?? true
    }

    private func fetched() async throws -> Entry {
        if let fetching { return try await fetching.value }
        // A task of its own: one caller's cancellation must not fail the others.
        let task = Task { [fetch] in try await fetch() }
        fetching = task
        defer { fetching = nil }
        let fresh = try await task.value
        entry = fresh
        return fresh
    }
}
