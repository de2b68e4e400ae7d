import BackupModel
import Testing

@testable import HTTP
@testable import ObjectStorage

struct TransportTests {
    @Test(arguments: [
        ("ECDHE-RSA-AES256-GCM-SHA384", true), (CipherList.known.joined(separator: ":"), true),
        ("HIGH:MEDIUM:+3DES:!aNULL", false), ("AES128-SHA:NONSENSE", false), ("", false), (":", false),
    ])
    func ciphers(_ text: String, isValid: Bool) {
        var options = TransportOptions()
        options.ciphers = text
        do throws(BackupError) {
            _ = try NetworkTransport(options)
            #expect(isValid)
        } catch {
            #expect(!isValid && error.code == .optionInvalidValue && error.message.contains("tls-cipher-12"))
        }
    }

    /// The library traps on one that it does not know.
    @Test(arguments: CipherList.known)
    func eachCipherIsTheLibrarys(_ name: String) throws {
        var options = TransportOptions()
        options.ciphers = name
        _ = try NetworkTransport(options)
    }

    @Test(arguments: ["/nonexistent", "/etc/hostname"])
    func noCertificates(_ file: String) {
        var options = TransportOptions()
        options.caFile = file
        #expect(throws: BackupError.self) { try NetworkTransport(options) }
    }
}
