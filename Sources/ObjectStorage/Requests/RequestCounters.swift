package import HTTP
import Synchronization

/// What went over the network, for the last line of the log. Shared by all that talks to the stores of a run.
package final class RequestCounters: Sendable {
    private let requests = Atomic<Int>(0)
    private let retries = Atomic<Int>(0)
    private let sent = Atomic<Int>(0)
    private let received = Atomic<Int>(0)

    package init() {}

    package struct Totals: Sendable, Equatable {
        package var requests = 0
        /// Of `requests`, those made again.
        package var retries = 0
        /// Bytes of bodies.
        package var sent = 0
        package var received = 0
    }

    package var totals: Totals {
        Totals(
            requests: requests.load(ordering: .relaxed), retries: retries.load(ordering: .relaxed),
            sent: sent.load(ordering: .relaxed), received: received.load(ordering: .relaxed))
    }

    package func countRequest(sending bytes: Int) {
        requests.add(1, ordering: .relaxed)
        sent.add(bytes, ordering: .relaxed)
    }
    package func countRetry() { retries.add(1, ordering: .relaxed) }
    package func countReceived(_ bytes: Int) { received.add(bytes, ordering: .relaxed) }
}

/// Counts what passes through a transport.
package struct CountingTransport: HTTPTransport {
    private let transport: any HTTPTransport
    private let counters: RequestCounters

    package init(_ transport: any HTTPTransport, _ counters: RequestCounters) {
        self.transport = transport
        self.counters = counters
    }

    package func send(_ request: HTTPRequest) async throws(TransportError) -> HTTPResponse {
        counters.countRequest(sending: request.body.count)
        var response = try await transport.send(request)
        response.body = CountingBody(body: response.body, counters: counters)
        return response
    }
}

private struct CountingBody: HTTPBody {
    let body: any HTTPBody
    let counters: RequestCounters

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int {
        let count = try await body.read(into: buffer)
        counters.countReceived(count)
        return count
    }
    func close() async { await body.close() }
}
