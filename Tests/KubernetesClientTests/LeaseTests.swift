import HTTP
import KubernetesTestServer
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(2))) struct LeaseTests {
    private func lease(_ client: KubernetesClient, _ holder: String) -> Lease {
        Lease(client, namespace: "default", name: "l", holder: holder, duration: .seconds(15))
    }

    @Test func isTakenOverWhenItWasUnchangedForItsTime() async throws {
        let time = ManualTime()
        try await withServer({ $0.time = time }) { _, client in
            let (one, two) = (lease(client, "one"), lease(client, "two"))
            #expect(try await one.take() == .held)
            #expect(try await two.take() == .heldBy("one"))
            time.advance(by: .seconds(14))
            #expect(try await two.take() == .heldBy("one"))
            #expect(try await one.take() == .held)
            time.advance(by: .seconds(14))
            // It was renewed in between.
            #expect(try await two.take() == .heldBy("one"))
            time.advance(by: .seconds(14))
            #expect(try await two.take() == .heldBy("one"))
            time.advance(by: .seconds(1))
            #expect(try await two.take() == .held)
            #expect(try await one.take() == .heldBy("two"))
            let object = try await client.get(.leases, namespace: "default", name: "l")
            #expect(object["spec", "leaseTransitions"]?.integer == 1)
            #expect(object["spec", "holderIdentity"]?.string == "two")
            // A clock that is years off moves nothing.
            _ = try await client.patch(
                .leases, namespace: "default", name: "l", ["spec": ["renewTime": "1999-01-01T00:00:00.000000Z"]])
            #expect(try await one.take() == .heldBy("two"))
            try await one.release()
            #expect(try await one.take() == .heldBy("two"))
            try await two.release()
            #expect(try await one.take() == .held)
        }
    }

    @Test func onlyOneOfManyGetsIt() async throws {
        try await withServer { _, client in
            let held = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<8 { group.addTask { try await lease(client, "\(number)").take() == .held } }
                var held = 0
                for try await isHeld in group where isHeld { held += 1 }
                return held
            }
            #expect(held == 1)
        }
    }

    private final class Work: Sendable {
        let events = Mutex<[String]>([])
        func note(_ event: String) { events.withLock { $0.append(event) } }
        var all: [String] { events.withLock { $0 } }

        func untilCancelled(_ name: String) async {
            note("\(name) leads")
            while !Task.isCancelled { try? await Task.sleep(for: .milliseconds(5)) }
            note("\(name) stops")
        }
    }

    private func election(_ client: KubernetesClient, _ name: String) -> LeaderElection {
        var options = LeaderElection.Options()
        options.retryPeriod = .milliseconds(50)
        options.renewDeadline = .milliseconds(2500)
        return LeaderElection(
            Lease(client, namespace: "default", name: "leader", holder: name, duration: .seconds(3)), options)
    }

    @Test func aLeaderThatStopsLetsTheNextOneBegin() async throws {
        try await withServer { _, client in
            let work = Work()
            let one = Task { try await election(client, "one").run { await work.untilCancelled("one") } }
            try await eventually("one leads") { work.all == ["one leads"] }
            let two = Task { try await election(client, "two").run { await work.untilCancelled("two") } }
            try await Task.sleep(for: .milliseconds(3500))
            #expect(work.all == ["one leads"])
            one.cancel()
            try await eventually("two leads") { work.all == ["one leads", "one stops", "two leads"] }
            two.cancel()
            _ = await two.result
            #expect(work.all.last == "two stops")
            let lease = try await client.get(.leases, namespace: "default", name: "leader")
            #expect(lease["spec", "holderIdentity"]?.string == "")
        }
    }

    @Test func aLeaderThatCannotRenewStopsBeforeTheNextOneBegins() async throws {
        try await withServer { server, client in
            let work = Work()
            let one = Task { try await election(client, "one").run { await work.untilCancelled("one") } }
            try await eventually("one leads") { work.all == ["one leads"] }
            let otherClient = try KubernetesClientTests.client(server.port) { $0.fieldManager = "two" }
            server.set { behaviour in
                behaviour.intercept = { $0.headers["User-Agent"] == "tests" ? ServerResponse(500) : nil }
            }
            let two = Task { try await election(otherClient, "two").run { await work.untilCancelled("two") } }
            let result = await one.result
            #expect(throws: LeaderElection.Lost.self) { try result.get() }
            try await eventually("two leads") { work.all == ["one leads", "one stops", "two leads"] }
            two.cancel()
            _ = await two.result
        }
    }

    @Test func workThatEndsGivesTheLeaseBack() async throws {
        try await withServer { _, client in
            try await election(client, "one").run {}
            struct Broken: Error {}
            await #expect(throws: Broken.self) { try await election(client, "two").run { throw Broken() } }
            let lease = try await client.get(.leases, namespace: "default", name: "leader")
            #expect(lease["spec", "holderIdentity"]?.string == "")
        }
    }
}
