/// How many calls a store gains from having in flight at once.
///
/// A store behind a network keeps its callers waiting without using the processor: many calls at once take little longer
/// than one. A local file system blocks the thread that calls it, and there a worker is a thread.
package struct StoreConcurrency: Sendable, Equatable {
    /// Objects that are being stored, or deleted; 1 or more.
    package var uploads: Int
    /// Objects that are being read; 1 or more.
    package var downloads: Int

    package init(uploads: Int, downloads: Int) {
        self.uploads = max(1, uploads)
        self.downloads = max(1, downloads)
    }

    /// Tasks beyond those that the processor has threads for, so that some have work while others wait for what they
    /// read.
    package var readAhead: Int { downloads > 1 ? downloads : 0 }

    /// Of a store that answers on the calling thread: nothing is gained from calls beside each other.
    package static let local = StoreConcurrency(uploads: 1, downloads: 1)

    /// Of a store behind a network, where nothing else is asked for: at 30 ms for a call some 500 calls a second, and a
    /// few MiB for each in memory.
    package static let remote = StoreConcurrency(uploads: 16, downloads: 16)
}

extension Collection where Self: Sendable, Element: Sendable {
    /// The result of `body` for each element, in the order of the elements, with at most `limit` of them in flight. One
    /// by one with a limit of 1. The first error cancels the others, and is thrown when they have ended.
    package func mapInFlight<Value: Sendable, Failure: Error>(
        atMost limit: Int, _ body: @Sendable @escaping (Element) async throws(Failure) -> Value
    ) async throws(Failure) -> [Value] {
        guard limit > 1, count > 1 else {
            var values: [Value] = []
            for element in self { values.append(try await body(element)) }
            return values
        }
        let outcome = await withTaskGroup(of: (Int, Result<Value, Failure>).self) { group in
            var values = [Value?](repeating: nil, count: count)
            var failure: Failure?
            func take(_ place: Int, _ result: Result<Value, Failure>) {
                switch result {
                case .success(let value): values[place] = value
                case .failure(let error):
                    failure = failure ?? error
                    group.cancelAll()
                }
            }
            for (place, element) in enumerated() {
                if place >= limit, let (done, result) = await group.next() { take(done, result) }
                if failure != nil { break }
                group.addTask {
                    do throws(Failure) {
                        return (place, .success(try await body(element)))
                    } catch {
                        return (place, .failure(error))
                    }
                }
            }
            while let (done, result) = await group.next() { take(done, result) }
            return failure.map { Result.failure($0) } ?? .success(values.compactMap(\.self))
        }
        return try outcome.get()
    }
}
