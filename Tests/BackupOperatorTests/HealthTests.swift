import HTTP
import KubernetesTestServer
import Testing

@testable import BackupOperator

struct HealthTests {
    private struct NoBody: HTTPBody {
        func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int { 0 }
        func close() async {}
    }

    private func ask(_ health: OperatorHealth, _ path: String) async -> (status: Int, text: String) {
        let response = await health.respond(
            to: ServerRequest(method: "GET", path: [path], client: .anonymous, body: NoBody()))
        guard case .bytes(let bytes) = response.body else { return (response.status, "a stream") }
        return (response.status, String(decoding: bytes, as: UTF8.self))
    }

    @Test func `who waits for the lease is ready, and does not lead`() async throws {
        let health = OperatorHealth()
        #expect(await ask(health, "readyz").status == 503)
        health.isWaiting = true
        #expect(await ask(health, "readyz").status == 200)
        #expect(await ask(health, "metrics").text.contains("\npermafrost_operator_leads 0\n"))
        let scene = Scene()
        try await scene.start()
        health.work = try scene.makeOperator()
        let (status, text) = await ask(health, "metrics")
        await scene.server.stop()
        #expect(status == 200 && text.contains("\npermafrost_operator_leads 1\n"))
        // It has not seen all objects yet.
        #expect(await ask(health, "readyz").status == 503)
    }
}
