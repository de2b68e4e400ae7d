import HTTP
import KubernetesTestServer
import Testing

@testable import KubernetesClient

/// An API server takes objects that are nested ten thousand levels deep.
@Suite(.timeLimit(.minutes(1))) struct DeepObjectTests {
    private static func nested(_ levels: Int) -> ServiceJSON {
        (0..<levels).reduce("core") { value, level in level % 3 == 0 ? [value] : ["a": value] }
    }

    @Test func hideNothingElse() async throws {
        try await withServer { server, client in
            func running(_ body: (ObjectCache) async throws -> Void) async throws {
                let cache = ObjectCache(.configMaps, client)
                let task = Task { await cache.run() }
                defer { task.cancel() }
                try await body(cache)
            }
            func check(_ cache: ObjectCache) {
                let found = cache[ObjectKey(namespace: "default", name: "deep")]
                #expect(found?["data", "x"]?.string == "1" && found?["z"]?.string == "behind")
                #expect(found?["deep"]?.description.contains("null") == true)
            }
            try await running { cache in
                try await eventually("the watch") { server.watches == 1 }
                var deep = configMap("deep", ["x": "1"])
                deep["deep"] = Self.nested(300)
                deep["z"] = "behind"
                _ = try await client.create(.configMaps, deep)
                _ = try await client.create(.configMaps, configMap("later"))
                try await eventually("what came later", .seconds(10)) { cache.count == 2 }
                check(cache)
                #expect(cache.lists == 1)
            }
            try await running { cache in
                try await eventually("the list", .seconds(10)) { cache.isFilled }
                #expect(cache.count == 2)
                check(cache)
            }
        }
    }

    @Test(arguments: [
        (#"{"a": {"b": {"c": 1}}, "d": 2}"#, #"{"a":{"b":{"c":null}},"d":2}"#),
        (#"[[ "x" , [1], -1.5e3,true, {} ],1]"#, #"[["x",[null],-1.5e3,true,{}],1]"#),
        (#"[[[1, [2], {"]": "}\"]"}], [ ]]]"#, #"[[[null,null,null],[]]]"#),
        (#"[[[{"a": ["\\"]}]]]"#, #"[[[null]]]"#), (#"[[[ "a,]" , 5 ]]]"#, #"[[[null,null]]]"#),
    ])
    func areCutWhereTheyAreTooDeep(text: String, left: String) throws {
        #expect(ServiceJSON(cutting: Array(text.utf8), deepest: 2)?.description == left)
    }

    @Test(arguments: [
        "[[[[", "[[[[1]", "[[[\"]]]", "[[[[1]]]]]", "[[[]]", "[[[,]]]", "[[[1,]]]", #"[[{"a":}]]"#, #"[[{"a"]]"#,
        "[[[:]]]",
    ])
    func areNoExcuse(text: String) {
        #expect(ServiceJSON(cutting: Array(text.utf8), deepest: 2) == nil)
    }

    /// The stack does not know of it.
    @Test func haveNoLimit() throws {
        let many = 200_000
        let bytes = Array(repeating: UInt8(ascii: "["), count: many) + Array(repeating: UInt8(ascii: "]"), count: many)
        #expect(ServiceJSON(cutting: bytes, deepest: 3)?.description == "[[[[null]]]]")
        #expect(ServiceJSON(bytes, deepest: 3) == nil)
    }
}
