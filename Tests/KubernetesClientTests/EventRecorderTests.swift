import HTTP
import KubernetesTestServer
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(2))) struct EventRecorderTests {
    @Test func countsWhatHappensAgain() async throws {
        let time = ManualTime()
        try await withServer({ $0.time = time }) { server, client in
            let object = try await client.create(.configMaps, configMap("a"))
            let recorder = EventRecorder(client, component: "operator", instance: "pod-1")
            for _ in 0..<3 { await recorder.record(.warning, "Failed", "no bucket", about: object) }
            await recorder.record(.normal, "Mended", "all is well", about: object)
            func events() async throws -> [KubernetesObject] {
                try await client.list(.coreEvents, namespace: "default").objects
                    .sorted { ($0["reason"]?.string ?? "") < ($1["reason"]?.string ?? "") }
            }
            var all = try await events()
            #expect(all.map { $0["count"]?.integer } == [1, 1])
            #expect(all[0]["involvedObject", "uid"]?.string == object.uid)
            #expect(all[0]["involvedObject", "kind"]?.string == "ConfigMap")
            #expect(all[0]["type"]?.string == "Warning" && all[0]["message"]?.string == "no bucket")
            time.advance(by: .seconds(11))
            await recorder.record(.warning, "Failed", "no bucket", about: object)
            all = try await events()
            #expect(all.map { $0["count"]?.integer } == [4, 1])
            // The server has forgotten it.
            try await client.delete(.coreEvents, namespace: "default", name: all[0].name)
            time.advance(by: .seconds(11))
            await recorder.record(.warning, "Failed", "no bucket", about: object)
            #expect(try await events().count == 2)
            _ = server.takeRequests()
            time.advance(by: .seconds(1))
            for _ in 0..<100 { await recorder.record(.warning, "Failed", "no bucket", about: object) }
            #expect(server.takeRequests().isEmpty)
        }
    }

    @Test func failuresAreToldAndNoMore() async throws {
        try await withServer { server, client in
            let object = try await client.create(.configMaps, configMap("a"))
            let told = Mutex<[String]>([])
            let recorder = EventRecorder(client, component: "c", instance: "i") { text in
                told.withLock { $0.append(text) }
            }
            server.set { $0.intercept = { _ in APITestServer.refusal(403, "Forbidden", "events is forbidden") } }
            await recorder.record(.normal, "R", String(repeating: "ä", count: 2000), about: object)
            #expect(told.withLock { $0 }.first?.hasSuffix("events is forbidden") == true)
            server.set { $0.intercept = nil }
            await recorder.record(.normal, "R", String(repeating: "ä", count: 2000), about: object)
            let event = try await client.list(.coreEvents).objects.first
            #expect((event?["message"]?.string?.utf8.count ?? 9999) <= 1024)
        }
    }
}
