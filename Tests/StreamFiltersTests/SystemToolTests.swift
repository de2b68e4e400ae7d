import BackupModel
import Foundation
import StreamFilters
import Testing

/// The programs of the formats, which judge our streams and whose streams we read.
@Suite struct SystemToolTests {
    struct Tool: Sendable, CustomTestStringConvertible {
        var type: CompressType
        var name: String
        var arguments: [String]
        var testDescription: String { ([name] + arguments).joined(separator: " ") }
        var path: String { "/usr/bin/\(name)" }
    }

    private static let tools: [Tool] = [
        Tool(type: .gz, name: "gzip", arguments: ["-1"]), Tool(type: .gz, name: "gzip", arguments: ["-9"]),
        Tool(type: .lz4, name: "lz4", arguments: []),
        Tool(type: .lz4, name: "lz4", arguments: ["-9", "-B4", "-BD", "-BX"]),
        Tool(type: .zst, name: "zstd", arguments: ["--no-progress"]),
        Tool(type: .zst, name: "zstd", arguments: ["-19", "--no-check"]),
        Tool(type: .bz2, name: "bzip2", arguments: []),
        Tool(type: .bz2, name: "bzip2", arguments: ["-1"]),
    ].filter { FileManager.default.isExecutableFile(atPath: $0.path) }

    @Test("they read ours", arguments: tools, Content.allCases)
    func theyRead(tool: Tool, content: Content) throws {
        let bytes = content.bytes(1_300_000)
        let stored = try compressed(bytes, tool.type)
        #expect(try pipe(stored, through: tool, ["-d", "-c"]) == bytes)
        _ = try pipe(stored, through: tool, ["-t"])
    }

    @Test("we read theirs", arguments: tools, Content.allCases)
    func weRead(tool: Tool, content: Content) throws {
        let bytes = content.bytes(1_300_000)
        let stored = try pipe(bytes, through: tool, tool.arguments + ["-c"])
        for (chunk, capacity) in [(1 << 20, Codecs.recommendedOutputCapacity), (4097, 5000)] {
            let (back, taken) = try run(makeDecompressor(tool.type), stored, chunk: chunk, capacity: capacity)
            #expect(back == bytes && taken == stored.count)
        }
    }

    /// By way of files: a full pipe would block both sides.
    private func pipe(_ bytes: [UInt8], through tool: Tool, _ arguments: [String]) throws -> [UInt8] {
        let directory = FileManager.default.temporaryDirectory.appending(path: "permafrost-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let (input, output) = (directory.appending(path: "input"), directory.appending(path: "output"))
        try Data(bytes).write(to: input)
        try Data().write(to: output)
        let process = Process()
        process.executableURL = URL(filePath: tool.path)
        process.arguments = arguments
        process.standardInput = try FileHandle(forReadingFrom: input)
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(tool.name) \(arguments)")
        return Array(try Data(contentsOf: output))
    }
}
