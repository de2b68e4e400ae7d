import BackupModel
import Foundation
@testable import StreamFilters
import Testing

private let pass = Secret("correct horse battery staple")
private let otherPass = Secret("correct horse battery stapler")

private func encoder(_ type: CompressType, _ pass: Secret<String> = pass, raw: Bool = false) throws -> any StreamCodec {
    try #require(try StoredForm(compress: type, cipherPass: pass, isRaw: raw).encoder())
}

private func decoder(_ type: CompressType, _ pass: Secret<String> = pass, raw: Bool = false) throws -> any StreamCodec {
    try #require(try StoredForm(compress: type, cipherPass: pass, isRaw: raw).decoder())
}

private func encrypted(_ bytes: [UInt8], _ type: CompressType = .none, raw: Bool = false) throws -> [UInt8] {
    try run(encoder(type, raw: raw), bytes, chunk: 1 << 20, capacity: Codecs.recommendedOutputCapacity).output
}

@Suite struct EncryptionTests {
    /// The vector of section B.10 of the reference, checked with the openssl program.
    @Test func keyIsOpenSSLs() {
        let key = AESKey(pass: Array("test".utf8), salt: Array(0...7))
        #expect(
            key.hex == "1ee27048f1e97d041b9ee4eeb415b379303b640340a40271b246e03100ece64e"
                + "c4bca79e7a96329056abee64a6cd524f")
    }

    @Test("round trip", arguments: CompressType.allCases, [false, true])
    func roundTrip(type: CompressType, raw: Bool) throws {
        let (encoder, decoder) = (try encoder(type, raw: raw), try decoder(type, raw: raw))
        for content in Content.allCases {
            for size in [0, 1, 15, 16, 17, 4096, 300_000, 1_300_001] {
                let bytes = content.bytes(size)
                for (chunk, capacity) in [(1 << 20, Codecs.recommendedOutputCapacity), (size > 5000 ? 50_021 : 7, 33)] {
                    encoder.reset()
                    let stored = try run(encoder, bytes, chunk: chunk, capacity: capacity).output
                    #expect(raw || stored.starts(with: "Salted__".utf8))
                    #expect((stored.count - (raw ? 8 : 16)) % 16 == 0 && stored.count >= (raw ? 24 : 32))
                    decoder.reset()
                    let back = try run(decoder, stored, chunk: chunk, capacity: capacity)
                    #expect(back.output == bytes && back.taken == stored.count, "\(content) \(size) \(chunk)")
                }
            }
        }
    }

    @Test("any chunk with any room", arguments: [CompressType.none, .lz4])
    func boundaries(type: CompressType) throws {
        let bytes = Content.text.bytes(200)
        let (encoder, decoder) = (try encoder(type), try decoder(type))
        for chunk in [1, 2, 15, 16, 17, 31, 64, 500] {
            for capacity in [1, 2, 7, 15, 16, 17, 31, 32, 33, 48, 400] {
                encoder.reset()
                let stored = try run(encoder, bytes, chunk: chunk, capacity: capacity).output
                decoder.reset()
                #expect(try run(decoder, stored, chunk: chunk, capacity: capacity).output == bytes)
            }
        }
    }

    @Test("many small streams by the same codecs", arguments: CompressType.allCases)
    func manyStreams(type: CompressType) throws {
        let (encoder, decoder) = (try encoder(type, raw: true), try decoder(type, raw: true))
        var salts = Set<[UInt8]>()
        for number in 0..<2000 {
            let bytes = noise(number % 97, seed: UInt64(number))
            encoder.reset()
            let stored = try run(encoder, bytes, chunk: 64, capacity: 128).output
            salts.insert(Array(stored.prefix(8)))
            decoder.reset()
            #expect(try run(decoder, stored, chunk: 64, capacity: 128).output == bytes)
        }
        #expect(salts.count == 2000, "each stream has a salt of its own")
    }

    /// Parts of a bundle lie behind each other; the manifest says where each ends.
    @Test func partsBehindEachOther() throws {
        let parts = (0..<20).map { noise($0 * 37, seed: UInt64($0)) }
        let stored = try parts.map { try encrypted($0, raw: true) }
        var rest = Array(stored.joined())[...]
        let decoder = try decoder(.none, raw: true)
        for (part, size) in zip(parts, stored.map(\.count)) {
            decoder.reset()
            #expect(try run(decoder, Array(rest.prefix(size)), chunk: 100, capacity: 50).output == part)
            rest = rest.dropFirst(size)
        }
    }

    @Test("wrong passphrase", arguments: CompressType.allCases, [false, true])
    func wrongPassphrase(type: CompressType, raw: Bool) throws {
        let bytes = Content.text.bytes(5000)
        var unnoticed = 0
        let (encoder, decoder) = (try encoder(type, raw: raw), try decoder(type, otherPass, raw: raw))
        for _ in 0..<300 {
            encoder.reset()
            decoder.reset()
            let stored = try run(encoder, bytes, chunk: 5000, capacity: 10_000).output
            do {
                let back = try run(decoder, stored, chunk: 1000, capacity: 4096, limit: 64 << 20)
                #expect(back.output != bytes)
                unnoticed += 1
            } catch let error as BackupError {
                #expect(error.code == .crypto)
                #expect(error.message.contains("passphrase"), "\(error.message)")
            }
        }
        // One in 256 ends like a last block; then the content's SHA-1 tells.
        #expect(unnoticed <= 12)
    }

    @Test("cut off anywhere", arguments: CompressType.allCases, [false, true])
    func truncated(type: CompressType, raw: Bool) throws {
        let bytes = Content.text.bytes(600)
        let stored = try encrypted(bytes, type, raw: raw)
        let decoder = try decoder(type, raw: raw)
        for length in stored.indices {
            for (chunk, capacity) in [(7, 4096), (1 << 20, 64)] {
                decoder.reset()
                do {
                    let back = try run(decoder, Array(stored[..<length]), chunk: chunk, capacity: capacity, limit: 600)
                    // A cut between blocks behind which the padding is right by chance.
                    #expect(type == .none && back.output != bytes)
                } catch let error as BackupError {
                    #expect(error.code == .crypto, "\(error)")
                }
            }
        }
    }

    @Test("one bit flipped", arguments: CompressType.allCases, [false, true])
    func flipped(type: CompressType, raw: Bool) throws {
        let bytes = Content.pages.bytes(700)
        let stored = try encrypted(bytes, type, raw: raw)
        let decoder = try decoder(type, raw: raw)
        for bit in 0..<(stored.count * 8) {
            var damaged = stored
            damaged[bit / 8] ^= 1 << (bit % 8)
            decoder.reset()
            do {
                _ = try run(decoder, damaged, chunk: 1000, capacity: 4096, limit: 64 << 20)
            } catch let error as BackupError {
                #expect(error.code == .crypto, "\(error)")
            }
        }
        decoder.reset()
        #expect(try run(decoder, stored, chunk: 100, capacity: 100).output == bytes, "works again after errors")
    }

    @Test("noise, and what is not encrypted", arguments: CompressType.allCases)
    func noiseIsNotEncrypted(type: CompressType) throws {
        let decoder = try decoder(type)
        for bytes in [[], Array("S".utf8), Array("[backrest]\n".utf8), noise(1000, seed: 3), try compressedText(type)] {
            decoder.reset()
            let error = #expect(throws: BackupError.self) { try run(decoder, bytes, chunk: 3, capacity: 64) }
            #expect(error?.code == .crypto)
        }
        for seed in 0..<200 as Range<UInt64> {
            decoder.reset()
            do {
                _ = try run(
                    decoder, Array("Salted__".utf8) + noise(8 + Int(seed), seed: seed), chunk: 64, capacity: 512,
                    limit: 256 << 20)
            } catch let error as BackupError {
                #expect(error.code == .crypto)
            }
        }
    }

    private func compressedText(_ type: CompressType) throws -> [UInt8] {
        type == .none ? Content.text.bytes(100) : try compressed(Content.text.bytes(100), type)
    }

    @Test("bytes behind the compressed stream", arguments: realTypes)
    func trailingBytes(type: CompressType) throws {
        let stored = try encrypted(try compressed(Content.text.bytes(1000), type) + [0])
        let error = #expect(throws: BackupError.self) { try run(decoder(type), stored, chunk: 100, capacity: 100) }
        #expect(error?.code == .crypto)
    }

    @Test("given up in the middle and used again", arguments: CompressType.allCases)
    func abandoned(type: CompressType) throws {
        let (encoder, decoder) = (try encoder(type), try decoder(type))
        let bytes = Content.text.bytes(400_000)
        let buffer = OutputBuffer(capacity: 1000)
        for part in [0, 1, 20, 70_000, 400_000] {
            _ = try encoder.process(bytes.span.extracting(first: part).bytes, into: buffer)
            buffer.clear()
            encoder.reset()
            let stored = try run(encoder, bytes, chunk: 1 << 20, capacity: 10_000).output
            encoder.reset()
            _ = try decoder.process(stored.span.extracting(first: min(part, stored.count)).bytes, into: buffer)
            buffer.clear()
            decoder.reset()
            #expect(try run(decoder, stored, chunk: 1 << 20, capacity: 10_000).output == bytes)
            decoder.reset()
        }
    }

    @Test("no error says what was decrypted with") func errorsAreSilent() throws {
        let stored = try encrypted(Content.text.bytes(100))
        for damaged in [Array(stored.dropLast()), Array(stored.dropFirst()), Array(stored.dropLast(16))] {
            let error = #expect(throws: BackupError.self) { try run(decoder(.none), damaged, chunk: 64, capacity: 64) }
            #expect(error.map { !"\($0)".contains(pass.revealed) } == true)
        }
    }

    @Test("whole contents", arguments: CompressType.allCases, [pass, nil])
    func whole(type: CompressType, pass: Secret<String>?) throws {
        let form = StoredForm(compress: type, cipherPass: pass)
        for size in [0, 1, 200_000] {
            let bytes = Content.random.bytes(size)
            let stored = try form.encode(bytes)
            guard let decoder = try form.decoder() else {
                #expect(stored == bytes)
                continue
            }
            #expect(try run(decoder, stored, chunk: 1 << 20, capacity: 100_000).output == bytes)
        }
    }

    // MARK: - The openssl program

    @Test("openssl reads ours", arguments: [Content.empty, .text, .random]) func theyRead(content: Content) throws {
        let bytes = content.bytes(100_003)
        #expect(try openSSL(["-d"], encrypted(bytes)) == bytes)
        #expect(try openSSL(["-d"], Array("Salted__".utf8) + encrypted(bytes, raw: true)) == bytes)
    }

    @Test("we read openssl's", arguments: [Content.empty, .text, .random]) func weRead(content: Content) throws {
        let bytes = content.bytes(100_003)
        let stored = try openSSL(["-e"], bytes)
        #expect(try run(decoder(.none), stored, chunk: 1000, capacity: 4096).output == bytes)
        let raw = Array(stored.dropFirst(8))
        #expect(try run(decoder(.none, raw: true), raw, chunk: 1000, capacity: 4096).output == bytes)
    }

    private func openSSL(_ arguments: [String], _ bytes: [UInt8]) throws -> [UInt8] {
        let directory = FileManager.default.temporaryDirectory.appending(path: "permafrost-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let (input, output) = (directory.appending(path: "input"), directory.appending(path: "output"))
        try Data(bytes).write(to: input)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments =
            ["enc", "-aes-256-cbc", "-md", "sha1", "-pass", "env:PASS", "-in", input.path, "-out", output.path]
            + arguments
        process.environment = ["PASS": pass.revealed]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return Array(try Data(contentsOf: output))
    }
}
