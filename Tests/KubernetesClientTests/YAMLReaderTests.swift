import HTTP
import Testing

@testable import KubernetesClient

@Suite struct YAMLReaderTests {
    /// What PyYAML and Go's yaml make of the same.
    @Test(arguments: [
        ("", "null"),
        ("a: 1", #"{"a":1}"#),
        ("---\na: b # c\n", #"{"a":"b"}"#),
        ("a:\n  b: true\n  c: ~\n  d:\n", #"{"a":{"b":true,"c":null,"d":null}}"#),
        ("a:\n- b: 1\n  c: 2\n- b: 3\n", #"{"a":[{"b":1,"c":2},{"b":3}]}"#),
        ("a:\n  -\n    b: 1\n  - x\n", #"{"a":[{"b":1},"x"]}"#),
        ("- - 1\n  - 2\n- 3", "[[1,2],3]"),
        ("a: \"x\\n\\u00e4\"\nb: 'it''s'\n'c d': e", #"{"a":"x\u000aä","b":"it's","c d":"e"}"#),
        ("a: {b: [1, x y, \"z\"], c: {}}\nd: []", #"{"a":{"b":[1,"x y","z"],"c":{}},"d":[]}"#),
        ("{\"a\": {\"b\": [1,\n 2]}}", #"{"a":{"b":[1,2]}}"#),
        ("a: |\n  one\n   two\n\n  three\nb: 1", #"{"a":"one\u000a two\u000a\u000athree\u000a","b":1}"#),
        ("a: >-\n  one\n  two\n", #"{"a":"one two"}"#),
        ("a: |-\n  x\n", #"{"a":"x"}"#),
        ("a: one\n  two\nb: c", #"{"a":"one two","b":"c"}"#),
        ("server: https://1.2.3.4:6443/x#y", #"{"server":"https://1.2.3.4:6443/x#y"}"#),
        (
            "a: 0123\nb: 1.5\nc: 1.2.3\nd: -4\ne: 2026-01-01",
            #"{"a":"0123","b":1.5,"c":"1.2.3","d":-4,"e":"2026-01-01"}"#
        ),
        ("a: b\r\nc: d\r\n", #"{"a":"b","c":"d"}"#),
    ])
    func reads(_ text: String, _ json: String) throws {
        #expect(try YAMLReader.read(text).description == json)
    }

    @Test(arguments: [
        ("a: 1\na: 2", 2, "'a' is there twice"),
        ("a: &x 1", 1, "anchors, aliases and tags are not supported"),
        ("a: 1\n---\nb: 2", 3, "a second document"),
        ("a:\n\tb: 1", 2, "indented by a tab"),
        ("a: 1\n  b: 2", 2, "wrong indentation"),
        ("a: \"x", 1, "it ends too early"),
        ("a: [1, 2", 1, "it ends too early"),
        ("a: b\nc", 2, "a key and a colon are missing"),
        ("a: 'b' c", 1, "something follows the end of the value"),
        ("a: {b 1}", 1, "a colon is missing"),
        (String(repeating: "[", count: 9999), 1, "nested too deep"),
        (String(repeating: "- ", count: 9999), 1, "nested too deep"),
    ])
    func refuses(_ text: String, _ line: Int, _ reason: String) {
        #expect(throws: YAMLReader.Failure(line: line, reason: reason)) { try YAMLReader.read(text) }
    }
}
